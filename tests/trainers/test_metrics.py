"""metrics.jsonl, cut off at a checkpoint; and the sinks of metrics."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest

from tclue.errors import UserError
from tclue_grpo.config import Config, LogConfig
from tclue_grpo.metrics import (
    SINKS,
    Metrics,
    Sink,
    iterations,
    read,
    sinks,
    validations,
)
from tclue_grpo.trainer import preflight


def write(run: Path, numbers: range, length: int = 0) -> int:
    metrics = Metrics(run, length=length)
    for i in numbers:
        metrics.write(i, {"accuracy": i / 7, "timings": {"sample_s": i * 1.5}})
    metrics.close()
    return metrics.length


def test_a_resume_cuts_off_what_its_checkpoint_does_not_know(tmp_path: Path) -> None:
    length = write(tmp_path, range(1, 4))
    write(tmp_path, range(4, 6), length)
    with (tmp_path / "metrics.jsonl").open("ab") as file:
        file.write(b'{"iteration": 6, "acc')  # what a killed process leaves
    assert [line["iteration"] for line in read(tmp_path)] == [1, 2, 3, 4, 5]
    write(tmp_path, range(4, 8), length)
    (tmp_path / "other").mkdir()
    write(tmp_path / "other", range(1, 8))
    assert read(tmp_path) == read(tmp_path / "other")


def test_a_file_that_was_cut_short_is_refused(tmp_path: Path) -> None:
    length = write(tmp_path, range(1, 3))
    with pytest.raises(UserError, match=rf"has {length} bytes, and 999 when its checkpoint"):
        Metrics(tmp_path, length=999)
    assert len(read(tmp_path)) == 2


def test_lines_of_iterations_and_validations(tmp_path: Path) -> None:
    logged: list[tuple[int, Mapping[str, float]]] = []
    closed: list[bool] = []
    sink = Sink(lambda step, numbers: logged.append((step, numbers)), lambda: closed.append(True))
    metrics = Metrics(tmp_path, [sink])
    metrics.write(1, {"accuracy": 0.5, "grad_norm": float("nan"), "timings": {"train_s": 2.0}})
    metrics.write(1, {"validation": {"value": 0.6, "low": 0.5, "high": 0.7, "by_puzzle": (0.5,)}})
    metrics.close()
    lines = read(tmp_path)
    assert iterations(lines) == [lines[0]]
    assert validations(lines) == [lines[1]]
    assert lines[0]["grad_norm"] is None
    assert logged[0][1]["timings/train_s"] == 2.0
    assert logged[1] == (
        1,
        {"validation/value": 0.6, "validation/low": 0.5, "validation/high": 0.7},
    )
    assert closed == [True]


@pytest.mark.parametrize("name", SINKS)
def test_a_package_that_is_missing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UserError, match=rf"run `pip install {name}`, or set log.{name} to"):
        preflight(Config(log=LogConfig(**{name: True})))  # type: ignore[arg-type]


def test_a_tracker_gets_numbers_and_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[object] = []
    run = SimpleNamespace(
        log=lambda numbers, step: calls.append((step, numbers)), finish=lambda: calls.append("end")
    )

    def init(**named: object) -> SimpleNamespace:
        calls.append(named)
        return run

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init))
    monkeypatch.setenv("WANDB_API_KEY", "secret-key")
    assert sinks(tmp_path, {}, LogConfig()) == []
    (sink,) = sinks(tmp_path / "tiny-seed1", {"seed": 1}, LogConfig(wandb=True, project="p"))
    sink.log(3, {"reward": 0.5})
    sink.close()
    assert calls == [
        {"project": "p", "name": "tiny-seed1", "config": {"seed": 1}},
        (3, {"reward": 0.5}),
        "end",
    ]


@pytest.mark.model
def test_tensorboard_reads_what_was_written(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    pytest.importorskip("torch")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (sink,) = sinks(tmp_path, {}, LogConfig(tensorboard=True))
    for step in (1, 2):
        sink.log(step, {"accuracy": step / 2, "timings/sample_s": 1.5})
    sink.close()
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("accuracy")] == [(1, 0.5), (2, 1.0)]
    assert events.Tags()["scalars"] == ["accuracy", "timings/sample_s"]
    assert json.dumps(events.Tags()["images"]) == "[]"


@pytest.mark.parametrize("change", ["removed", "replaced", "folder removed"])
def test_metrics_that_are_removed_are_saved_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    run = tmp_path / "a run"
    run.mkdir()
    metrics = Metrics(run)
    metrics.write(1, {"accuracy": 0.5})
    if change == "replaced":
        (run / "other").write_bytes(b'{"iteration": 1}\n')
        (run / "other").replace(run / "metrics.jsonl")
    elif change == "removed":
        (run / "metrics.jsonl").unlink()
    else:
        run.rename(tmp_path / "moved")
    length = metrics.length
    with pytest.raises(UserError, match="was removed or replaced") as error:
        metrics.write(2, {"accuracy": 0.6})
    metrics.close()  # it has been reported
    assert metrics.length == length  # not of the file that lies there now
    advice = re.search(r"run `([^`]+)` first, and the same command resumes", str(error.value))
    assert advice, error.value
    subprocess.run(["sh", "-ec", advice[1]], check=True)
    assert [line["accuracy"] for line in read(run)] == [0.5, 0.6]


def test_metrics_that_are_removed_at_the_end_are_noticed(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path)
    metrics.write(1, {"accuracy": 0.5})
    (tmp_path / "metrics.jsonl").unlink()
    with pytest.raises(UserError, match=r"metrics\.jsonl: cannot be written: the file was removed"):
        metrics.close()
    (saved,) = tmp_path.glob("rescued-metrics-*.jsonl")
    assert b'"accuracy": 0.5' in saved.read_bytes()


def test_metrics_that_are_edited_in_place(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path)
    metrics.write(1, {"accuracy": 0.5})
    with (tmp_path / "metrics.jsonl").open("ab") as file:
        file.write(b"of another\n")
    with pytest.raises(UserError, match=r"changed by another program, from \d+ bytes to \d+"):
        metrics.write(2, {"accuracy": 0.6})
    metrics.close()
    assert not list(tmp_path.glob("rescued-*"))


def test_metrics_behind_a_link_are_refused(tmp_path: Path) -> None:
    (tmp_path / "target").touch()
    (tmp_path / "metrics.jsonl").symlink_to("target")
    with pytest.raises(UserError, match="it is a symbolic link: expected a regular file"):
        Metrics(tmp_path)


@pytest.mark.parametrize(
    "line",
    [b"\0" * 4096, b"{", b"7", b"[1]", b"\xff", b'{"a": "' + b"x" * 10_000_000, b"[" * 100_000],
    ids=["zeros", "torn", "number", "list", "not UTF-8", "10 MB", "deep"],
)
def test_a_damaged_line_is_one_short_line(tmp_path: Path, line: bytes) -> None:
    write(tmp_path, range(1, 3))
    with (tmp_path / "metrics.jsonl").open("ab") as file:
        file.write(line + b"\n")
    with pytest.raises(UserError, match=r"metrics\.jsonl, line 3: (not JSON|all|nest)") as error:
        read(tmp_path)
    assert len(str(error.value)) < 300
