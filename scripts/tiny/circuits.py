"""First weights with which a model can already copy: what all else in a transcript waits for.

Left to itself, a model of this size needs a good part of its training to find heads that look one
token back, and on top of them heads that find where the current words stood before and what came
next (Olsson et al., 2022). Such heads can be written down, so training starts with them (compare
Trockman and Kolter, 2023), and is free to change them.

The hidden dimensions are five blocks of one head's size: which token stands here, which tokens
stood one, two and three places before, and which token is to be copied. Embeddings and output rows
hold a token's identity, a random vector, in the first and in the last block.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import Qwen2ForCausalLM

BLOCKS = 5
ROPE_BASE = 1e6
# What the heads of the second layer compare: blocks of the query with blocks of the keys.
MATCHES = (((0,), (1,)), ((1,), (2,)), ((0, 1), (1, 2)))


@torch.no_grad()
def write_circuits(model: Qwen2ForCausalLM) -> None:
    """Write the heads into the first two layers, and the identities into both embeddings."""
    size = model.config.hidden_size // BLOCKS
    frequencies = ROPE_BASE ** (-torch.arange(size // 2) * 2 / size)
    identity = torch.randn(model.config.vocab_size, size)
    model.model.embed_tokens.weight[:, :size] = identity
    model.lm_head.weight[:, -size:] = 0.15 * identity
    first, second = (layer.self_attn for layer in model.model.layers[:2])
    for head in range(3):
        _clear(first, head, size)
        _look_back(first, head, head + 1, frequencies)
        _move(first, head, size, to=head + 1, scale=0.5)
        _clear(second, head, size)
        query_blocks, key_blocks = MATCHES[head]
        _match(second, head, size, query_blocks, key_blocks, frequencies)
        _move(second, head, size, to=BLOCKS - 1, scale=0.5)


def _clear(attention: Any, head: int, size: int) -> None:
    rows = slice(head * size, (head + 1) * size)
    for projection in (attention.q_proj, attention.k_proj, attention.v_proj):
        projection.weight[rows] = 0
    attention.o_proj.weight[:, rows] = 0


def _move(attention: Any, head: int, size: int, to: int, scale: float) -> None:
    """Bring the identity of the token looked at into a block of the token that looks."""
    rows = slice(head * size, (head + 1) * size)
    attention.v_proj.weight[rows, :size] = torch.eye(size)
    attention.o_proj.weight[to * size : (to + 1) * size, rows] = scale * torch.eye(size)


def _look_back(attention: Any, head: int, distance: int, frequencies: Tensor) -> None:
    """See, whatever the tokens, the one that stands `distance` places before.

    With biases b e^(-i d f) for queries and b for keys, rotary embedding gives two places that are
    m apart the score b^2 cos((m - d) f), which over the higher frequencies is sharpest at m = d.
    """
    size = attention.head_dim
    rows = slice(head * size, (head + 1) * size)
    near = 7.0 * (frequencies > 0.01)
    query = torch.cat([torch.cos(frequencies * distance), -torch.sin(frequencies * distance)])
    attention.q_proj.bias[rows] = query * near.repeat(2)
    attention.k_proj.bias[rows] = torch.cat([near, torch.zeros_like(near)])


def _match(
    attention: Any,
    head: int,
    size: int,
    query_blocks: tuple[int, ...],
    key_blocks: tuple[int, ...],
    frequencies: Tensor,
) -> None:
    """Attend to places where `key_blocks` hold what `query_blocks` hold at this one.

    Only the lower frequencies compare contents: rotary embedding hardly turns those.
    """
    rows = slice(head * size, (head + 1) * size)
    still = torch.diag((frequencies < 0.01).float().repeat(2))
    for projection, blocks in ((attention.q_proj, query_blocks), (attention.k_proj, key_blocks)):
        for block in blocks:
            projection.weight[rows, block * size : (block + 1) * size] = 1.8 * still
