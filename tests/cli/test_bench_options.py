"""A knob of `tclue bench` is one field: its option, its record, and nothing that goes without."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import pytest
from bench_support import Silent
from commands import call

from tclue.bench.models.model import ResolvedModel
from tclue.bench.options import BenchOptions, RecordedOptions, flag
from tclue.bench.runs.run import run_models


def test_every_knob_is_an_option_with_its_help(tmp_path: Path) -> None:
    # As one line, since click wraps where it likes.
    shown = " ".join(call(tmp_path, "bench", "--help").stdout.split())
    for knob in fields(BenchOptions):
        assert f"{flag(knob.name)} " in shown
        assert knob.metadata["help"] in shown


def test_what_is_to_be_recorded_is(tmp_path: Path) -> None:
    run_models(["random"], BenchOptions(limit=1, results=tmp_path), Silent())
    (path,) = tmp_path.glob("*/run.json")
    recorded = json.loads(path.read_text())
    names = {knob.name for knob in fields(RecordedOptions)}
    assert names <= recorded.keys()
    assert names <= {knob.name for knob in fields(ResolvedModel)}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--limit", "0"], "--limit is 0: expected 1 or more"),
        (["--dtype", "int8"], "'int8' is not one of 'float32', 'bfloat16'"),
        (["--samples", "many"], "'many' is not a valid integer"),
        (["--timeout", "0"], "--timeout is 0.0: expected a number above 0"),
    ],
)
def test_a_value_that_cannot_be_meant_is_told(
    tmp_path: Path, arguments: list[str], expected: str
) -> None:
    done = call(tmp_path, "bench", "--models", "random", *arguments)
    assert done.returncode == 2
    assert expected in done.stderr
    assert len(done.stderr.splitlines()) == 1
