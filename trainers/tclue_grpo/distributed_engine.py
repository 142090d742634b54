"""Sampling engines for a run of several processes, each used by all of them as one engine.

* `PerRankEngine`: each process has an engine of its own and samples its share of the requests.
* `RankZeroEngine`: process 0 has a server, which uses all GPUs. The other processes only help where
  the policy's log-probabilities are wanted, because a sharded policy computes them with all of its
  processes or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor

from tclue_grpo.distributed import (
    all_gather,
    broadcast_from_rank_zero,
    is_rank_zero,
    rank,
    world_size,
)
from tclue_grpo.engine_hf import HFEngine
from tclue_grpo.policy import Pack
from tclue_grpo.rollout import Engine, Sample, SampledPolicy, SamplingRequest


class PerRankEngine:
    """An engine in each process, with a whole copy of the weights."""

    def __init__(self, engine: HFEngine) -> None:
        self._engine = engine

    @torch.no_grad()
    def sync(self, policy: SampledPolicy) -> None:
        """Sample from these weights from now on; the first process has them to give."""
        self._engine.sync(policy)
        for weight in self._engine.module.parameters():
            dist.broadcast(weight, 0)

    def sample(
        self, requests: Sequence[SamplingRequest], tick: Callable[[int], None] = lambda _: None
    ) -> list[list[Sample]]:
        """`n` samples for each request, in order."""
        shares = all_gather(self._engine.sample(requests[rank() :: world_size()], tick))
        return [shares[i % world_size()][i // world_size()] for i in range(len(requests))]

    def close(self) -> None:
        """Let go of the copies."""
        self._engine.close()


class RankZeroEngine:
    """An engine that the first process has alone."""

    def __init__(self, engine: Engine | None) -> None:
        """The engine, in the first process; None in the others."""
        self._engine = engine
        self._policy: SampledPolicy | None = None

    def sync(self, policy: SampledPolicy) -> None:
        """Sample from these weights from now on."""
        self._policy = policy
        asked = ScoringProxy(policy)
        broadcast_from_rank_zero(lambda: self._own.sync(asked))

    def sample(
        self, requests: Sequence[SamplingRequest], tick: Callable[[int], None] = lambda _: None
    ) -> list[list[Sample]]:
        """`n` samples for each request, in order, in all processes."""
        assert self._policy
        samples: list[list[Sample]] = []
        if is_rank_zero():
            samples = self._own.sample(requests, tick)
            _ask(None)
        else:
            while pack := _ask(None):
                self._policy.scored(pack)
        return broadcast_from_rank_zero(lambda: samples)

    def close(self) -> None:
        """End the server."""
        if self._engine:
            self._engine.close()

    @property
    def _own(self) -> Engine:
        assert self._engine
        return self._engine


class ScoringProxy:
    """The policy as the first process's engine sees it: whoever asks it asks all processes."""

    def __init__(self, policy: SampledPolicy) -> None:
        self._policy, self.base = policy, Path(policy.base)
        self._state = policy.hf_state()

    @property
    def dtype(self) -> torch.dtype:
        """What the weights are kept in."""
        return self._policy.dtype

    def hf_state(self) -> dict[str, Tensor]:
        """The weights, which are not held any longer: they are asked for once."""
        state, self._state = self._state, {}
        return state

    def scored(self, pack: Pack) -> Tensor:
        """Log-probabilities of the pack's targets, with the help of the other processes."""
        _ask(pack)
        return self._policy.scored(pack)


def _ask(pack: Pack | None) -> Pack | None:
    """The pack that the first process wants scored, in all processes; None when it is done."""
    return broadcast_from_rank_zero(lambda: pack)
