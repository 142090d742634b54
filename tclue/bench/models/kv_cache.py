"""Room for the rows that are decoded together, by `hf:` and by the trainer's own engine.

Keys and values grow in place here, where transformers' own cache copies them all at each token.

A buffer is made a little longer than what it holds, and the keys and values are a view of it; when
it is full, a longer one takes its place, so that a token costs what it takes, not what came before.
Only layers that hold every token are changed: sliding windows and the like stay what they were.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from transformers.cache_utils import DynamicLayer

from tclue.bench.models.memory import memory_bytes
from tclue.errors import UserError

# What transformers calls the keys and values that it is handed: the second until 5.23.
CACHE_NAMES = ("cache", "past_key_values")
# Tokens of room in a new buffer, and the share of what it holds that it has beside them.
ROOM, SHARE = 32, 0.25
# Share of the memory (on a GPU, of what is free) that the keys and values of a batch may take.
CACHE_SHARE = 0.4


class GrowingLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """A layer whose keys and values [row, head, position, channel] are views of buffers."""

    _buffers: tuple[torch.Tensor, torch.Tensor] | None = None

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append; returns all that is held."""
        assert self.keys is not None
        assert self.values is not None
        held = self.keys.shape[-2]
        end = held + key_states.shape[-2]
        if self._buffers is None or self._buffers[0].shape[-2] < end:
            room = end + ROOM + int(SHARE * end)
            self._buffers = _longer(self.keys, room), _longer(self.values, room)
        keys, values = self._buffers
        keys[:, :, held:end], values[:, :, held:end] = key_states, value_states
        self.keys, self.values = keys[:, :, :end], values[:, :, :end]
        return self.keys, self.values

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keep these rows alone, in new memory."""
        super().batch_select_indices(indices)
        self._buffers = None


def _longer(held: torch.Tensor, room: int) -> torch.Tensor:
    row, head, _, channel = held.shape
    buffer = held.new_empty(row, head, room, channel)
    buffer[:, :, : held.shape[-2]] = held
    return buffer


def use_growing_cache(cache: Any) -> None:
    """Let a cache that holds a prompt grow in place."""
    for number, layer in enumerate(cache.layers):
        if type(layer) is DynamicLayer:
            roomy = GrowingLayer()  # type: ignore[no-untyped-call]
            vars(roomy).update(vars(layer))
            cache.layers[number] = roomy


def kv_cache_capacity_tokens(config: Any, dtype: torch.dtype, device: str) -> int:
    """Tokens whose keys and values fit the share of memory that they may take.

    On a CPU of all memory, not of what is free: batches of another size round differently, and a
    run that goes on is to have the numbers of one that was not interrupted.
    """
    if device == "cuda":
        free_bytes, _ = torch.cuda.mem_get_info()
    else:
        free_bytes = memory_bytes()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    token_bytes = 2 * config.num_hidden_layers * heads * size * dtype.itemsize
    return int(CACHE_SHARE * free_bytes / token_bytes)


def padded_left(
    prompts: Sequence[list[int]], device: torch.device | str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Prompts as token ids and mask, [prompt, position] both, that end together.

    What pads is masked, so any token will do.
    """
    width = max(map(len, prompts))
    ids = torch.tensor([[0] * (width - len(p)) + p for p in prompts], device=device)
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=device)
    return ids, mask


def next_token_logits(
    model: Any, ids: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor, cache: Any
) -> tuple[torch.Tensor, Any]:
    """The logits after the last of these tokens [row, token], and the longer cache.

    Not every architecture takes positions, or can leave out the logits that nobody needs: what it
    does not take, it does without. Not so the cache: without it every token but the first is wrong.
    """
    takes = _parameters(model.__class__)
    held = next((name for name in CACHE_NAMES if name in takes), None)
    if held is None:
        raise UserError(
            f"{type(model).__name__} takes none of {', '.join(CACHE_NAMES)}: expected a model that "
            "keeps keys and values, of a transformers that was tried (see pyproject.toml)"
        )
    optional = {"position_ids": positions, "logits_to_keep": 1}
    output = model(
        input_ids=ids,
        attention_mask=mask,
        use_cache=True,
        **{held: cache},
        **{name: value for name, value in optional.items() if name in takes},
    )
    return output.logits[:, -1], getattr(output, held)


@lru_cache
def _parameters(architecture: Any) -> frozenset[str]:
    return frozenset(inspect.signature(architecture.forward).parameters)
