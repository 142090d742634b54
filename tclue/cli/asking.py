"""The commands that ask models: bench, models."""

import json
import shlex
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, get_args

import click

from tclue.bench.options import BenchOptions, Group, read_config
from tclue.cli.common import FOLDER, JSON, complete_models, emit, options_of

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
        emit(as_json, bills, lambda: click.echo("\n".join(priced)), "nothing was sent")
        return
    try:
        summaries = run_models(models.split(","), chosen)
    except StopError as error:
        stopped, summaries = error, error.summaries
    runs, results = [summary.run for summary in summaries], chosen.results
    where = "" if results == Path("results") else f" --results {shlex.quote(str(results))}"
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
