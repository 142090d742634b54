"""A process that saves checkpoints until it is killed, repeatedly; for trainers/test_checkpoint.

Torch is imported once; each line on standard input, `[folder, n, bytes]`, forks a child that opens
the folder and saves more steps after the last one. With `n` it kills itself at the n-th call that
touches the disk (0: it saves three times and exits; -1: it saves forever); with `bytes` no file may
grow beyond that size. The parent prints the child's id, and then its exit code.

Every weight and moment of step N is N, so a mixture of two steps is detected.
"""

from __future__ import annotations

import itertools
import json
import os
import resource
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from tclue.errors import UserError
from tclue.strict import read
from tclue_grpo import checkpoint
from tclue_grpo.checkpoint import Checkpoints, State, restore

# What reads a checkpoint's state is imported here once, too, and not by each child.
read(State, {"iteration": 0, "position": 0, "difficulty": "easy"}, "nowhere")


class _Weights:
    """A policy and its optimizer: two weights, AdamW's moments for them."""

    def __init__(self, size: int = 100) -> None:
        self.masters = self.weights = [nn.Parameter(torch.zeros(size, size)) for _ in range(2)]
        self.adamw = torch.optim.AdamW(self.masters)

    def fill(self, number: int) -> None:
        for weight in self.weights:
            with torch.no_grad():
                weight.fill_(number)
            self.adamw.state[weight] = {
                "step": torch.tensor(float(number)),
                "exp_avg": torch.full_like(weight, number),
                "exp_avg_sq": torch.full_like(weight, number),
            }

    def numbers(self) -> set[float]:
        """The distinct values of all weights and moments: only one if they are of one step."""
        moments: list[Tensor] = [v for s in self.adamw.state.values() for v in s.values()]
        return {float(x) for t in (*self.weights, *moments) for x in t.detach().flatten().tolist()}

    def save(self, folder: Path) -> None:
        save_file({"w": self.weights[0].detach()}, folder / "model.safetensors")
        (folder / "config.json").write_text("{}\n")


Weights: Any = _Weights  # it has what a checkpoint uses of a policy and of an optimizer


def save_on(run: Path, times: int | None) -> None:
    """Save `times` more steps after the last one; None saves forever."""
    weights = Weights()
    checkpoints = Checkpoints(run, {"base": "tiny"}, keep_every=4)
    last = checkpoints.last()
    start = restore(last, weights).iteration if last else 0
    for number in itertools.islice(itertools.count(start + 1), times):
        weights.fill(number)
        best = {"iteration": number - number % 3} if number >= 3 else None
        checkpoints.save(weights, weights, State(number, 10 * number, "easy", best=best))


def die_at(call: int) -> None:
    """Make the process kill itself at its n-th call that touches the disk."""
    calls = itertools.count(1)

    def killing(function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **named: Any) -> Any:
            if next(calls) == call:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **named)

        return wrapped

    for owner, name in (
        (checkpoint, "save_file"),
        (checkpoint, "sync"),
        (checkpoint, "replace"),
        (shutil, "rmtree"),
        (os, "unlink"),
        (os, "rmdir"),
        (Path, "rename"),
        (Path, "mkdir"),
        (Path, "write_text"),
    ):
        setattr(owner, name, killing(getattr(owner, name)))


def main() -> None:
    torch.set_num_threads(1)
    Weights()  # AdamW's slow imports run here once, not in each child
    for line in sys.stdin:
        run, call, limit = json.loads(line)
        if not (child := os.fork()):
            if limit:
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            if call > 0:
                die_at(call)
            try:
                save_on(Path(run), None if call < 0 else 3)
            except UserError as error:
                (Path(run) / "error.txt").write_text(str(error))
                os._exit(3)
            os._exit(0)
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
