"""Machines for the tests of training plans."""

from __future__ import annotations

from tclue_grpo.plan import Machine

NO_GPU = Machine((), 8_000_000_000, 2)


def gpus(count: int, gigabytes: float, name: str = "NVIDIA H100 80GB HBM3") -> Machine:
    """A machine with a number of GPUs of one kind, each with so many gigabytes of memory."""
    return Machine(((name, int(gigabytes * 1e9)),) * count, 500_000_000_000, 16)
