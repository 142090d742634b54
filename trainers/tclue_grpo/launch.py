"""Who runs the loop: this process; those that `torchrun` started; or several that are started here.

* Several processes on one machine need no `torchrun`: they are started here, one for each GPU. What
  the first one comes to, a result or a line for the user, is handed back.
* They form groups of their own, so that a Ctrl-C reaches each of them once, handed on from here.
  One that dies takes the others with it. To each of them the death of this process is a Ctrl-C:
  they finish the iteration, save, and end.
* Under `torchrun` (several machines, with the run's folder in common) each of its processes was
  started by the same command, and the first one alone has a result.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import (
    ProcessExitedException,
    ProcessRaisedException,
    start_processes,
)

from tclue.errors import UserError
from tclue.trainers import TrainedRun
from tclue_grpo import distributed
from tclue_grpo.config import Config
from tclue_grpo.loop import GOES_ON, on_interrupt, train
from tclue_grpo.vllm_server import free_port

# The others wait while process 0 samples, or saves. That a process died is seen by who started it,
# not by the wait.
PATIENCE = timedelta(hours=6)


def join_process_group() -> None:
    """Join the other processes, as the environment that `torchrun` makes says."""
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        dist.init_process_group("cpu:gloo,cuda:nccl", timeout=PATIENCE)
    else:
        dist.init_process_group("gloo", timeout=PATIENCE)


def train_here(
    config: Config, folder: Path, about: Mapping[str, Any], count: int
) -> TrainedRun | None:
    """Train, in `count` processes; None where another process of a `torchrun` has the result."""
    if "RANK" in os.environ:
        join_process_group()
        trained, first = train(config, folder, about), distributed.is_rank_zero()
        dist.destroy_process_group()  # not after an error: the others would have to take part
        return trained if first else None
    return train(config, folder, about) if count == 1 else train_in(count, config, folder, about)


def train_in(count: int, config: Config, folder: Path, about: Mapping[str, Any]) -> TrainedRun:
    """Train in so many processes that are started for it, on this machine."""
    said = multiprocessing.get_context("spawn").SimpleQueue()
    started: Any = start_processes(  # type: ignore[no-untyped-call]
        _one,
        (count, free_port(), torch.get_num_threads(), said, config, folder, dict(about)),
        nprocs=count,
        join=False,
        start_method="spawn",
    )

    def hand_on() -> None:
        for pid in started.pids():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGINT)

    with on_interrupt(hand_on):
        try:
            while not started.join():
                pass
        except (ProcessExitedException, ProcessRaisedException) as error:
            if said.empty():
                raise UserError(f"{folder}: a process of the run died: {error}{GOES_ON}") from None
    outcome = said.get()
    if isinstance(outcome, BaseException):
        raise outcome
    trained: TrainedRun = outcome
    return trained


def _one(
    index: int,
    count: int,
    port: int,
    threads: int,
    said: Any,
    config: Config,
    folder: Path,
    about: dict[str, Any],
) -> None:
    """One of the processes: what it comes to goes into `said`."""
    os.setpgid(0, 0)
    os.environ |= {"RANK": str(index), "LOCAL_RANK": str(index)}
    os.environ |= {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(max(1, threads // count))
    try:
        join_process_group()
        trained = train(config, folder, about)
        if distributed.is_rank_zero():
            said.put(trained)
        dist.destroy_process_group()
    except UserError as error:
        said.put(UserError(str(error)))
        sys.exit(2)
    except KeyboardInterrupt as error:
        said.put(KeyboardInterrupt(str(error) or GOES_ON))
        sys.exit(130)
