"""Kills a training run, whose samples come from a vLLM server, again and again.

A run is killed with SIGKILL at random moments and started again with the same command until it is
complete. Its metrics, without times, and its last weights and moments must then be those of a run
that was never killed, and no process and no file of its servers may be left. A complete run is
removed, and the next one begins, until there were enough kills.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from killing import WAIT_S, Commands
from metric_lines import without_timings
from places import ROOT, SUPPORT

RUN, LAST = "runs/tiny-seed1", "runs/tiny-seed1/step-{:06d}"
SMALL = (
    *("data.puzzles_per_iteration=2", "rollout.responses_per_puzzle=4", "rollout.max_tokens=24"),
    *("train.validate_every=4", "train.save_every=1", "train.validation_puzzles=2"),
    *("train.validation_samples=1", "update.steps_per_iteration=2", "guard.on=false"),
)


@dataclass(frozen=True)
class TrainPlan:
    """How often a training run is killed."""

    # kills at least, and the seed of their moments
    kills: int = 10
    seed: int = 1
    # iterations of a run
    iterations: int = 4


@dataclass(frozen=True)
class TrainBooks:
    """The result."""

    kills: int
    starts: int
    # complete runs, and those of them that were not as the run that was never killed
    complete: int
    wrong: tuple[str, ...]
    # servers that were started; processes and folders of them that are left
    servers: int
    left: tuple[str, ...]
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.kills} kills, {self.starts} starts, {self.complete} complete runs, of which "
            f"{len(self.wrong)} differ from one that was never killed; {self.servers} servers, of "
            f"which {len(self.left)} left something behind; {self.seconds:.0f} s"
        )


@contextmanager
def sampling_servers(folder: Path) -> Iterator[Path]:
    """The Python of an environment whose vLLM starts in a moment."""
    command = [sys.executable, str(SUPPORT / "sampling_vllm.py"), str(folder)]
    process = subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE)
    try:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        yield folder / "bin" / "python"
    finally:
        process.kill()
        process.communicate()


def environment() -> dict[str, str]:
    """The environment of this process, with the packages, and with one thread."""
    path = f"{ROOT}{os.pathsep}{ROOT / 'trainers'}"
    threads = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
    return {**os.environ, **threads, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1"}


class TrainKiller:
    """Kills a training run again and again, and compares it with one that was not killed."""

    def __init__(self, folder: Path, plan: TrainPlan) -> None:
        self._folder, self._plan = folder, plan
        self._rng = random.Random(plan.seed)
        self._kills = self._starts = self._complete = 0
        self._wrong: list[str] = []

    def run(self) -> TrainBooks:
        """Kill, start again and compare until there were enough kills."""
        plan, began = self._plan, time.monotonic()
        (self._folder / "vllm").mkdir()
        with sampling_servers(self._folder / "vllm") as python:
            variables = environment() | {"TCLUE_VLLM_PYTHON": str(python)}
            warm = self._command("--runs", "warm", iterations=1)
            with Commands(self._folder, variables, warm) as self._commands:
                whole_s = self._never_killed()
                while self._kills < plan.kills:
                    self._until_complete(whole_s)
            left = tuple(self._left())
        return TrainBooks(
            self._kills,
            self._starts,
            self._complete,
            tuple(self._wrong),
            len(self._servers()),
            left,
            time.monotonic() - began,
        )

    def _command(self, *arguments: str, iterations: int = 0) -> list[str]:
        """The arguments of `tclue`."""
        number = f"train.iterations={iterations or self._plan.iterations}"
        settings = [*SMALL, number, "rollout.engine=vllm"]
        named = [part for setting in settings for part in ("--set", setting)]
        return ["train", "--preset", "tiny", *named, *arguments]

    def _never_killed(self) -> float:
        """Make the run that the others are compared with. Returns its seconds."""
        began = time.monotonic()
        self._commands.start(*self._command())
        if code := self._commands.wait():
            raise AssertionError(f"exit code {code}: {self._screen()}")
        self._expected = self._result()
        shutil.rmtree(self._folder / "runs")
        return time.monotonic() - began

    def _until_complete(self, whole_s: float) -> None:
        """Start and kill until the run is complete, and compare it."""
        code = None
        while code != 0:
            pid = self._commands.start(*self._command())
            self._starts += 1
            if self._kills < self._plan.kills:
                # Half of them while it starts, the others once it has come further.
                pause_s, wanted = self._rng.random() * whole_s / 2, 0
                if self._rng.random() < 0.5:
                    pause_s, wanted = pause_s / 4, self._lines() + self._rng.randint(1, 2)
                while self._lines() < wanted and self._commands.running():
                    time.sleep(0.005)
                end = time.monotonic() + pause_s
                while time.monotonic() < end and self._commands.running():
                    time.sleep(0.005)
                if self._commands.running():
                    os.kill(pid, signal.SIGKILL)
            code = self._commands.wait()
            self._kills += code == -signal.SIGKILL
            if code not in (0, -signal.SIGKILL):
                raise AssertionError(f"exit code {code}: {self._screen()}")
        self._complete += 1
        found = self._result()
        self._wrong += [name for name, value in self._expected.items() if found[name] != value]
        shutil.rmtree(self._folder / "runs")

    def _lines(self) -> int:
        """The number of lines of metrics on the disk."""
        path = self._folder / RUN / "metrics.jsonl"
        return path.read_bytes().count(b"\n") if path.exists() else 0

    def _result(self) -> dict[str, object]:
        """The metrics and the last checkpoint of a complete run."""
        last = self._folder / LAST.format(self._plan.iterations)
        names = ("model.safetensors", "trainer/optimizer-0-of-1.safetensors")
        files = {name: (last / name).read_bytes() for name in names}
        return {"metrics.jsonl": without_timings(self._folder / RUN), **files}

    def _servers(self) -> list[tuple[int, Path]]:
        """The id and the folder of weights of each server so far."""
        lines = (self._folder / "vllm" / "servers.jsonl").read_text().splitlines()
        return [(pid, Path(weights).parent) for pid, weights in map(json.loads, lines)]

    def _left(self) -> list[str]:
        """What is left of servers, once what watches over them has had its time."""
        end = time.monotonic() + WAIT_S
        while True:
            running = _command_lines()
            left = [
                f"server {pid}, {folder}"
                for pid, folder in self._servers()
                if "sampling_vllm" in running.get(pid, "")
                or folder.exists()
                or any(str(folder) in line for line in running.values())
            ]
            if not left or time.monotonic() > end:
                return left
            time.sleep(0.5)

    def _screen(self) -> str:
        return (self._folder / "screen.txt").read_text()[-2000:]


def _command_lines() -> dict[int, str]:
    """The command line of every process, by its id."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found[int(path.parent.name)] = path.read_bytes().decode(errors="replace")
        except OSError:
            continue  # it has ended
    return found
