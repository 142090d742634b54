"""Which processes run the loop: this one, those that `torchrun` started, or new ones started here.

* Several processes on one machine need no `torchrun`: they are started here, one for each GPU.
  Process 0 sends its result back, or the error message for the user.
* Each process has its own process group, so a Ctrl-C reaches it once, forwarded from here. If one
  dies, the others are ended too. If this process dies, they treat that like a Ctrl-C: they finish
  the iteration, save, and exit.
* Under `torchrun` (several machines that share the run's folder) every process was started by the
  same command, and process 0 alone returns a result.
"""

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
from tclue_grpo.loop import RESUME_HINT, on_interrupt, train
from tclue_grpo.vllm_server import free_port

# The other processes wait while process 0 samples or saves. The death of a process is noticed by
# the process that started it, not by this timeout.
PATIENCE = timedelta(hours=6)


def join_process_group() -> None:
    """Join the process group that the environment variables of `torchrun` describe."""
    if on_gpu := torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo", timeout=PATIENCE)


def run_training(
    config: Config, folder: Path, manifest: Mapping[str, Any], count: int
) -> TrainedRun | None:
    """Train in `count` processes; None if another process of a `torchrun` returns the result."""
    if "RANK" in os.environ:
        join_process_group()
        trained, is_first = train(config, folder, manifest), distributed.is_rank_zero()
        dist.destroy_process_group()  # not after an error: the others would have to take part
        return trained if is_first else None
    if count == 1:
        return train(config, folder, manifest)
    return train_in_processes(count, config, folder, manifest)


def train_in_processes(
    count: int, config: Config, folder: Path, manifest: Mapping[str, Any]
) -> TrainedRun:
    """Train in `count` processes that are started for this on this machine."""
    results = multiprocessing.get_context("spawn").SimpleQueue()
    processes: Any = start_processes(  # type: ignore[no-untyped-call]
        _run_process,
        (count, free_port(), torch.get_num_threads(), results, config, folder, dict(manifest)),
        nprocs=count,
        join=False,
        start_method="spawn",
    )

    def forward_interrupt() -> None:
        for pid in processes.pids():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGINT)

    with on_interrupt(forward_interrupt):
        try:
            while not processes.join():
                pass
        except (ProcessExitedException, ProcessRaisedException) as error:
            if results.empty():
                message = f"{folder}: a process of this run died: {error}{RESUME_HINT}"
                raise UserError(message) from None
    outcome = results.get()
    if isinstance(outcome, BaseException):
        raise outcome
    trained: TrainedRun = outcome
    return trained


def _run_process(
    index: int,
    count: int,
    port: int,
    threads: int,
    results: Any,
    config: Config,
    folder: Path,
    manifest: dict[str, Any],
) -> None:
    """Train in one of the processes, and put its result or error into `results`."""
    os.setpgid(0, 0)
    os.environ |= {"RANK": str(index), "LOCAL_RANK": str(index)}
    os.environ |= {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(max(1, threads // count))
    try:
        if trained := run_training(config, folder, manifest, count):
            results.put(trained)
    except UserError as error:
        results.put(UserError(str(error)))
        sys.exit(2)
    except KeyboardInterrupt as error:
        results.put(KeyboardInterrupt(str(error) or RESUME_HINT))
        sys.exit(130)
