"""`tclue bench`: run models on a puzzle set, one run for each model, and summarize them.

    run_models(["random", "hf:out/checkpoint"], BenchOptions(puzzles="easy-test"))

Everything that can be checked is checked before the first request: the options, the puzzles, the
names, the keys, and that every price is known if there is a limit on money. Models run one after
another. The same call resumes an interrupted run, and sends nothing for a complete one. Prices and
the grader do not change responses: if other ones are given, the recorded responses are priced or
graded again. If none are given, those of the first call are kept.
"""

import asyncio
import math
import platform
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import fields, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import tclue
from tclue.bench.models.model import Model, ModelSettings
from tclue.bench.models.resolve import resolve_all
from tclue.bench.options import BenchOptions
from tclue.bench.records import FORMAT, RunConfig, spent_usd
from tclue.bench.runs.budget import Budget
from tclue.bench.runs.estimate import Bill, confirm, estimate
from tclue.bench.runs.executor import RunExecutor, missing
from tclue.bench.runs.regrade import regrade_all, write_summary
from tclue.bench.runs.run_folder import RunFolder, existing_folder
from tclue.bench.runs.run_progress import RunProgress
from tclue.bench.stats.summary import Summary
from tclue.errors import UserError
from tclue.puzzle.grading.grade import grader
from tclue.puzzle.puzzle import Puzzle
from tclue.puzzle.splits import PuzzleSet, load_set
from tclue.secrets import load_env

__all__ = ["BenchOptions", "StopError", "dry_run", "run_models"]

INTERRUPTED = 130  # the exit code of a program that SIGINT ended


class StopError(UserError):
    """A run stopped early. Its records are kept, and `summaries` summarizes them."""

    def __init__(self, message: str, summaries: list[Summary]) -> None:
        super().__init__(message)
        self.summaries = summaries


def run_models(
    models: Sequence[str], options: BenchOptions, progress: RunProgress | None = None
) -> list[Summary]:
    """Request the missing responses of each model. Returns one summary per model, in order.

    Raises UserError for invalid input before anything is sent, StopError if a run stopped early,
    and SystemExit(130) on Ctrl-C, after one line on how to resume.
    """
    runs, puzzles = _resolve(models, options)
    if options.dry_run:
        return []
    command = _Command(runs, puzzles, options, progress)
    # A second Ctrl-C cancels at once. Before there is an event loop, KeyboardInterrupt is raised.
    with suppress(KeyboardInterrupt, asyncio.CancelledError):
        if options.keyless:
            confirm(runs, puzzles, options)
            # Only now must the keys be there.
            for _, config in runs:
                if config.request:
                    resolve_all(config.model, replace(options, estimate=False))
        summaries = asyncio.run(command.run())
        if not command.interrupted:
            return summaries
    print(
        f"interrupted: all responses so far are in {options.results}; the same command resumes",
        file=sys.stderr,
    )
    raise SystemExit(INTERRUPTED)


def dry_run(models: Sequence[str], options: BenchOptions) -> list[Bill]:
    """The expected bill of each run that `run_models` would make. Sends and writes nothing.

    No keys are needed. Raises UserError for invalid input.
    """
    runs, puzzles = _resolve(models, replace(options, dry_run=True))
    return [estimate(model, config, puzzles, options.results) for model, config in runs]


def _resolve(
    models: Sequence[str], options: BenchOptions
) -> tuple[list[tuple[Model, RunConfig]], Sequence[Puzzle]]:
    """The models of a command with the configurations of their runs, and the puzzles."""
    names = [name for name in dict.fromkeys(name.strip() for name in models) if name]
    if not names:
        raise UserError("--models: expected one or more names, such as random,solver")
    load_env()
    puzzle_set = load_set(options.puzzles)
    grader(options.grader or "sound")
    # An alias may stand for several models. A model that is named twice runs once.
    by_name = {
        model.resolved.model or name: model
        for name in names
        for model in resolve_all(name, options)
    }
    runs = [
        (model, configuration(name, model, options, puzzle_set)) for name, model in by_name.items()
    ]
    return runs, puzzle_set.puzzles[: options.limit]


class _Command:
    """The runs of one command, which share its time limit, its budget, and its Ctrl-C handler."""

    def __init__(
        self,
        runs: Sequence[tuple[Model, RunConfig]],
        puzzles: Sequence[Puzzle],
        options: BenchOptions,
        progress: RunProgress | None,
    ) -> None:
        self._runs, self._puzzles, self._options = runs, puzzles, options
        self._by_id = {puzzle.id: puzzle for puzzle in puzzles}
        self._progress = progress or RunProgress(sys.stderr)
        self._budget = self._make_budget()
        self._executor: RunExecutor | None = None
        # the number of puzzles while the pilots run
        self._pilot = options.pilot
        self.interrupted = False

    def _make_budget(self) -> Budget:
        """The budget, including what earlier invocations of these runs spent."""
        if self._options.max_cost is None:
            return Budget()
        spent = 0.0
        for _, config in self._runs:
            folder, prices = existing_folder(self._options.results, config), config.prices
            if (folder / "run.json").exists():
                with RunFolder(self._options.results, config, self._by_id) as opened:
                    prices = _recounted(opened.config, config).prices
                    spent += sum(map(spent_usd, opened.responses()))
            if not prices.known:
                raise UserError(
                    f"--max-cost: the price of {config.model} is unknown: expected --price-in and "
                    "--price-out, in dollars per million tokens"
                )
        return Budget(self._options.max_cost, spent)

    async def run(self) -> list[Summary]:
        """Run the models, one after another; with `--pilot` the pilots of all of them first."""
        total_s = self._options.total_timeout_s or math.inf
        deadline_s = asyncio.get_running_loop().time() + total_s
        if self._pilot:
            summaries = await self._run_all(deadline_s)
            if self.interrupted:
                return summaries
            # There is no handler now, so Ctrl-C ends the question.
            confirm(self._runs, self._puzzles, self._options)
            self._pilot = None
        return await self._run_all(deadline_s)

    async def _run_all(self, deadline_s: float) -> list[Summary]:
        """Run the models, or their pilots. Raises StopError if one stopped early."""
        summaries: list[Summary] = []
        stops: list[str] = []
        with self._interrupt_handler():
            for model, config in self._runs:
                with RunFolder(self._options.results, config, self._by_id) as folder:
                    summary, stop = await self._run(model, config, folder, deadline_s)
                if self.interrupted:
                    return summaries
                summaries.append(summary)
                if stop:
                    stops.append(stop)
        if stops:
            raise StopError("; ".join(stops), summaries)
        return summaries

    async def _run(
        self, model: Model, config: RunConfig, folder: RunFolder, deadline_s: float
    ) -> tuple[Summary, str | None]:
        """Run one model. Returns its summary, and the reason if it stopped early, else None."""
        _recount(folder, config)
        puzzles, samples = self._puzzles[: self._pilot], 1 if self._pilot else None
        executor = RunExecutor(
            model, folder, puzzles, self._progress, self._budget, deadline_s, samples
        )
        self._executor = executor
        try:
            stop = await executor.run()
        except BaseException:
            with suppress(UserError):  # the error that ended the run is more important
                write_summary(folder)
            raise
        finally:
            self._executor = None
            _report_failures(config.model, executor.errors)
        summary = write_summary(folder)
        if stop is None:
            return summary, None
        remaining = len(missing(self._puzzles, config, folder.done))
        return summary, f"{config.model}: {stop}; {remaining} of {summary.responses_asked} are left"

    @contextmanager
    def _interrupt_handler(self) -> Iterator[None]:
        """Ctrl-C stops sending and waits for the requests in flight; a second one does not wait."""
        loop, main = asyncio.get_running_loop(), asyncio.current_task()
        assert main

        def interrupt() -> None:
            if self.interrupted or not self._executor or not self._executor.in_flight:
                main.cancel()
            else:
                self._executor.stop("interrupted")
                print(
                    f"stopping: waiting for {self._executor.in_flight} in flight, which are paid "
                    "for; press Ctrl-C again to stop at once",
                    file=sys.stderr,
                )
            self.interrupted = True

        try:
            loop.add_signal_handler(signal.SIGINT, interrupt)
        except (NotImplementedError, ValueError, RuntimeError):  # not the main thread
            yield
            return
        try:
            yield
        finally:
            loop.remove_signal_handler(signal.SIGINT)


def _report_failures(model: str, errors: Counter[str]) -> None:
    """Print one line on the requests that failed, with the most frequent error."""
    if errors:
        ((error, times),) = errors.most_common(1)
        print(
            f"{model}: {errors.total()} failed, {times} of them with: {error}; the same command "
            "requests them again",
            file=sys.stderr,
        )


def _recounted(recorded: RunConfig, config: RunConfig) -> RunConfig:
    """The configuration of an existing run, with the prices and the grader given now, if any."""
    source = config.prices.source
    option = {"hour": "hour_usd", "book": "prices"}.get(source)
    prices_given = source in ("given", "tier", "gpu-hour") or option in config.given
    # The same prices may have been looked up on different days.
    if prices_given and replace(config.prices, date=recorded.prices.date) != recorded.prices:
        recorded = replace(recorded, prices=config.prices)
    name = config.grader if "grader" in config.given else recorded.grader
    return replace(recorded, grader=name, grader_version=grader(name).version)


def _recount(folder: RunFolder, config: RunConfig) -> None:
    """Update an existing run to the current format, grader and prices."""
    updated, recorded = _recounted(folder.config, config), folder.config
    by_other_grader = folder.graders - {(updated.grader, updated.grader_version)}
    if by_other_grader or updated.prices != recorded.prices or recorded.format == 1:
        regrade_all(folder, updated)
    elif (updated.grader_version, recorded.format) != (recorded.grader_version, FORMAT):
        folder.amend(grader_version=updated.grader_version, format=FORMAT)


def configuration(
    name: str, model: Model, options: BenchOptions, puzzle_set: PuzzleSet
) -> RunConfig:
    """The resolved configuration of a run."""
    resolved, total = model.resolved, len(puzzle_set.puzzles)
    limit = options.limit if options.limit is not None and options.limit < total else None
    return RunConfig(
        model=name,
        puzzle_set=puzzle_set.name,
        puzzle_sha256=puzzle_set.sha256,
        puzzles=limit or total,
        limit=limit,
        samples=options.samples,
        grader=(chosen := grader(options.grader or "sound")).name,
        grader_version=chosen.version,
        given=options.given,
        **{field.name: getattr(resolved, field.name) for field in fields(ModelSettings)}
        | {"prompts_sha256": model.prompts_sha256(puzzle_set.puzzles[:limit])},
        versions={
            "python": platform.python_version(),
            **{package: _version(package) for package in ("tclue", *resolved.packages)},
        },
        commit=_commit(),
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"  # tclue itself, if it is run from a checkout


def _commit() -> str | None:
    """The commit of tclue's checkout, with "-dirty" if it was changed; None without a checkout."""
    package = Path(tclue.__file__).parent

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(package), *arguments], capture_output=True, text=True, check=False
        )
        return done.stdout.strip()

    try:
        # The repository must be tclue's, not one that merely contains the virtual environment.
        if git("rev-parse", "--show-prefix") != "tclue/":
            return None
        return git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*") or None
    except FileNotFoundError:
        return None  # git is not installed
