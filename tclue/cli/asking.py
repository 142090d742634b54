"""The commands on models: bench, models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from tclue.bench.options import BenchOptions
from tclue.cli.common import JSON, options_of

REGISTRY = options_of(BenchOptions, "registry")


@click.command()
@click.option("--models", required=True, help="Models, with commas between; see `tclue models`.")
@options_of(BenchOptions)
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

    from tclue.bench.runs.run import StopError, run_models
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
