"""Engines: what samples responses from the policy, and how several processes share one.

Two stand behind `Engine`: `engine_hf` (transformers, in this process) and `engine_vllm` (a server
that the trainer starts and owns). In a run of several processes each is used as one engine:

* `PerRankEngine`: each process has an engine of its own and samples its share of the requests.
* `RankZeroEngine`: process 0 has a server, which uses all GPUs. The other processes only help where
  the policy's log-probabilities are wanted, because a sharded policy computes them with all of its
  processes or not at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

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
from tclue_grpo.packing import Pack
from tclue_grpo.rollout import Sample, SamplingRequest


class SampledPolicy(Protocol):
    """What an engine takes of a policy."""

    base: Path

    @property
    def dtype(self) -> torch.dtype:
        """What its weights are kept in."""

    def hf_state(self) -> dict[str, Tensor]:
        """Its weights under their Hugging Face names."""

    def scored(self, pack: Pack) -> Tensor:
        """Its log-probabilities [target] of a pack's targets, on the CPU; nats."""


class Engine(Protocol):
    """Samples responses from the policy's weights."""

    def sync(self, policy: SampledPolicy) -> None:
        """Sample from these weights from now on."""

    def sample(self, requests: Sequence[SamplingRequest]) -> list[list[Sample]]:
        """`n` samples for each request, in order."""

    def close(self) -> None:
        """Free what the engine holds: memory, or its server."""


class PerRankEngine:
    """An engine in each process, with a whole copy of the weights."""

    def __init__(self, engine: Any) -> None:
        """An engine with a transformers `module`, as `engine_hf` has."""
        self._engine = engine

    @torch.no_grad()
    def sync(self, policy: SampledPolicy) -> None:
        """Sample from these weights from now on; the first process has them to give."""
        self._engine.sync(policy)
        for weight in self._engine.module.parameters():
            dist.broadcast(weight, 0)

    def sample(self, requests: Sequence[SamplingRequest]) -> list[list[Sample]]:
        """`n` samples for each request, in order."""
        shares = all_gather(self._engine.sample(requests[rank() :: world_size()]))
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

    def sample(self, requests: Sequence[SamplingRequest]) -> list[list[Sample]]:
        """`n` samples for each request, in order, in all processes."""
        assert self._policy
        samples: list[list[Sample]] = []
        if is_rank_zero():
            samples = self._own.sample(requests)
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
