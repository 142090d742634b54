"""Initial weights with which a model can already copy, which everything else in a transcript needs.

A model of this size needs much of its training to learn heads that look one token back, and then
heads that find an earlier occurrence of the current words and what followed it (induction heads:
Olsson et al., 2022). Such heads can be constructed, so training starts with them (compare Trockman
and Kolter, 2023) and can change them.

The hidden dimensions are five blocks of the size of a head: the token at this position, the tokens
one, two and three positions before, and the token to copy. Embeddings and output rows have the
identity of a token, a random vector, in the first and the last block.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import Qwen2ForCausalLM

BLOCKS = 5
ROPE_BASE = 1e6
# The blocks that the heads of the second layer compare: those of the query with those of the keys.
MATCHES = (((0,), (1,)), ((1,), (2,)), ((0, 1), (1, 2)))


@torch.no_grad()
def write_circuits(model: Qwen2ForCausalLM) -> None:
    """Set the heads of the first two layers, and the identities in both embeddings."""
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
    """Copy the identity of the attended token into a block of the attending token."""
    rows = slice(head * size, (head + 1) * size)
    attention.v_proj.weight[rows, :size] = torch.eye(size)
    attention.o_proj.weight[to * size : (to + 1) * size, rows] = scale * torch.eye(size)


def _look_back(attention: Any, head: int, distance: int, frequencies: Tensor) -> None:
    """Attend to the token `distance` positions before, whatever the tokens are.

    With biases b e^(-i d f) for queries and b for keys, rotary embedding gives two positions at
    distance m the score b^2 cos((m - d) f), which over the higher frequencies is sharpest at m = d.
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
    """Attend to positions at which `key_blocks` equal `query_blocks` at this position.

    Only the lower frequencies compare contents, because rotary embedding hardly rotates those.
    """
    rows = slice(head * size, (head + 1) * size)
    still = torch.diag((frequencies < 0.01).float().repeat(2))
    for projection, blocks in ((attention.q_proj, query_blocks), (attention.k_proj, key_blocks)):
        for block in blocks:
            projection.weight[rows, block * size : (block + 1) * size] = 1.8 * still
