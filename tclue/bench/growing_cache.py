"""Keys and values of rows that are decoded together, in buffers that grow by doubling.

transformers' own `DynamicCache` copies all it holds at every token; this one copies when it is
full, so a token costs what attention reads. Made for `DynamicCache`'s interface in transformers 5.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

ROOM = 64  # tokens that a new buffer has room for beyond those it holds


class _GrowingLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """One layer: keys and values [row, head, token, channel], views of larger buffers."""

    keys: Tensor
    values: Tensor

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._buffers: tuple[Tensor, Tensor] | None = None
        self._length = 0

    def update(
        self, key_states: Tensor, value_states: Tensor, *_args: Any, **_kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Append [row, head, new token, channel]; return all keys and values."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start, self._length = self._length, self._length + key_states.shape[-2]
        if self._buffers is None or self._length > self._buffers[0].shape[-2]:
            self._grow(key_states, start)
        assert self._buffers is not None
        for buffer, states in zip(self._buffers, (key_states, value_states), strict=True):
            buffer[:, :, start : self._length] = states
        self.keys, self.values = (buffer[:, :, : self._length] for buffer in self._buffers)
        return self.keys, self.values

    def _grow(self, like: Tensor, held: int) -> None:
        rows, heads, _, channels = like.shape
        shape = (rows, heads, self._length + max(ROOM, held), channels)
        larger = (like.new_empty(shape), like.new_empty(shape))
        if held:
            for new, old in zip(larger, (self.keys, self.values), strict=True):
                new[:, :, :held] = old
        self._buffers = larger

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Each row `repeats` times."""
        super().batch_repeat_interleave(repeats)
        self._buffers = None

    def batch_select_indices(self, indices: Tensor) -> None:
        """Only these rows."""
        super().batch_select_indices(indices)
        self._buffers = None


class GrowingCache(Cache):
    """The cache of a model whose layers attend to everything (no sliding windows)."""

    def __init__(self) -> None:
        super().__init__(layer_class_to_replicate=_GrowingLayer)
