"""The command on training: train."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tclue.cli.common import JSON

if TYPE_CHECKING:
    from tclue.bench_training import TrainingGain
    from tclue.trainers import Trainer

FOLDER = click.Path(path_type=Path)


@click.command()
@click.option("--trainer", "trainer_name", default="grpo", show_default=True, help="Who trains.")
@click.option("--preset", help="A configuration that comes with the trainer.")
@click.option("--config", type=FOLDER, help="A configuration file of yours (TOML).")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change one value.")
@click.option("--seed", type=int, help="Draws puzzles and responses; train.seed.")
@click.option("--run", help="Name of the run; PRESET-seedN if not given.")
@click.option("--runs", default="runs", show_default=True, type=FOLDER, help="Where runs are.")
@click.option(
    "--results",
    default="results",
    show_default=True,
    type=FOLDER,
    help="Where --then-bench keeps its run folders.",
)
@click.option(
    "--board", default="leaderboards", show_default=True, type=FOLDER, help="And its board."
)
@click.option("--then-bench", "benching", is_flag=True, help="Benchmark base and trained steps.")
@click.option("--presets", "listing", is_flag=True, help="List the presets, and stop.")
@click.option("--dry-run", is_flag=True, help="Print the plan: memory, tokens, hours, dollars.")
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
    """Train a model on fresh puzzles, and benchmark what came of it.

    The same command takes up an interrupted run. Where there is no GPU, the preset is `tiny`.

    \b
    tclue train --preset tiny --then-bench
    tclue train --preset qwen2.5-7b --dry-run
    tclue train --preset tiny --set train.iterations=20 --set loss.objective=dapo --seed 2
    tclue train --presets
    """
    from tclue.trainers import TrainRequest, trainer

    start = time.perf_counter()
    chosen = trainer(trainer_name)
    if listing:
        _list(chosen, as_json)
        return
    request = TrainRequest(settings=settings, **options)
    if dry_run:
        plan = chosen.plan(request)
        click.echo(json.dumps(plan.numbers) if as_json else plan.text)
        return
    if benching:
        from tclue.bench_training import check_folders, then_bench

        check_folders(results, board)
    trained = chosen.train(request)
    if trained is None:  # another process goes on
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
    click.echo(json.dumps(data | {"seconds": round(seconds, 1)}) if as_json else "\n".join(lines))


def _gain_lines(benched: TrainingGain) -> list[str]:
    """What training bought, in words."""
    lines = []
    for manner, gain in (("sampled", benched.sampled), ("greedy", benched.greedy)):
        if gain:
            low, high = gain.interval
            lines.append(
                f"{manner}: {benched.base} {gain.base_accuracy:.3f}, step {benched.step} "
                f"{gain.trained_accuracy:.3f}: {gain.difference:+.3f} [{low:+.3f}, {high:+.3f}] "
                f"on {gain.puzzles} puzzles; in format {gain.base_in_format:.3f}, "
                f"{gain.trained_in_format:.3f}"
            )
    return lines


def _list(chosen: Trainer, as_json: bool) -> None:
    from dataclasses import asdict

    presets = chosen.presets()
    if as_json:
        click.echo(json.dumps([asdict(preset) for preset in presets]))
        return
    width = max(len(preset.name) for preset in presets)
    for preset in presets:
        fits = "" if preset.fits else " (more than this machine has)"
        click.echo(f"{preset.name:{width}}  {preset.about}{fits}")
