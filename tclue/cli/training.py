"""The command that trains a model: train."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tclue.cli.common import FOLDER, JSON, emit, folder
from tclue.text import counted

if TYPE_CHECKING:
    from tclue.bench_training import TrainingGain
    from tclue.trainers import Trainer


@click.command()
@click.option(
    "--trainer", "trainer_name", default="grpo", show_default=True, help="Name of the trainer."
)
@click.option("--preset", help="A configuration that comes with the trainer.")
@click.option("--config", type=FOLDER, help="Your own configuration file (TOML).")
@click.option("--set", "settings", multiple=True, metavar="SECTION.KEY=VALUE", help="Set a value.")
@click.option("--seed", type=int, help="Seed of puzzles and responses; sets train.seed.")
@click.option("--run", help="Name of the run; PRESET-seedN by default.")
@folder("--runs", "runs", "Folder of the training runs.")
@folder("--results", "results", "Folder for the runs of --then-bench.")
@folder("--board", "leaderboards", "Folder for the board of --then-bench.")
@click.option("--then-bench", "benching", is_flag=True, help="Benchmark base and checkpoints.")
@click.option("--presets", "listing", is_flag=True, help="List the presets; train nothing.")
@click.option("--dry-run", is_flag=True, help="Print the plan and its cost; train nothing.")
@JSON
def train(
    trainer_name: str,
    settings: tuple[str, ...],
    results: Path,
    board: Path,
    benching: bool,
    listing: bool,
    dry_run: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Train a model on new puzzles by reinforcement learning.

    --then-bench also benchmarks the base and the kept checkpoints.

    If a run was interrupted, the same command resumes it. Without a GPU, the default preset is
    `tiny`.

    \b
    tclue train --preset tiny --then-bench
    tclue train --preset qwen2.5-7b --dry-run
    tclue train --preset tiny --set train.iterations=20 --set loss.objective=dapo --seed 2
    tclue train --presets
    """
    from tclue.board import terminal
    from tclue.trainers import TrainRequest, trainer

    start = time.perf_counter()
    chosen = trainer(trainer_name)
    if listing:
        _list(chosen, as_json)
        return
    request = TrainRequest(settings=settings, **options)
    if dry_run:
        plan = chosen.plan(request)
        hint = "next: the same command without --dry-run trains the model"
        emit(as_json, plan.numbers, lambda: terminal.show_text(plan.text), hint)
        return
    if benching:
        from tclue.bench_training import check_folders, then_bench

        check_folders(results, board)
    trained = chosen.train(request)
    if trained is None:  # this process only helped; the first one reports
        return
    data: dict[str, Any] = {"run": trained.folder.name, "best": trained.best, "last": trained.last}
    lines = [f"{trained.folder}: best step {trained.best}, last step {trained.last}"]
    if benching:
        benched = then_bench(trained.folder, results=results, board=board)
        data |= benched.to_dict()
        lines += _gain_lines(benched)
        if benched.greedy:
            data["greedy_difference"] = benched.greedy.difference
    data["seconds"] = round(time.perf_counter() - start, 1)
    hint = f"next: tclue bench --models train:{trained.folder.name}@best --puzzles easy-test"
    if benching:
        hint = f"board: {board / 'README.md'}\nnext: tclue results, or tclue compare RUN RUN"
    emit(as_json, data, lambda: terminal.show_text("\n".join(lines)), hint)


def _gain_lines(benched: TrainingGain) -> list[str]:
    """How much better the trained model is than its base, a line for each way of sampling."""
    lines = []
    for manner, gain in (("sampled", benched.sampled), ("greedy", benched.greedy)):
        if gain:
            low, high = gain.interval
            lines.append(
                f"{manner}: {benched.base} {gain.base_accuracy:.3f}, step {benched.step} "
                f"{gain.trained_accuracy:.3f}: {gain.difference:+.3f} [{low:+.3f}, {high:+.3f}] "
                f"on {counted(gain.puzzles, 'puzzle')}; in format {gain.base_in_format:.3f}, "
                f"{gain.trained_in_format:.3f}"
            )
    return lines


def _list(chosen: Trainer, as_json: bool) -> None:
    from tclue.board import terminal

    presets = chosen.presets()
    width = max(len(preset.name) for preset in presets)
    lines = [
        f"{preset.name:{width}}  {preset.about}"
        + ("" if preset.fits else " (does not fit this machine)")
        for preset in presets
    ]
    hint = "next: tclue train --preset NAME --dry-run"
    emit(as_json, presets, lambda: terminal.show_text("\n".join(lines)), hint)
