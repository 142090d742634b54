"""Kills runs repeatedly, and checks what was requested, served and recorded.

A run is killed at random moments and started again with the same command until it is complete.
Then:

* a response that was on the disk at a kill is never requested again and never changes;
* replies that were served completely and are not on the disk were in flight: at most one per slot;
* in the end each request has one response, which is the reply of the server.

Killing a process leaves no incomplete line, because the system has everything that was written. So
lines are also cut here, as after a power failure.
"""

from __future__ import annotations

import json
import os
import random
import select
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from bench_support import write_puzzles
from places import ROOT
from providers import (
    BASE_VARIABLES,
    KEY_VARIABLES,
    Fault,
    Ledger,
    Model,
    Server,
    Settings,
    bases,
    serving,
)

from tclue.bench.records import Response, read_run
from tclue.puzzle.grading.grade import grader
from tclue.puzzle.puzzle import Puzzle

# Faults without a pause: the provider says when to try again, or the request is recorded as failed
# and requested by the next process.
KINDS: tuple[Fault, ...] = (
    "rate-limit-after",
    "unavailable",
    "error-in-200",
    "rubbish",
    "cut",
    "ended",
)
MODELS = {
    "openai": "openai/gpt-4.1-mini",
    "deepseek": "deepseek/deepseek-chat",
    "openrouter": "openrouter/qwen/qwen3-max",
}
SEED = 70  # seed of the first sample's request
WAIT_S = 300.0  # longest wait for anything, because a busy machine is slow

Request = tuple[str, str, str, int | None]

# One process imports slow modules, and forks a child for each line of arguments that it reads. The
# first child reports which other modules it imported.
_FORKING = """
import json, os, sys
from contextlib import suppress
from importlib import import_module
from tclue.bench.models.hosted import load_litellm
load_litellm()

def command(arguments, folder):
    os.chdir(folder)
    with open("screen.txt", "ab") as screen:
        os.dup2(screen.fileno(), 1)
        os.dup2(screen.fileno(), 2)
    sys.argv = ["tclue", *arguments]
    from tclue.cli import main
    main()

for number, line in enumerate(sys.stdin):
    arguments, folder = json.loads(line)
    if not (child := os.fork()):
        try:
            command(arguments, folder)
        finally:
            if number == 0:
                with open("modules.txt", "w") as file:
                    file.write("\\n".join(sys.modules))
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    if number == 0:
        with open(os.path.join(folder, "modules.txt")) as file:
            for name in file.read().split():
                with suppress(Exception):
                    import_module(name)
"""


class Commands:
    """The command `tclue` in a folder, again and again, with a fast start."""

    def __init__(self, folder: Path, environment: Mapping[str, str], first: Sequence[str]) -> None:
        """`first` are the arguments of a command that imports what the others need."""
        self._folder = folder
        self._parent = subprocess.Popen(
            [sys.executable, "-c", _FORKING],
            env={**environment, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,  # so that `running` sees everything that was not read
        )
        self.start(*first)
        if code := self.wait():
            raise AssertionError(f"exit code {code}: {(folder / 'screen.txt').read_text()}")

    def start(self, *arguments: str) -> int:
        """Start a process. Returns its id."""
        assert self._parent.stdin
        self._parent.stdin.write(json.dumps([arguments, str(self._folder)]).encode() + b"\n")
        return self._read()

    def running(self) -> bool:
        """Whether the process has not ended."""
        assert self._parent.stdout
        return not select.select([self._parent.stdout], [], [], 0)[0]

    def wait(self) -> int:
        """The exit code of the process, negative for a signal."""
        return self._read()

    def _read(self) -> int:
        assert self._parent.stdout
        return int(self._parent.stdout.readline())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._parent.communicate()


def environment(server: Server, keys: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of this process, with each provider's address on the server and a key."""
    inherited = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
    where = {BASE_VARIABLES[name]: base for name, base in bases(server).items()}
    if keys is None:
        keys = {variable: f"sk-loopback-{name}" for name, variable in KEY_VARIABLES.items()}
    return inherited | where | dict(keys)


@dataclass(frozen=True)
class Plan:
    """The requests of the runs, and how often they are killed."""

    puzzles: int = 20
    samples: int = 4
    # requests in flight
    slots: int = 4
    # most kills, and the seed for their times
    kills: int = 40
    seed: int = 1
    # most replies before a kill; a smaller number gives more kills
    stretch: int = 6
    # share of requests with a fault, and of kills after which a line is cut
    faults: float = 0.1
    torn: float = 0.25
    # seconds for a reply
    latency_s: float = 0.01
    # whether replies are streamed
    stream: bool = False

    @property
    def asked(self) -> int:
        """The number of responses of the complete run."""
        return len(MODELS) * self.puzzles * self.samples


@dataclass(frozen=True)
class Books:
    """The result of a killed run."""

    kills: int
    starts: int
    requests: int
    faults: int
    # replies that were served completely, and responses that are scored in the end
    served: int
    recorded: int
    # lines cut after a kill
    torn: int
    # most replies that a kill lost
    most_lost_at_once: int
    # requests whose response was already on the disk; must be 0
    asked_again: tuple[Request, ...]
    # errors in the final records; must be empty
    wrong: tuple[str, ...]
    seconds: float

    @property
    def asked_twice(self) -> int:
        """Replies that were served completely and not recorded: in flight at a kill, or cut."""
        return self.served - self.recorded

    def __str__(self) -> str:
        return (
            f"{self.kills} kills, {self.starts} starts, {self.requests} requests "
            f"({self.faults} met a fault), {self.served} served whole, {self.recorded} recorded; "
            f"served twice {self.asked_twice}, of which {self.torn} because their line was torn "
            f"off and at most {self.most_lost_at_once} for any one kill; asked again although "
            f"recorded {len(self.asked_again)}; wrong at the end {len(self.wrong)}; "
            f"{self.seconds:.0f} s"
        )


class Killer:
    """Kills a command's process again and again, and counts what was served and recorded."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self._folder, self._plan = folder, plan
        self._path, self._puzzles = write_puzzles(folder, plan.puzzles)
        self._rng = random.Random(plan.seed)
        self._results = folder / "results"
        self._asked_again: list[Request] = []
        self._checked: dict[Path, bytes] = {}
        self._kills = self._starts = self._torn = self._lost = self._most_lost = 0

    def run(self) -> Books:
        """Kill and start again until the run is complete."""
        plan, began = self._plan, time.monotonic()
        model = Model(self._puzzles, plan.seed, wrong=0.3, unusable=0.2)
        settings = Settings(
            model,
            faults=plan.faults,
            kinds=KINDS,
            seed=plan.seed,
            latency_s=plan.latency_s,
            retry_after="0.01",
        )
        with (
            serving(settings) as server,
            Commands(self._folder, environment(server), self._command("warm", 1)) as commands,
        ):
            server.ledger = Ledger()
            code = None
            # The next process requests what failed because of a fault. A broken program would never
            # end.
            while code != 0 or self._missing():
                if self._starts > plan.kills + 40:
                    raise AssertionError(f"never done; last exit code {code}: {self._screen()}")
                code = self._start_and_kill(commands, server)
                self._check(server, code)
            entries = server.ledger.entries
            return Books(
                kills=self._kills,
                starts=self._starts,
                requests=len(entries),
                faults=sum(entry.fault is not None for entry in entries),
                served=server.ledger.served().total(),
                recorded=len(self._recorded()),
                torn=self._torn,
                most_lost_at_once=self._most_lost,
                asked_again=tuple(self._asked_again),
                wrong=tuple(wrong_records(self._responses(), model, self._puzzles)),
                seconds=time.monotonic() - began,
            )

    def _command(self, results: str, puzzles: int) -> list[str]:
        """The arguments of `tclue`."""
        options = {
            "--models": ",".join(MODELS.values()),
            "--puzzles": self._path.name,
            "--limit": puzzles,
            "--samples": self._plan.samples,
            "--seed": SEED,
            "--concurrency": self._plan.slots,
            "--results": results,
        }
        streamed = ["--stream"] * self._plan.stream
        return ["bench", *streamed, *(str(word) for option in options.items() for word in option)]

    def _start_and_kill(self, commands: Commands, server: Server) -> int:
        """Start the command, and kill it at a random moment unless it ends; returns its code."""
        self._before = len(server.ledger.entries)
        self._known = self._recorded()
        pid = commands.start(*self._command(self._results.name, self._plan.puzzles))
        self._starts += 1
        if self._kills < self._plan.kills:
            wanted = server.ledger.served().total() + self._rng.randint(0, self._plan.stretch)
            end = time.monotonic() + WAIT_S
            while server.ledger.served().total() < wanted and commands.running():
                if time.monotonic() > end:
                    raise AssertionError(f"nothing more is asked: {self._screen()}")
                time.sleep(0.001)
            time.sleep(self._rng.random() * 2 * self._plan.latency_s)
            if commands.running():
                os.kill(pid, signal.SIGKILL)
        code = commands.wait()
        self._kills += code == -signal.SIGKILL
        return code

    def _check(self, server: Server, code: int) -> None:
        """Compare the records with what was served, and sometimes cut a line."""
        while server.ledger.in_flight:
            time.sleep(0.001)
        came = {entry.request for entry in server.ledger.entries[self._before :]}
        self._asked_again += sorted(came & self._known, key=str)
        for path in self._results.glob("*/responses.jsonl"):
            data = path.read_bytes()
            if not data.startswith(self._checked.get(path, b"")):
                raise AssertionError(f"{path}: a response that was on the disk has changed")
        lost = server.ledger.served().total() - len(self._recorded())
        self._most_lost = max(self._most_lost, lost - self._lost)
        if code and self._rng.random() < self._plan.torn:
            self._tear()
        self._checked = {
            path: data[: data.rfind(b"\n") + 1]
            for path in self._results.glob("*/responses.jsonl")
            for data in [path.read_bytes()]
        }
        self._lost = server.ledger.served().total() - len(self._recorded())

    def _tear(self) -> None:
        """Cut the last line of a run at a random position, if there is one."""
        paths = sorted(self._results.glob("*/responses.jsonl"))
        complete = [path for path in paths if path.read_bytes().endswith(b"\n")]
        if complete:
            path = self._rng.choice(complete)
            data = path.read_bytes()
            last = data.rfind(b"\n", 0, -1) + 1
            before = len(self._recorded())
            os.truncate(path, self._rng.randrange(last, len(data)))
            self._torn += before - len(self._recorded())

    def _responses(self) -> list[tuple[str, Response]]:
        """All responses on the disk, with their providers."""
        return [
            (run.config.model.split("/")[0], response)
            for folder in self._results.glob("*")
            if (folder / "run.json").exists()
            for run in [read_run(folder)]
            for response in run.responses
        ]

    def _recorded(self) -> set[Request]:
        """The requests whose responses are on the disk."""
        return {
            (provider, MODELS[provider].partition("/")[2], r.puzzle, SEED + r.sample)
            for provider, r in self._responses()
            if r.scored
        }

    def _missing(self) -> int:
        return self._plan.asked - len(self._recorded())

    def _screen(self) -> str:
        return (self._folder / "screen.txt").read_text()[-2000:]


def wrong_records(
    responses: list[tuple[str, Response]], model: Model, puzzles: list[Puzzle]
) -> list[str]:
    """The records that differ from the server's reply, or that occur twice."""
    wrong, sound, by_id = [], grader("sound"), {puzzle.id: puzzle for puzzle in puzzles}
    scored = [(provider, response) for provider, response in responses if response.scored]
    times = Counter((provider, response.pair) for provider, response in scored)
    wrong += [f"{pair} is there {n} times" for pair, n in times.items() if n > 1]
    for provider, response in scored:
        puzzle = by_id[response.puzzle]
        reply = model.reply(puzzle.prompt, SEED + response.sample)
        accuracy = sound.grade(puzzle, reply.text).accuracy
        assert response.grade
        if (response.outcome, response.grade.accuracy) != (reply.outcome, accuracy):
            wrong.append(f"{provider} {response.pair}: {response.outcome}, not {reply.outcome}")
    return wrong
