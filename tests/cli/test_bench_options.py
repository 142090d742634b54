"""An option of `tclue bench` is one field, set by a flag or a file, and recorded."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path

import pytest
from bench_support import Silent
from commands import call, refused

from tclue.bench.models.model import ResolvedModel
from tclue.bench.options import BenchOptions, RecordedOptions, flag
from tclue.bench.runs.run import run_models


def test_every_option_is_in_a_group_of_the_help_or_named_below(tmp_path: Path) -> None:
    # As one line, since click wraps where it likes.
    shown = " ".join(call(tmp_path, "bench", "--help").stdout.split())
    head, *groups = re.split("(Models|Puzzles|Money|Pace|Files): ", shown)
    sections = dict(zip(groups[::2], groups[1::2], strict=True))
    assert "--" in head
    assert set(sections) == {"Models", "Puzzles", "Money", "Pace", "Files"}
    files, named = sections["Files"].split("Less common options: ")
    sections["Files"] = files
    for knob in fields(BenchOptions):
        option = flag(knob.name)
        section = sections[knob.metadata["group"].capitalize()]
        assert (f"{option} " in section) != knob.metadata["rare"]
        assert (knob.metadata["help"] in section) != knob.metadata["rare"]
        assert (option in re.findall(r"[\w-]+", named.replace("- ", "-"))) == knob.metadata["rare"]


CONFIG = """
models = "random"
puzzles = "easy-val"
limit = 2
request_timeout = 60
dtype = "float32"
ask_above = 3
results = "kept"
"""


def recorded(folder: Path) -> dict[str, object]:
    """The only run.json below a folder."""
    (path,) = folder.glob("*/run.json")
    data: dict[str, object] = json.loads(path.read_text())
    return data


def test_a_file_sets_the_same_options_as_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "bench.toml").write_text(CONFIG)
    assert call(tmp_path, "bench", "--config", "bench.toml").returncode == 0
    flags = [
        *("--models", "random", "--puzzles", "easy-val", "--limit", "2"),
        *("--request-timeout", "60", "--dtype", "float32"),
    ]
    # The rare flags still work.
    more = ("--ask-above", "3", "--results", "flags")
    assert call(tmp_path, "bench", *flags, *more).returncode == 0
    by_file, by_flags = recorded(tmp_path / "kept"), recorded(tmp_path / "flags")
    assert by_file == by_flags
    assert by_file["given"] == ["timeout_s", "dtype", "limit"]


def test_the_command_line_overrides_the_file(tmp_path: Path) -> None:
    (tmp_path / "bench.toml").write_text(CONFIG)
    arguments = ("--limit", "1", "--models", "solver", "--results", "other")
    assert call(tmp_path, "bench", "--config", "bench.toml", *arguments).returncode == 0
    run = recorded(tmp_path / "other")
    assert (run["limit"], run["model"]) == (1, "solver")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("limt = 3", "b.toml: unknown field limt: did you mean limit?"),
        ("timeout_s = 3", "b.toml: unknown field timeout_s: did you mean total_timeout?"),
        ('limit = "3"', 'b.toml: limit is "3": expected a whole number'),
        ("limit = 0", "b.toml: limit is 0: expected 1 or more"),
        ("yes = 1", "b.toml: yes is 1: expected true or false"),
        ("models = []", "b.toml: models is []: expected a text"),
        ('dtype = "int8"', 'b.toml: dtype is "int8": expected one of float32, bfloat16'),
        ("limit", "b.toml: not a TOML file: "),
    ],
)
def test_a_bad_file_is_refused_in_one_line(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "b.toml").write_text(text)
    arguments = ("--models", "random", "--config", "b.toml")
    assert refused(call(tmp_path, "bench", *arguments)).startswith(expected)
    assert not (tmp_path / "results").exists()


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    line = refused(call(tmp_path, "bench", "--config", "no.toml"))
    assert line == "no.toml: cannot be read: No such file or directory"


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
        (["--request-timeout", "0"], "--request-timeout is 0.0: expected a number above 0"),
    ],
)
def test_a_value_that_cannot_be_meant_is_told(
    tmp_path: Path, arguments: list[str], expected: str
) -> None:
    done = call(tmp_path, "bench", "--models", "random", *arguments)
    assert done.returncode == 2
    assert expected in done.stderr
    assert len(done.stderr.splitlines()) == 1
