"""The commands that ask and train models: bench, models, train."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from tclue.bench.options import BenchOptions, Group, read_config
from tclue.cli.common import FOLDER, JSON, complete_models, emit, folder, in_folders, options_of
from tclue.text import counted

if TYPE_CHECKING:
    from tclue.bench_training import TrainingGain
    from tclue.trainers import Trainer

REGISTRY = options_of(BenchOptions, "registry")


class _Grouped(click.Command):
    """A command whose help lists its options in groups, and names the rare ones below them."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        places = {knob.name: knob.metadata["group"] for knob in fields(BenchOptions)}
        groups: dict[str, list[tuple[str, str]]] = {group: [] for group in get_args(Group)}
        for parameter in self.get_params(ctx):
            if record := parameter.get_help_record(ctx):
                group = "models" if parameter.name == "models" else "files"
                groups[places.get(parameter.name or "", group)].append(record)
        for group, records in groups.items():
            with formatter.section(group.capitalize()):
                formatter.write_dl(records)
        rare = [p.opts[0] for p in self.params if getattr(p, "hidden", False)]
        formatter.write_paragraph()
        formatter.write_text(
            f"Less common options: {', '.join(rare)}. docs/reference/configuration.md describes "
            "them. A --config file can set all options."
        )


def _read_config(ctx: click.Context, _: click.Parameter, path: Path | None) -> None:
    if path:
        ctx.default_map = read_config(path)


@click.command(cls=_Grouped)
@click.option(
    "--models",
    required=True,
    shell_complete=complete_models,
    help="Models, separated by commas; `tclue models` lists them.",
)
@options_of(BenchOptions)
@click.option(
    "--config",
    type=FOLDER,
    is_eager=True,
    expose_value=False,
    callback=_read_config,
    help="A TOML file of options, such as max_cost = 5. The command line overrides it.",
)
@JSON
def bench(models: str, as_json: bool, **options: Any) -> None:
    """Ask models, and store each response with grade and cost.

    If a run was interrupted, the same command resumes it and asks only
    for what is missing.

    \b
    tclue bench --models random,solver
    tclue bench --models hf:Qwen/Qwen2.5-0.5B-Instruct --puzzles easy-test --samples 4
    tclue bench --models claude,deepseek-r1,openai/gpt-5.6-luna@high --limit 16
    tclue bench --models claude-4.6@16k --samples 4
    tclue bench --models tiny,train:tiny-seed1@best --puzzles easy-test --samples 4
    tclue bench --models my-model --api-base http://localhost:8000/v1 --price-in 0 --price-out 0
    """
    from tclue.bench.runs.estimate import bill_lines
    from tclue.bench.runs.run import StopError, dry_run, run_models
    from tclue.board import terminal

    stopped: StopError | None = None
    chosen = BenchOptions(**options)
    if chosen.dry_run:
        bills = dry_run(models.split(","), chosen)
        priced = [*(f"{bill.variant}: {bill.prices}" for bill in bills), *bill_lines(bills)]
        emit(as_json, bills, lambda: terminal.show_text("\n".join(priced)), "nothing was sent")
        return
    try:
        summaries = run_models(models.split(","), chosen)
    except StopError as error:
        stopped, summaries = error, error.summaries
    runs, results = [summary.run for summary in summaries], chosen.results
    where = in_folders(results=results)
    compare = f"tclue compare {' '.join(runs[:2])}{where}, or " if len(runs) > 1 else ""
    hints = [
        "records: " + ", ".join(str(results / run) for run in runs),
        f"next: {compare}tclue leaderboard{where}",
    ]
    if as_json:  # a line for each run
        for summary in summaries:
            click.echo(json.dumps(asdict(summary)))
    else:
        emit(False, None, lambda: terminal.show_summaries(summaries), *(hints if runs else ()))
    if stopped:
        raise stopped


@click.command()
@REGISTRY
@JSON
def models(registry: Path | None, as_json: bool) -> None:
    """List models with their prices, and whether keys are set.

    An alias stands for its variants. ALIAS@16k, ALIAS@high or ALIAS@none is one of them, or a new
    one.

    \b
    tclue models
    tclue models --registry mine.toml --json
    """
    from tclue.bench.models.listing import list_models
    from tclue.board import terminal
    from tclue.secrets import load_env

    load_env()
    listed = list_models(registry)
    hint = "next: tclue bench --models NAME --estimate"
    emit(as_json, listed, lambda: terminal.show_models(listed), hint)


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
    data["seconds"] = round(time.perf_counter() - start, 1)
    made, where = [], in_folders(runs=trained.folder.parent)
    hint = f"tclue bench --models train:{trained.folder.name}@best --puzzles easy-test{where}"
    if benching:
        where = in_folders(results=results)
        hint = f"tclue results{where}, or tclue compare RUN RUN{where}"
        made = [f"board: {board / 'README.md'}"]
    emit(as_json, data, lambda: terminal.show_text("\n".join(lines)), *made, f"next: {hint}")


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
