"""An engine for all processes of a sharded run (`sharded`), as one.

`Dealt`: each process has an engine, and samples its share of the requests. `OfFirst`: the first one
has a server, which uses all GPUs; the others only help where the policy is asked, since a sharded
policy answers with all of its processes or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor

from tclue_grpo.distributed import gathered, is_first, number, of_first, processes
from tclue_grpo.engine_hf import HFEngine
from tclue_grpo.policy import Pack
from tclue_grpo.rollout import Engine, Request, Sample, Sampled


class Dealt:
    """An engine in each process, with a whole copy of the weights."""

    def __init__(self, engine: HFEngine) -> None:
        self._engine = engine

    @torch.no_grad()
    def sync(self, policy: Sampled) -> None:
        """Sample from these weights from now on; the first process has them to give."""
        self._engine.sync(policy)
        for weight in self._engine.module.parameters():
            dist.broadcast(weight, 0)

    def sample(
        self, requests: Sequence[Request], tick: Callable[[int], None] = lambda _: None
    ) -> list[list[Sample]]:
        """`n` samples for each request, in order."""
        shares = gathered(self._engine.sample(requests[number() :: processes()], tick))
        return [shares[i % processes()][i // processes()] for i in range(len(requests))]

    def close(self) -> None:
        """Let go of the copies."""
        self._engine.close()


class OfFirst:
    """An engine that the first process has alone."""

    def __init__(self, engine: Engine | None) -> None:
        """The engine, in the first process; None in the others."""
        self._engine = engine
        self._policy: Sampled | None = None

    def sync(self, policy: Sampled) -> None:
        """Sample from these weights from now on."""
        self._policy = policy
        asked = _Asked(policy)
        of_first(lambda: self._own.sync(asked))

    def sample(
        self, requests: Sequence[Request], tick: Callable[[int], None] = lambda _: None
    ) -> list[list[Sample]]:
        """`n` samples for each request, in order, in all processes."""
        assert self._policy
        samples: list[list[Sample]] = []
        if is_first():
            samples = self._own.sample(requests, tick)
            _ask(None)
        else:
            while pack := _ask(None):
                self._policy.scored(pack)
        return of_first(lambda: samples)

    def close(self) -> None:
        """End the server."""
        if self._engine:
            self._engine.close()

    @property
    def _own(self) -> Engine:
        assert self._engine
        return self._engine


class _Asked:
    """The policy as the first process's engine sees it: whoever asks it asks all processes."""

    def __init__(self, policy: Sampled) -> None:
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
    return of_first(lambda: pack)
