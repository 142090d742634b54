"""Batched decoding with transformers, one token per row and step, for `hf:` models and trainers.

    for ended in decode(model, prompts, rows, draw, end_ids, max_ended_share=0.15):
        ...

* A prompt that several rows share is computed once. Then its keys and values are repeated.
* Rows that have ended are removed from the batch together, once they are more than
  `max_ended_share` of it, because removal copies the keys and values of the rows that remain.
* Keys and values grow in place, whereas transformers' own cache copies all of them at each token.
  They are views of a buffer that is a little longer than its content. When the buffer is full, a
  longer one replaces it. Only layers that keep every token are changed, not sliding windows, for
  example.
* The caller draws the tokens: `hf:` models by exponential races with one generator per response,
  the trainer by inverting the cumulative distribution at one uniform number per token.

transformers' own `generate_batch` was tried instead: see docs/log.md, 2026-11-28.
"""

import inspect
import itertools
import sys
import time
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers.cache_utils import DynamicLayer

from tclue.errors import UserError

# Names of transformers' argument for the keys and values; the second was used until 5.23.
CACHE_NAMES = ("cache", "past_key_values")
# A new buffer has space for this many more tokens, and in addition for this share of its content.
MARGIN_TOKENS, MARGIN_SHARE = 32, 0.25

# A function of logits [row, vocab], the numbers of the rows, and the number of tokens that each
# has. It returns the next tokens [row] and their log-probabilities [row] in nats, or None for
# these.
Draw = Callable[[Tensor, list[int], int], tuple[Tensor, Tensor | None]]


@dataclass
class DecodingRow:
    """A response that is being decoded."""

    # index of its prompt
    prompt: int
    # most tokens that it may have, and the finish reason of a response that reaches them
    max_tokens: int
    at_limit: str = "length"
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    # None until it has ended
    finish: str | None = None
    # its share of the wall time: the sum of each step's time divided by the rows in that step
    compute_s: float = 0.0

    def extend(self, token: int, logprob: float | None, end_ids: Container[int]) -> None:
        """Add a token. The response ends at one of `end_ids`, or at its limit."""
        self.ids.append(token)
        if logprob is not None:
            self.logprobs.append(logprob)
        if token in end_ids:
            self.finish = "stop"
        elif len(self.ids) >= self.max_tokens:
            self.finish = self.at_limit


def decode(
    model: Any,
    prompts: Sequence[list[int]],
    rows: Sequence[DecodingRow],
    draw: Draw,
    end_ids: Container[int],
    max_ended_share: float,
    context: int = sys.maxsize,
) -> Iterator[list[DecodingRow]]:
    """Decode rows until all have ended; yields the rows that ended in each step.

    `prompts` are token ids. Positions are kept below `context`, because a row that has ended and is
    still in the batch may be past it. Raises UserError for a model without keys and values.
    """
    numbers = list(range(len(rows)))  # the numbers of the rows in the batch
    tokens, mask, cache = torch.empty(0), torch.empty(0), None
    for step in itertools.count():
        start = time.perf_counter()
        with torch.inference_mode():
            if cache is None:
                logits, mask, cache = _prefill(
                    model, prompts, [row.prompt for row in rows], context
                )
            else:
                mask = torch.cat([mask, torch.ones_like(tokens[:, None])], dim=1)
                logits, cache = next_token_logits(model, tokens[:, None], mask, context, cache)
            tokens, logprobs = draw(logits, numbers, step)
            active = [(i, row) for i, n in enumerate(numbers) if (row := rows[n]).finish is None]
            token_ids, row_logprobs = tokens.tolist(), [] if logprobs is None else logprobs.tolist()
            for index, row in active:
                row.extend(token_ids[index], row_logprobs[index] if row_logprobs else None, end_ids)
            ongoing = [index for index, row in active if row.finish is None]
            if ongoing and len(numbers) - len(ongoing) > max_ended_share * len(numbers):
                keep = torch.tensor(ongoing, device=tokens.device)
                cache.batch_select_indices(keep)
                tokens, mask, numbers = tokens[keep], mask[keep], [numbers[i] for i in ongoing]
        for _, row in active:
            row.compute_s += (time.perf_counter() - start) / len(active)
        yield [row for _, row in active if row.finish is not None]
        if not ongoing:
            return


def _prefill(
    model: Any, prompts: Sequence[list[int]], prompt_of: list[int], context: int
) -> tuple[Tensor, Tensor, Any]:
    """Compute the prompts: logits [row, vocab], mask [row, position], keys and values."""
    device = next(model.parameters()).device
    width = max(map(len, prompts))
    # Padded on the left, so that all end at one position. Padding is masked, so any token will do.
    ids = torch.tensor([[0] * (width - len(p)) + p for p in prompts], device=device)
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=device)
    logits, cache = next_token_logits(model, ids, mask, context, None)
    if len(prompts) < len(prompt_of):
        indices = torch.tensor(prompt_of, device=device)
        cache.batch_select_indices(indices)
        logits, mask = logits[indices], mask[indices]
    use_growing_cache(cache)
    return logits, mask, cache


def next_token_logits(
    model: Any, ids: Tensor, mask: Tensor, context: int, cache: Any
) -> tuple[Tensor, Any]:
    """The logits [row, vocab] after `ids` [row, token], and the keys and values with these added.

    `mask` [row, position] is 1 for tokens and 0 for padding. Positions are kept below `context`.
    Arguments that an architecture does not take are left out, except the cache: without it every
    token after the first would be wrong, so UserError is raised.
    """
    accepted = _parameters(model.__class__)
    cache_name = next((name for name in CACHE_NAMES if name in accepted), None)
    if cache_name is None:
        raise UserError(
            f"{type(model).__name__} takes none of {', '.join(CACHE_NAMES)}: expected a model with "
            "keys and values, and a version of transformers that pyproject.toml allows"
        )
    positions = (mask.cumsum(-1) - 1)[:, -ids.shape[1] :].clamp(0, context - 1)
    optional = {"position_ids": positions, "logits_to_keep": 1}
    output = model(
        input_ids=ids,
        attention_mask=mask,
        use_cache=True,
        **{cache_name: cache},
        **{name: value for name, value in optional.items() if name in accepted},
    )
    return output.logits[:, -1], getattr(output, cache_name)


@lru_cache
def _parameters(architecture: Any) -> frozenset[str]:
    return frozenset(inspect.signature(architecture.forward).parameters)


class GrowingLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """A layer whose keys and values [row, head, position, channel] are views of buffers."""

    _buffers: tuple[Tensor, Tensor] | None = None

    def update(
        self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any
    ) -> tuple[Tensor, Tensor]:
        """Append keys and values; returns all of them."""
        assert self.keys is not None
        assert self.values is not None
        length = self.keys.shape[-2]
        end = length + key_states.shape[-2]
        if self._buffers is None or self._buffers[0].shape[-2] < end:
            added = end - length + MARGIN_TOKENS + int(MARGIN_SHARE * end)
            self._buffers = pad(self.keys, (0, 0, 0, added)), pad(self.values, (0, 0, 0, added))
        keys, values = self._buffers
        keys[:, :, length:end], values[:, :, length:end] = key_states, value_states
        self.keys, self.values = keys[:, :, :end], values[:, :, :end]
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep only these rows, in new memory."""
        super().batch_select_indices(indices)
        self._buffers = None


def use_growing_cache(cache: Any) -> None:
    """Make a cache, which already holds a prompt, grow in place from now on."""
    for number, layer in enumerate(cache.layers):
        if type(layer) is DynamicLayer:
            growing = GrowingLayer()  # type: ignore[no-untyped-call]
            vars(growing).update(vars(layer))
            cache.layers[number] = growing
