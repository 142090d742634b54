"""The live view of a training run, and its plots."""

from __future__ import annotations

import io
import xml.etree.ElementTree as ET
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tclue.bench.stats.intervals import Estimate
from tclue.board.drawing import LIGHT, data_digest
from tclue_grpo.metrics import Metrics
from tclue_grpo.plots import MeasuredPoint, curves, draw, page, power_law
from tclue_grpo.run_report import RunReport, Validation

TIMINGS = {"sample_s": 3.0, "train_s": 1.0}


def line(iteration: int, **changes: Any) -> dict[str, Any]:
    return {
        "iteration": iteration,
        "reward": 0.61,
        "accuracy": 0.6 + iteration / 100,
        "entropy": 0.06,
        "length": 90.4,
        "truncated": 0.02,
        "sampled_tokens": 6000,
        "prompt_tokens": 2000,
        "timings": TIMINGS,
    } | changes


def validation(iteration: int, value: float) -> dict[str, Any]:
    accuracy = {"value": value, "low": value - 0.05, "high": value + 0.05}
    return {"iteration": iteration, "validation": {"accuracy": accuracy}}


def report_of(tmp_path: Path, out: io.StringIO, hour_usd: float = 0.0) -> RunReport:
    folder = tmp_path / "tiny-seed1"
    folder.mkdir()
    return RunReport(folder, 20, Metrics(folder), hour_usd, out)


def test_plain_lines_in_a_log(tmp_path: Path) -> None:
    out = io.StringIO()
    report = report_of(tmp_path, out, hour_usd=3.6)
    with closing(report), report.showing(trained_s=10.0):
        report.validation(0, Validation(Estimate(0.62, 0.58, 0.66), (0.62,), 1.0, 90.0))
        for i, trained_s in ((1, 15.0), (2, 20.0), (20, 110.0)):
            report.iteration(i, line(i), trained_s)
        report.say("stopped")
    lines = out.getvalue().splitlines()
    assert lines[0] == "tiny-seed1: validation 0.620 [0.580, 0.660] at 0"
    assert lines[1] == (
        "tiny-seed1: iteration 1/20, reward 0.610, accuracy 0.610, "
        "validation 0.620 [0.580, 0.660] at 0, entropy 0.0600, length 90, truncated 2%, "
        "sampling 2,000 tokens/s, training 8,000 tokens/s, "
        "time puzzles 0% sample 75% grade 0% pack 0% train 25%, left 1:35, cost $0.015"
    )
    # the second came within ten seconds; the last is always printed
    assert lines[2].startswith("tiny-seed1: iteration 20/20")
    assert lines[3:] == ["tiny-seed1: stopped"]


def test_a_live_view_on_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    out = io.StringIO()
    out.isatty = lambda: True  # type: ignore[method-assign]
    report = report_of(tmp_path, out)
    with closing(report), report.showing(trained_s=0.0):
        report.iteration(1, line(1, entropy=None), 5.0)
        report.say("[alarm]")
    assert "1/20" in out.getvalue()
    assert out.getvalue().count("unknown") >= 2  # entropy and cost
    assert "[alarm]" in out.getvalue()


@pytest.mark.slow
def test_pictures_are_the_same_data_and_whole(tmp_path: Path) -> None:
    lines = [validation(0, 0.6)]
    for i in range(1, 21):
        lines.append(line(i))
        if i % 5 == 0:
            lines.append(validation(i, 0.6 * i**0.05))
    pages = draw(tmp_path / "plots", lines)
    assert [path.name for path in pages] == ["curves.svg", "curves-dark.svg"]
    written = draw(tmp_path / "plots", lines, singly=True)
    assert [path.stem for path in written[2:]] == [
        "reward",
        "length",
        "entropy",
        "accuracy",
        "accuracy-loglog",
    ]
    digests = [data_digest(path.read_bytes()) for path in written]
    assert None not in digests
    again = draw(tmp_path / "plots", lines, singly=True)
    assert [data_digest(path.read_bytes()) for path in again] == digests
    for path in written:
        ET.fromstring(path.read_bytes())
    sheet = written[0].read_text()
    assert "power law 0.600 * iteration^0.050, least squares on logarithms" in sheet
    shown = curves(lines)
    assert len(shown["accuracy"].points) == 5
    assert len(shown["accuracy-loglog"].points) == 4  # iteration 0 has no logarithm
    assert all(curve.title in sheet for curve in shown.values())


def test_too_few_points_for_a_power_law() -> None:
    shown = curves([validation(0, 0.5), validation(5, 0.6), line(1)])["accuracy-loglog"]
    assert shown.subtitle == "1 point, too few for a power law (4)"
    assert shown.fit is None
    assert page([shown], LIGHT)
    assert curves([]) == {}


@pytest.mark.slow
def test_curves_of_odd_numbers_can_be_drawn(tmp_path: Path) -> None:
    low = {"value": 0.0, "low": 0.0, "high": 0.0}
    odd = {"iteration": 3, "validation": {"accuracy": low}}
    for lines in ([odd], [line(1, reward=-0.5)], [line(1), validation(1, 1e-9)], []):
        for path in draw(tmp_path / "plots", lines, singly=True):
            ET.fromstring(path.read_bytes())


def test_a_power_law_is_found_again() -> None:
    points = [MeasuredPoint(i, 0.3 * i**0.2) for i in (1, 5, 10, 20, 60)]
    fit = power_law(points)
    assert fit
    assert fit.a == pytest.approx(0.3)
    assert fit.b == pytest.approx(0.2)
    assert power_law(points[:3]) is None
