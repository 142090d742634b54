"""Engines sample responses from the policy; here is also how several processes share one.

`Engine` has two implementations: `engine_hf` (transformers, in this process) and `engine_vllm` (a
server that the trainer starts and owns). A run in several processes wraps them:

* `PerRankEngine`: each process has its own engine and samples its share of the requests.
* `RankZeroEngine`: process 0 has a server, which uses all GPUs. The other processes only help to
  compute the policy's log-probabilities, because a sharded policy needs all of its processes for
  that.

Both implementations can stop degenerate responses before the token limit
(`rollout.stop_degenerate`), which is off by default.
"""

from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.distributed as dist
from torch import Tensor

from tclue.bench.models.decode import DecodingRow
from tclue_grpo.distributed import all_gather, broadcast_from_rank_zero, rank, world_size
from tclue_grpo.packing import Pack
from tclue_grpo.policy import Policy
from tclue_grpo.rollout import Sample, SamplingRequest


class Engine(Protocol):
    """Samples responses from the policy's weights."""

    def sync(self, policy: Policy) -> None:
        """Sample from these weights from now on."""

    def sample(self, requests: Sequence[SamplingRequest]) -> list[list[Sample]]:
        """`n` samples for each request, in order."""

    def close(self) -> None:
        """Free the engine's memory, or stop its server."""


class PerRankEngine:
    """An engine in each process, with a full copy of the weights."""

    def __init__(self, engine: Any) -> None:
        """`engine` has a transformers `module`, as `HFEngine` does."""
        self._engine = engine

    @torch.no_grad()
    def sync(self, policy: Policy) -> None:
        """Sample from these weights from now on; process 0 broadcasts them."""
        self._engine.sync(policy)
        for weight in self._engine.module.parameters():
            dist.broadcast(weight, 0)

    def sample(self, requests: Sequence[SamplingRequest]) -> list[list[Sample]]:
        """`n` samples for each request, in order."""
        shares = all_gather(self._engine.sample(requests[rank() :: world_size()]))
        return [shares[i % world_size()][i // world_size()] for i in range(len(requests))]

    def close(self) -> None:
        """Free the copies of the weights."""
        self._engine.close()


class RankZeroEngine:
    """An engine that exists in process 0 only."""

    def __init__(self, engine: Engine | None) -> None:
        """`engine` is None in all processes but process 0."""
        self._engine = engine
        self._policy: Policy | None = None

    def sync(self, policy: Policy) -> None:
        """Sample from these weights from now on."""
        self._policy = policy
        proxy = ScoringProxy(policy)
        broadcast_from_rank_zero(lambda: self._engine.sync(proxy))  # type: ignore[union-attr]

    def sample(self, requests: Sequence[SamplingRequest]) -> list[list[Sample]]:
        """`n` samples for each request, in order, in all processes."""
        assert self._policy
        samples: list[list[Sample]] = []
        if self._engine:
            samples = self._engine.sample(requests)
            _broadcast_pack(None)
        else:
            while pack := _broadcast_pack(None):
                self._policy.score(pack)
        return broadcast_from_rank_zero(lambda: samples)

    def close(self) -> None:
        """Stop the server."""
        if self._engine:
            self._engine.close()


class ScoringProxy(Policy):
    """The policy for the engine of process 0: scoring a pack involves all processes."""

    def __init__(self, policy: Policy) -> None:
        super().__init__(policy.base, policy.temperature, policy.chunk)
        self._policy, self._state = policy, policy.hf_state()

    def hf_state(self) -> dict[str, Tensor]:
        """The weights, which can be taken only once; this frees them."""
        state, self._state = self._state, {}
        return state

    def score(self, pack: Pack) -> Tensor:
        """[target] Log-probabilities of the pack's targets, computed by all processes."""
        _broadcast_pack(pack)
        return self._policy.score(pack)


def _broadcast_pack(pack: Pack | None) -> Pack | None:
    """Send a pack that has to be scored from process 0 to all processes; None ends the scoring."""
    return broadcast_from_rank_zero(lambda: pack)


@dataclass
class WatchedRow(DecodingRow):
    """A response that is stopped when the moving average of its log-probabilities is too low.

    The average starts at 0, so a response gets at least some hundred tokens.
    """

    # weight of the previous average at each token
    alpha: float = 0.992
    # lowest moving average, and the moving average so far; nats
    threshold: float = -3.0
    average: float = 0.0

    def extend(self, token: int, logprob: float | None, ends: Container[int]) -> None:
        """Add a token, and stop the response if it has degenerated."""
        super().extend(token, logprob, ends)
        assert logprob is not None
        self.average = self.alpha * self.average + (1 - self.alpha) * logprob
        if self.finish != "stop" and self.average < self.threshold:
            self.finish = "degenerate"
