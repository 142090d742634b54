"""The command that trains a model: train."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tclue.cli.common import FOLDER, JSON, tell
from tclue.text import counted

if TYPE_CHECKING:
    from tclue.bench_training import TrainingGain
    from tclue.trainers import Trainer


@click.command()
@click.option(
    "--trainer", "trainer_name", default="grpo", show_default=True, help="Name of the trainer."
)
@click.option("--preset", help="Name of a configuration that comes with the trainer.")
@click.option("--config", type=FOLDER, help="Your own configuration file (TOML).")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Set one value of the configuration.",
)
@click.option(
    "--seed", type=int, help="Random seed of puzzles and responses; the value train.seed."
)
@click.option("--run", help="Name of the run; PRESET-seedN by default.")
@click.option(
    "--runs", default="runs", show_default=True, type=FOLDER, help="Folder of the training runs."
)
@click.option(
    "--results",
    default="results",
    show_default=True,
    type=FOLDER,
    help="Folder of the run folders of --then-bench.",
)
@click.option(
    "--board",
    default="leaderboards",
    show_default=True,
    type=FOLDER,
    help="Folder of the board of --then-bench.",
)
@click.option(
    "--then-bench",
    "benching",
    is_flag=True,
    help="Benchmark the base model and the trained checkpoints afterwards.",
)
@click.option("--presets", "listing", is_flag=True, help="List the presets, and train nothing.")
@click.option(
    "--dry-run",
    is_flag=True,
    help="Print the plan (memory, tokens, hours, dollars), and train nothing.",
)
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
    """Train a model on new puzzles, and benchmark the result.

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
        if as_json:
            click.echo(json.dumps(plan.numbers))
        else:
            terminal.show_text(plan.text)
            tell("next: the same command without --dry-run trains the model")
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
    seconds = time.perf_counter() - start
    if as_json:
        click.echo(json.dumps(data | {"seconds": round(seconds, 1)}))
        return
    terminal.show_text("\n".join(lines))
    if benching:
        tell(f"board: {board / 'README.md'}", "next: tclue results, or tclue compare RUN RUN")
    else:
        tell(f"next: tclue bench --models train:{trained.folder.name}@best --puzzles easy-test")


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
    from dataclasses import asdict

    presets = chosen.presets()
    if as_json:
        click.echo(json.dumps([asdict(preset) for preset in presets]))
        return
    from tclue.board import terminal

    width = max(len(preset.name) for preset in presets)
    for preset in presets:
        fits = "" if preset.fits else " (needs more memory than this machine has)"
        terminal.show_text(f"{preset.name:{width}}  {preset.about}{fits}")
    tell("next: tclue train --preset NAME --dry-run")
