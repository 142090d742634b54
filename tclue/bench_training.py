"""After training: benchmark the base and every saved step, and put the gain on the board.

    then_bench(Path("runs/tiny-seed1"), results=Path("results"), board=Path("leaderboards"))

* The settings are in the training run's `kept.json` (`TrainingRunManifest`). The base and all steps
  have the same puzzles, samples, limits and seed. They are benchmarked sampled, then greedily.
* The requests are those of `tclue bench`. So after an interruption the same call requests only the
  missing responses, a step that is both best and last is one variant, and records are kept.
* The reported step is the best on the validation puzzles, chosen during training. Its scores here
  are on other puzzles, and the best of them is never selected.
"""

import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tclue.bench.models.local import PREFIX
from tclue.bench.models.resolve import resolve_all
from tclue.bench.options import BenchOptions
from tclue.bench.records import Run, read_run
from tclue.bench.runs.run import run_models
from tclue.bench.runs.run_progress import RunProgress
from tclue.bench.stats.compare import compare
from tclue.bench.stats.intervals import known_mean
from tclue.bench.stats.run_numbers import read_numbers
from tclue.bench.stats.summary import Summary
from tclue.board import leaderboard
from tclue.errors import UserError
from tclue.trainers import ResponsePrice, TrainingRunManifest, read_manifest


@dataclass(frozen=True)
class GainOverBase:
    """The best step compared with the base at equal settings. Accuracies are from 0 to 1."""

    base_accuracy: float
    trained_accuracy: float
    # trained minus base, puzzle by puzzle, with its 95% interval and p of the paired t test
    difference: float
    interval: tuple[float, float]
    p: float
    # puzzles to which both have a scored response
    puzzles: int
    samples: int
    # share of the responses that answer every question, and the accuracy of only these responses
    base_in_format: float
    trained_in_format: float
    base_accuracy_in_format: float | None
    trained_accuracy_in_format: float | None
    # names of the run folders
    base_run: str
    trained_run: str


@dataclass(frozen=True)
class Step:
    """The sampled benchmark of a saved step, or of the base (step 0)."""

    step: int
    run: str
    accuracy: float | None
    # mean US dollars per response; None if unknown
    cost_usd: float | None


@dataclass(frozen=True)
class TrainingGain:
    """The gain of a training run over its base."""

    run: str
    base: str
    # the step that is compared: the best on the validation puzzles, or the last without validation
    step: int
    last: int
    puzzle_set: str
    sampled: GainOverBase
    # None without greedy responses
    greedy: GainOverBase | None
    # the base first, then the saved steps in their order
    steps: tuple[Step, ...]

    def to_dict(self) -> dict[str, Any]:
        """The gain for `--json`, with the numbers of the sampled gain at the top level."""
        data = asdict(self)
        greedy = {"greedy_difference": self.greedy.difference} if self.greedy else {}
        return {**data.pop("sampled"), **data, **greedy}


def check_folders(results: Path, board: Path) -> None:
    """Raise UserError before training if folders that are needed afterwards cannot be used."""
    for option, folder in (("--results", results), ("--board", board)):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{option} {folder}: cannot be used: {error.strerror}") from None
        if not os.access(folder, os.W_OK):
            raise UserError(f"{option} {folder}: expected a folder that can be written")
    _build_board(results)


def then_bench(
    run: Path,
    *,
    results: Path = Path("results"),
    board: Path = Path("leaderboards"),
    progress: RunProgress | None = None,
) -> TrainingGain:
    """Request the missing responses of a training run's base and saved steps, and write the board.

    Raises the errors of `run_models`: UserError for invalid input, StopError if a run stopped
    early, SystemExit(130) on Ctrl-C.
    """
    manifest = read_manifest(run)
    compared = manifest.last if manifest.best is None else manifest.best
    steps = sorted({compared, manifest.last, *manifest.steps})
    models = [manifest.base, *(f"{PREFIX}{run.resolve().name}@{step}" for step in steps)]
    option_sets = [_options(manifest, run, results, greedy=False)]
    if manifest.greedy:
        option_sets.append(_options(manifest, run, results, greedy=True))
    _check_base(manifest, option_sets[0])
    summary_lists = [run_models(models, options, progress) for options in option_sets]
    leaderboard.write(_build_board(results), board, results)
    best = 1 + steps.index(compared)
    gains = [_gain(results, summaries[0], summaries[best]) for summaries in summary_lists]
    return TrainingGain(
        run=run.resolve().name,
        base=manifest.base,
        step=compared,
        last=manifest.last,
        puzzle_set=summary_lists[0][0].puzzle_set,
        sampled=gains[0],
        greedy=gains[1] if manifest.greedy else None,
        steps=tuple(
            Step(step, s.run, s.accuracy.value if s.accuracy else None, s.cost_usd)
            for step, s in zip([0, *steps], summary_lists[0], strict=True)
        ),
    )


def _build_board(results: Path) -> leaderboard.Board:
    board = leaderboard.build(results)
    for warning in board.warnings:
        print(warning, file=sys.stderr)
    return board


def _options(manifest: TrainingRunManifest, run: Path, results: Path, greedy: bool) -> BenchOptions:
    prices = asdict(manifest.price or ResponsePrice())
    price = {name: value for name, value in prices.items() if value}
    return BenchOptions(
        puzzles=manifest.puzzles,
        limit=manifest.limit,
        samples=1 if greedy else manifest.samples,
        temperature=0.0 if greedy else manifest.temperature,
        seed=manifest.seed,
        max_tokens=manifest.max_tokens,
        dtype=manifest.dtype,
        results=results,
        runs=run.resolve().parent,
        # A number of GPUs alone is no price.
        **(price if price.keys() - {"gpus"} else {}),
    )


def _check_base(manifest: TrainingRunManifest, options: BenchOptions) -> None:
    """Raise UserError if the base is not the one that training began with."""
    bases = resolve_all(manifest.base, options)
    if len(bases) != 1:
        raise UserError(f"{manifest.base}: stands for {len(bases)} variants: expected one model")
    checkpoint = bases[0].resolved.checkpoint
    if manifest.base_checkpoint and checkpoint != manifest.base_checkpoint:
        raise UserError(
            f"{manifest.base}: it is not the model that training began with: the SHA-256 of its "
            f"files is {(checkpoint or 'unknown')[:8]}: expected {manifest.base_checkpoint[:8]}"
        )


def _gain(results: Path, base: Summary, trained: Summary) -> GainOverBase:
    before, after = (results / summary.run for summary in (base, trained))
    difference = compare(read_numbers(after), read_numbers(before)).accuracy
    base_share, base_accuracy = _in_format(read_run(before, texts=False))
    trained_share, trained_accuracy = _in_format(read_run(after, texts=False))
    return GainOverBase(
        base_accuracy=difference.second,
        trained_accuracy=difference.first,
        difference=difference.difference,
        interval=difference.interval,
        p=difference.p,
        puzzles=difference.puzzles,
        samples=base.samples,
        base_in_format=base_share,
        trained_in_format=trained_share,
        base_accuracy_in_format=base_accuracy,
        trained_accuracy_in_format=trained_accuracy,
        base_run=base.run,
        trained_run=trained.run,
    )


def _in_format(run: Run) -> tuple[float, float | None]:
    """The share of scored responses that answer every question, and the mean accuracy of these."""
    grades = [response.grade for response in run.final() if response.grade]
    in_format = [grade for grade in grades if None not in grade.answers.values()]
    return len(in_format) / len(grades), known_mean([grade.accuracy for grade in in_format])
