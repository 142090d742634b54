"""Rollouts by transformers, in this process, from the same weights that are trained.

* Responses are decoded in a batch, as those of `hf:` models are (`tclue.bench.models.decode`).
* Token t of response i of a request is drawn by inverting the cumulative distribution at a uniform
  number that depends on the request's seed alone, so the rest of the batch makes no difference,
  except for rounding.
* Log-probabilities are fp32, under the distribution that is sampled from.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, cast

import torch
from torch import Tensor

from tclue.bench.models.decode import DecodingRow, decode
from tclue.bench.models.memory import kv_cache_capacity_tokens
from tclue_grpo.hf_files import load_weights
from tclue_grpo.policy import Policy
from tclue_grpo.rollout import Finish, Sample, SamplingRequest

# Finished rows are removed from the batch once they are more than this share of it.
MAX_ENDED_SHARE = 0.25


@dataclass
class HFEngine:
    """Samples from a transformers model."""

    module: Any
    # tokens that end a response, and the token limit of one
    ends: set[int]
    max_tokens: int
    temperature: float = 1.0
    # maximum number of responses in a batch
    max_rows: int = 512
    # makes an empty response from the index of its prompt and `max_tokens`
    make_row: Callable[[int, int], DecodingRow] = DecodingRow

    def sync(self, policy: Policy) -> None:
        """Load the policy's weights, unless the policy uses this very module."""
        if getattr(policy, "module", None) is self.module:
            return
        if state := policy.hf_state():  # else another process has them
            load_weights(self.module, state)

    def close(self) -> None:
        """Drop the reference to the model, which may be the policy's own."""
        self.module = None

    def sample(self, requests: Sequence[SamplingRequest]) -> list[list[Sample]]:
        """`n` samples for each request, in order."""
        module = self.module
        training, attention = module.training, module.config._attn_implementation
        module.eval()
        # Flex attention, which the loss uses on CUDA, does not accept a mask of this kind.
        module.set_attn_implementation("sdpa")
        samples: dict[int, list[Sample]] = {}
        # Longest prompts first, so that prompts of similar length share a batch.
        order = sorted(range(len(requests)), key=lambda i: -len(requests[i].prompt))
        while order:
            count = self._batch_size([requests[i] for i in order])
            batch, order = order[:count], order[count:]
            samples |= zip(batch, self._sample([requests[i] for i in batch]), strict=True)
        module.train(training)
        module.set_attn_implementation(attention)
        return [samples[i] for i in range(len(requests))]

    def _batch_size(self, requests: Sequence[SamplingRequest]) -> int:
        """How many of the requests, the longest first, fit into memory together: at least 1."""
        weight = next(self.module.parameters())
        config, device = self.module.config.get_text_config(), weight.device.type
        capacity = kv_cache_capacity_tokens(config, weight.dtype, device)
        longest = len(requests[0].prompt) + self.max_tokens
        limit = min(self.max_rows, capacity // longest)
        return max(1, sum(rows <= limit for rows in accumulate(r.n for r in requests)))

    def _sample(self, requests: Sequence[SamplingRequest]) -> list[list[Sample]]:
        """The samples of requests that share a batch."""
        groups, draws = [], []
        for i, request in enumerate(requests):
            groups.append([self.make_row(i, self.max_tokens) for _ in range(request.n)])
            rng, shape = torch.Generator().manual_seed(request.seed), (request.n, self.max_tokens)
            draws.append(torch.rand(shape, generator=rng, dtype=torch.float64))
        # [row, token] in [0, 1): the number that decides each token
        uniform = torch.cat(draws).to(next(self.module.parameters()).device)

        def draw(logits: Tensor, numbers: list[int], token: int) -> tuple[Tensor, Tensor]:
            return draw_at(uniform[numbers, token], logits.float() / self.temperature)

        prompts = [request.prompt for request in requests]
        rows = [row for group in groups for row in group]
        for _ in decode(self.module, prompts, rows, draw, self.ends, MAX_ENDED_SHARE):
            pass  # the rows hold the results
        return [
            [Sample(row.ids, row.logprobs, cast(Finish, row.finish)) for row in group]
            for group in groups
        ]


def draw_at(uniform: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
    """[row] Tokens where the cumulative distribution passes `uniform` [row]; log-probabilities."""
    logprobs = logits.log_softmax(-1)
    # In float64, because an fp32 sum over a large vocabulary loses its tail.
    cumulative = logprobs.double().exp().cumsum(-1)
    threshold = uniform[:, None] * cumulative[:, -1:]
    tokens = torch.searchsorted(cumulative, threshold, right=True).clamp(max=logits.shape[-1] - 1)
    return tokens[:, 0], logprobs.gather(-1, tokens)[:, 0]
