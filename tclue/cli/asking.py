"""The commands on models: bench, models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from tclue.cli.common import GRADERS, JSON

REGISTRY = click.option(
    "--registry",
    type=click.Path(path_type=Path),
    help="A file with aliases of your own; ~/.config/tclue/models.toml if not given.",
)


@click.command()
@click.option("--models", required=True, help="Models, with commas between; see `tclue models`.")
@click.option("--puzzles", default="test", show_default=True, help="A split or a puzzle file.")
@click.option("--limit", type=int, help="Only the first puzzles.")
@click.option("--samples", default=1, show_default=True, help="Responses for each puzzle.")
@click.option("--seed", type=int, help="Local: 0 if not given. Hosted: sent only if given.")
@click.option(
    "--max-tokens", type=int, help="Most tokens of a response. Local: 2048. Hosted: the provider's."
)
@click.option(
    "--temperature",
    type=float,
    help="Local: 0 for one sample, 1 for several. Hosted: the provider's own.",
)
@click.option(
    "--concurrency", type=int, help="Requests in flight (32), or rows of a local batch (automatic)."
)
@click.option("--timeout", "timeout_s", default=600.0, show_default=True, help="Seconds a request.")
@click.option(
    "--total-timeout", "total_timeout_s", type=float, help="Seconds the command may take."
)
@click.option("--stream", is_flag=True, help="Let hosted models stream their replies.")
@click.option("--api-base", help="URL of an OpenAI-compatible server of your own.")
@click.option("--price-in", type=float, help="Dollars per million input tokens.")
@click.option("--price-out", type=float, help="Dollars per million output tokens.")
@click.option(
    "--prices",
    type=click.Path(path_type=Path),
    help="A price book of yours; ~/.config/tclue/prices.toml if not given.",
)
@click.option("--tier", help="Serverless tier that a self-hosted or local model is counted at.")
@click.option("--hour-usd", type=float, help="Dollars per hour of this machine, for local models.")
@click.option("--gpu-hour-usd", type=float, help="Dollars per GPU-hour, for the same.")
@click.option("--gpus", default=1, show_default=True, help="GPUs that it runs on.")
@click.option("--max-cost", type=float, help="Most dollars that the runs may cost, in all.")
@click.option("--estimate", is_flag=True, help="Tell the expected bill first.")
@click.option(
    "--ask-above",
    "ask_above_usd",
    default=5.0,
    show_default=True,
    help="Dollars above which --estimate asks for a yes.",
)
@click.option("--yes", is_flag=True, help="Say that yes beforehand.")
@REGISTRY
@click.option("--dtype", type=click.Choice(["float32", "bfloat16"]), help="Of local weights.")
@click.option("--grader", type=GRADERS, help="Who grades; sound if not given.")
@click.option(
    "--results",
    default="results",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Where the run folders are.",
)
@click.option(
    "--runs",
    default="runs",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Where the training runs are.",
)
@JSON
def bench(models: str, as_json: bool, **options: Any) -> None:
    """Ask models, grade their answers, and keep every response with its cost.

    The same command takes up an interrupted run and asks only what is missing.

    \b
    tclue bench --models random,solver
    tclue bench --models hf:Qwen/Qwen2.5-0.5B-Instruct --puzzles easy-test --samples 4
    tclue bench --models claude,deepseek-r1,openai/gpt-5.6-luna@high --limit 16
    tclue bench --models claude-4.6@16k --samples 4
    tclue bench --models tiny,train:tiny-seed1@best --puzzles easy-test --samples 4
    tclue bench --models my-model --api-base http://localhost:8000/v1 --price-in 0 --price-out 0
    """
    from dataclasses import asdict

    from tclue.bench.runs.run import BenchOptions, StopError, run_models
    from tclue.board import terminal

    stopped: StopError | None = None
    try:
        summaries = run_models(models.split(","), BenchOptions(**options))
    except StopError as error:
        stopped, summaries = error, error.summaries
    if as_json:
        for summary in summaries:
            click.echo(json.dumps(asdict(summary), ensure_ascii=False))
    else:
        terminal.show_summaries(summaries)
    if stopped:
        raise stopped


@click.command()
@REGISTRY
@JSON
def models(registry: Path | None, as_json: bool) -> None:
    """List what can be asked, at what price, and whether its key is set.

    An alias stands for its variants; ALIAS@16k, ALIAS@high or ALIAS@none picks or makes one.

    \b
    tclue models
    tclue models --registry mine.toml --json
    """
    from dataclasses import asdict

    from tclue.bench.models.listing import list_models
    from tclue.board import terminal
    from tclue.secrets import load_env

    load_env()
    listed = list_models(registry)
    if as_json:
        click.echo(json.dumps([asdict(model) for model in listed]))
    else:
        terminal.show_models(listed)
