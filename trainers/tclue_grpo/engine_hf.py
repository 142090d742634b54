"""Rollouts by transformers, in this process, from the very weights that are trained.

* A prompt is computed once for its group; then its keys and values are repeated for the responses.
* All responses are decoded together, a token of each a step. Rows that ended are dropped once they
  are a fourth of the batch: dropping copies the keys and values of those that stay.
* Token t of response i of a request is drawn from one uniform number, by inverting the cumulative
  distribution: drawn by the request's seed, so what shares the batch does not matter, but for
  rounding.
* Log-probabilities are fp32, of the distribution that is sampled from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from tclue.bench.models.kv_cache import (
    kv_cache_capacity_tokens,
    next_token_logits,
    padded_left,
    use_growing_cache,
)
from tclue_grpo.rollout import Degeneration, Finish, Sample, SampledPolicy, SamplingRequest

DROP_AT = 0.25


@dataclass
class _Row:
    """A response in the making."""

    uniform: Tensor  # [token] float64 in [0, 1)
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    # moving average of the log-probabilities, where it is watched
    average: float = 0.0
    finish: Finish | None = None


class HFEngine:
    """Samples from a transformers model."""

    def __init__(
        self,
        module: Any,
        ends: set[int],
        *,
        max_tokens: int,
        temperature: float = 1.0,
        max_rows: int = 512,
        degeneration: Degeneration | None = None,
    ) -> None:
        self.module, self._ends = module, ends
        self._max_tokens, self._temperature = max_tokens, temperature
        self._max_rows, self._degeneration = max_rows, degeneration

    def sync(self, policy: SampledPolicy) -> None:
        """Take the policy's weights, where they are not this module's own."""
        if getattr(policy, "module", None) is self.module:
            return
        if state := policy.hf_state():  # else another process has them
            found = self.module.load_state_dict(state, strict=False)
            embedding = self.module.get_input_embeddings().weight
            # A tied head is not named twice.
            left = [k for k in found.missing_keys if self.module.get_parameter(k) is not embedding]
            if left or found.unexpected_keys:
                raise RuntimeError(f"weights do not match: {left}, {found.unexpected_keys}")

    def close(self) -> None:
        """Let go of the model, which may be the policy's own."""
        self.module = None

    def sample(
        self, requests: Sequence[SamplingRequest], tick: Callable[[int], None] = lambda _: None
    ) -> list[list[Sample]]:
        """`n` samples for each request, in order."""
        groups = [self._rows(request) for request in requests]
        module = self.module
        training, attention = module.training, module.config._attn_implementation
        module.eval()
        # What the loss attends with on CUDA takes no mask of this kind.
        module.set_attn_implementation("sdpa")
        # Longest prompts first, so that prompts of like length share a batch.
        order = sorted(range(len(requests)), key=lambda i: -len(requests[i].prompt))
        while order:
            count = self._fitting([requests[i] for i in order])
            some, order = order[:count], order[count:]
            self._decode([requests[i].prompt for i in some], [groups[i] for i in some], tick)
        module.train(training)
        module.set_attn_implementation(attention)
        return [
            [Sample(row.ids, row.logprobs, row.finish or "length") for row in group]
            for group in groups
        ]

    def _rows(self, request: SamplingRequest) -> list[_Row]:
        dice = torch.Generator().manual_seed(request.seed)
        uniform = torch.rand(request.n, self._max_tokens, generator=dice, dtype=torch.float64)
        return [_Row(row) for row in uniform]

    def _fitting(self, requests: Sequence[SamplingRequest]) -> int:
        """How many of the requests, the longest first, fit the memory at once: 1 at the least."""
        weight = next(self.module.parameters())
        room = kv_cache_capacity_tokens(
            self.module.config.get_text_config(), weight.dtype, weight.device.type
        )
        longest = len(requests[0].prompt) + self._max_tokens
        limit = min(self._max_rows, room // longest)
        return max(1, sum(rows <= limit for rows in accumulate(r.n for r in requests)))

    @torch.inference_mode()
    def _decode(
        self, prompts: list[list[int]], groups: list[list[_Row]], tick: Callable[[int], None]
    ) -> None:
        """Decode the groups' rows to their ends."""
        device = next(self.module.parameters()).device
        ids, real = padded_left(prompts, device)
        mask = real.bool()  # [row, position]
        logits, cache = self._forward(ids, mask, (real.cumsum(-1) - 1).clamp(min=0), None)
        counts = torch.tensor([len(group) for group in groups], device=device)
        spread = torch.repeat_interleave(counts)  # [row] -> prompt
        cache.batch_select_indices(spread)
        use_growing_cache(cache)
        logits, mask = logits[spread], mask[spread]
        rows = [row for group in groups for row in group]
        uniform = torch.stack([row.uniform for row in rows]).to(device)  # [row, token]
        positions = mask.sum(-1)  # [row], of the token to come
        alive = list(range(len(rows)))  # places in the batch that are not ended
        for t in range(self._max_tokens):
            tokens, logprobs = self._draw(logits, uniform[:, t])
            drawn = zip(alive, tokens[alive].tolist(), logprobs[alive].tolist(), strict=True)
            for place, token, logprob in drawn:
                self._extend(rows[place], token, logprob)
            left = [place for place in alive if rows[place].finish is None]
            tick(len(alive) - len(left))
            alive = left
            if not alive:
                return
            if len(alive) < (1 - DROP_AT) * len(rows):
                kept = torch.tensor(alive, device=device)
                cache.batch_select_indices(kept)
                tokens, mask, positions = tokens[kept], mask[kept], positions[kept]
                uniform, rows = uniform[kept], [rows[place] for place in alive]
                alive = list(range(len(rows)))
            mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=1)
            logits, cache = self._forward(tokens[:, None], mask, positions[:, None], cache)
            positions = positions + 1

    def _forward(
        self, ids: Tensor, mask: Tensor, positions: Tensor, cache: Any
    ) -> tuple[Tensor, Any]:
        """Logits [row, token] of what comes next, in fp32, and the longer cache."""
        seen = mask[:, None, None, :]  # as it is used; transformers would make it for each token
        if cache is None:
            square = mask.new_ones(ids.shape[1], ids.shape[1])
            # A padding token sees itself, or its softmax would be of nothing.
            seen = (seen & square.tril()) | (square.tril() & square.triu())
        logits, cache = next_token_logits(self.module, ids, seen, positions, cache)
        return logits.float(), cache

    def _draw(self, logits: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
        """The next tokens [row] by inverting the distribution, and their log-probabilities."""
        logprobs = (logits / self._temperature).log_softmax(-1)
        # In double: in fp32 the sum over a large vocabulary misses its tail.
        cumulative = logprobs.double().exp().cumsum(-1)
        wanted = uniform[:, None] * cumulative[:, -1:]
        tokens = torch.searchsorted(cumulative, wanted, right=True).clamp(max=logits.shape[-1] - 1)
        return tokens[:, 0], logprobs.gather(-1, tokens)[:, 0]

    def _extend(self, row: _Row, token: int, logprob: float) -> None:
        row.ids.append(token)
        row.logprobs.append(logprob)
        if watch := self._degeneration:
            row.average = watch.after(row.average, logprob)
        if token in self._ends:
            row.finish = "stop"
        elif watch and row.average < watch.threshold:
            row.finish = "degenerate"
        elif len(row.ids) >= self._max_tokens:
            row.finish = "length"
