"""`tclue bench`: ask models a puzzle set, one run for each, and sum up.

    run_models(["random", "hf:out/checkpoint"], BenchOptions(puzzles="easy-test"))

Everything that can be checked is checked before the first request: the options, the puzzles, the
names, the keys. Models are asked one after another. The same call takes up what was interrupted,
and asks nothing of a finished run. Prices and grader do not shape responses, so other ones given
to a run that is there count it anew; not given, those of its first call hold.
"""

from __future__ import annotations

import asyncio
import platform
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from urllib.parse import urlsplit

import tclue
from tclue.bench.answerers import Answerer
from tclue.bench.engine import ask_missing, missing, recounted
from tclue.bench.estimate import confirm
from tclue.bench.models import resolve
from tclue.bench.progress import Follower, Progress
from tclue.bench.records import RunConfig, RunFolder
from tclue.bench.stats import Summary, summarize
from tclue.errors import UserError
from tclue.puzzle.grade import grader
from tclue.puzzle.puzzle import Puzzle
from tclue.puzzle.splits import PuzzleSet, load_set

INTERRUPTED = 130  # the exit code of a program that SIGINT ended


@dataclass(frozen=True)
class BenchOptions:
    """What `tclue bench` takes; None leaves the choice to the model, and is recorded as chosen."""

    # a shipped puzzle set's name, or a puzzle file
    puzzles: str = "test"
    # ask only the first so many puzzles
    limit: int | None = None
    # times that each puzzle is asked
    samples: int = 1
    # random and local models: 0 if None; hosted: sent only if given
    seed: int | None = None
    # most tokens of a response; local models: 2048 if None; hosted: sent only if given
    max_tokens: int | None = None
    # local models, if None: 0 (greedy) for one sample, 1 for several; hosted: sent only if given
    temperature: float | None = None
    # hosted: requests in flight, 32 if None; local: rows in a batch, what memory allows if None
    concurrency: int | None = None
    # seconds after which a hosted request is given up, and the whole command
    timeout_s: float = 600.0
    total_timeout_s: float | None = None
    # let hosted models stream their replies
    stream: bool = False
    # root of an OpenAI-compatible server, such as http://localhost:8000/v1
    api_base: str | None = None
    # dollars per million tokens, for hosted models; both or neither
    price_in: float | None = None
    price_out: float | None = None
    # a price book that goes before the shipped one; the user's own, if there is one, if None
    prices: Path | None = None
    # a serverless tier of the price book, for a model behind `api_base`
    tier: str | None = None
    # dollars for an hour of the machine, for local models; 0.10 if None
    hour_usd: float | None = None
    # dollars for an hour of one GPU, and how many there are, for a model behind `api_base`
    gpu_hour_usd: float | None = None
    gpus: int = 1
    # most dollars that the runs may cost, what they have cost so far included
    max_cost: float | None = None
    # tell the expected bill first, and ask for a yes where it is above so many dollars
    estimate: bool = False
    ask_above_usd: float = 5.0
    yes: bool = False
    # grader of the grades; sound if None
    grader: str | None = None
    # weights of local models, float32 or bfloat16; by the device if None
    dtype: str | None = None
    # folder of the run folders
    results: Path = Path("results")

    def __post_init__(self) -> None:
        """Raise UserError, naming the flag, for a value that cannot be meant."""
        for name in ("limit", "samples", "max_tokens", "concurrency", "gpus"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"{flag(name)} is {value}: expected 1 or more")
        for name in (
            "temperature",
            "price_in",
            "price_out",
            "hour_usd",
            "gpu_hour_usd",
            "ask_above_usd",
            "seed",
        ):
            value = getattr(self, name)
            # Not "< 0": that would let a NaN pass.
            if value is not None and not 0 <= value < float("inf"):
                raise UserError(f"{flag(name)} is {value}: expected 0 or more")
        for name in ("timeout_s", "total_timeout_s", "max_cost"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise UserError(f"{flag(name)} is {value}: expected a number above 0")
        if (self.price_in is None) != (self.price_out is None):
            raise UserError("--price-in and --price-out: expected both, or neither")
        if self.dtype not in (None, "float32", "bfloat16"):
            raise UserError(f"--dtype is {self.dtype}: expected float32 or bfloat16")
        if self.api_base is not None:
            url = urlsplit(self.api_base)
            secret = url.query or "@" in url.netloc
            if url.scheme not in ("http", "https") or not url.hostname or secret:
                raise UserError(
                    "--api-base: expected a URL such as http://localhost:8000/v1, without a "
                    "password or a query; a key goes in the environment"
                )

    @property
    def given(self) -> tuple[str, ...]:
        """The names of the settings that are not at their defaults."""
        names = [f.name for f in fields(self) if getattr(self, f.name) != f.default]
        not_settings = ("puzzles", "results", "max_cost", "estimate", "ask_above_usd", "yes")
        return tuple(name for name in names if name not in not_settings)


class StopError(UserError):
    """A model could not be asked to the end; what was recorded stays, and is summed up here."""

    def __init__(self, message: str, summaries: list[Summary]) -> None:
        super().__init__(message)
        self.summaries = summaries


def flag(name: str) -> str:
    """An option as the command line writes it."""
    names = {
        "timeout_s": "timeout",
        "total_timeout_s": "total-timeout",
        "ask_above_usd": "ask-above",
    }
    return f"--{names.get(name, name).replace('_', '-')}"


def run_models(
    models: Sequence[str], options: BenchOptions, progress: Progress | None = None
) -> list[Summary]:
    """Ask each model what its run misses, and sum up; one summary a distinct model, in order.

    Raises UserError for bad input, before anything is asked; StopError where a model could not be
    asked to the end; SystemExit(130) on Ctrl-C, after one line on how to go on.
    """
    names = [name for name in dict.fromkeys(name.strip() for name in models) if name]
    if not names:
        raise UserError("--models: expected one name or more, such as random,solver")
    puzzle_set = load_set(options.puzzles)
    grader(options.grader or "sound")
    answerers = [resolve(name, options) for name in names]
    runs = [
        (answerer, configuration(name, answerer, options, puzzle_set))
        for name, answerer in zip(names, answerers, strict=True)
    ]
    puzzles = puzzle_set.puzzles[: options.limit]
    try:
        if options.estimate:
            confirm(runs, puzzles, options)
        return asyncio.run(_run_all(runs, puzzles, options, progress or Follower(sys.stderr)))
    except KeyboardInterrupt:
        print(
            f"interrupted: what was recorded is in {options.results}; the same command asks for "
            "the rest",
            file=sys.stderr,
        )
        raise SystemExit(INTERRUPTED) from None


async def _run_all(
    runs: list[tuple[Answerer, RunConfig]],
    puzzles: Sequence[Puzzle],
    options: BenchOptions,
    progress: Progress,
) -> list[Summary]:
    summaries, stops = [], []
    for answerer, config in runs:
        with RunFolder(options.results, config) as folder:
            _count_anew(folder, config, puzzles)
            try:
                stop = await ask_missing(answerer, folder, puzzles, progress)
            except BaseException:
                with suppress(UserError):  # what ended the run is told, not what follows from it
                    folder.write_json("summary.json", asdict(summarize(folder.run)))
                raise
            summary = summarize(folder.run)
            folder.write_json("summary.json", asdict(summary))
        summaries.append(summary)
        if stop:
            left = len(missing(puzzles, config.samples, folder.run.responses))
            stops.append(f"{config.model}: {stop}; {left} of {summary.responses_asked} are left")
    if stops:
        raise StopError("; ".join(stops), summaries)
    return summaries


def _count_anew(folder: RunFolder, config: RunConfig, puzzles: Sequence[Puzzle]) -> None:
    """Bring a run that is there to the prices and the grader that were given now, if any were."""
    counted = folder.config
    source = config.prices.source
    asked = {"hour": "hour_usd", "book": "prices"}.get(source)
    priced = source in ("given", "tier", "gpu-hour") or asked in config.given
    if priced and not config.prices.same_as(counted.prices):
        counted = replace(counted, prices=config.prices)
    if "grader" in config.given:
        counted = replace(counted, grader=config.grader)
    if counted != folder.config:
        by_id, judge = {puzzle.id: puzzle for puzzle in puzzles}, grader(counted.grader)
        folder.rewrite(
            counted,
            [recounted(r, counted, by_id[r.puzzle], judge) for r in folder.run.responses],
        )


def configuration(
    name: str, answerer: Answerer, options: BenchOptions, puzzle_set: PuzzleSet
) -> RunConfig:
    """The resolved configuration of a run."""
    setup, total = answerer.setup, len(puzzle_set.puzzles)
    limit = options.limit if options.limit is not None and options.limit < total else None
    return RunConfig(
        variant=setup.variant,
        model=name,
        puzzle_set=puzzle_set.name,
        puzzle_sha256=puzzle_set.sha256,
        puzzles=limit or total,
        limit=limit,
        samples=options.samples,
        seed=setup.seed,
        temperature=setup.temperature,
        max_tokens=setup.max_tokens,
        grader=options.grader or "sound",
        prices=setup.prices,
        concurrency=setup.concurrency,
        timeout_s=setup.timeout_s,
        stream=setup.stream,
        api_base=setup.api_base,
        request=setup.request,
        reasoning=setup.reasoning,
        notes=setup.notes,
        served_as=setup.served_as,
        checkpoint=setup.checkpoint,
        dtype=setup.dtype,
        given=options.given,
        versions={
            "python": platform.python_version(),
            **{package: _version(package) for package in ("tclue", *setup.packages)},
        },
        commit=_commit(),
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"  # tclue, run from a checkout


def _commit() -> str | None:
    """The commit of the checkout that tclue runs from, "-dirty" where it was changed; else None."""
    package = Path(tclue.__file__).parent

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(package), *arguments], capture_output=True, text=True, check=False
        )
        return done.stdout.strip()

    try:
        # Not the repository that a virtual environment happens to lie in.
        if git("rev-parse", "--show-prefix") != "tclue/":
            return None
        return git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*") or None
    except FileNotFoundError:
        return None  # no git here
