"""A run in several processes: same as in one, stopped and resumed, and with one that fails."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from metric_lines import without_timings
from places import SCRIPTS
from two_process_run import SETTINGS

pytest.importorskip("torch", reason="training needs the extra `train`")
pytest.importorskip("transformers", reason="training needs the extra `train`")

pytestmark = [pytest.mark.model, pytest.mark.server, pytest.mark.slow]

# Long after any of them is through, however busy the machine is.
HUNG_S = 1200
SCRIPT = SCRIPTS / "two_process_run.py"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
TRAIN = [
    "train",
    "--preset",
    "tiny",
    *(word for setting in SETTINGS for word in ("--set", setting)),
]


def start(folder: Path, *settings: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), str(folder), *settings],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def command(*words: str) -> str:
    done = subprocess.run(
        words, env=ENVIRONMENT, capture_output=True, text=True, timeout=HUNG_S, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def lines(folder: Path) -> list[dict[str, Any]]:
    return without_timings(folder)


def saved_further(folder: Path, step: int, process: subprocess.Popen[str]) -> None:
    while not any(int(path.name[5:11]) >= step for path in folder.glob("step-*")):
        assert process.poll() is None
        time.sleep(0.02)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in two processes, from beginning to end."""
    folder = tmp_path_factory.mktemp("several") / "run"
    process = start(folder)
    out, err = process.communicate(timeout=HUNG_S)
    assert (process.returncode, out) == (0, "4\n"), err[-4000:]
    return folder


def test_two_processes_train_as_one_does_and_as_under_torchrun(
    uninterrupted: Path, tmp_path: Path
) -> None:
    command(sys.executable, "-m", "tclue", *TRAIN, "--runs", str(tmp_path), "--run", "one")
    two_processes, one_process = lines(uninterrupted), lines(tmp_path / "one")
    assert len(two_processes) == len(one_process) == 7
    for ours, theirs in zip(two_processes, one_process, strict=True):
        assert ours.keys() == theirs.keys()
        # sums are split over the processes, so the last digits differ
        assert ours.pop("validation", 0) == theirs.pop("validation", 0)
        gaps = [name for name in theirs if name.startswith("gap") and name != "gap_ratio"]
        for name in gaps:
            assert abs(ours.pop(name)) < 1e-4 > abs(theirs.pop(name))
        assert ours == pytest.approx(theirs, rel=1e-3, abs=1e-6)
    # without `--`, torchrun takes --run for its own option
    named = ("--runs", str(tmp_path), "--run", "two")
    out = command(*TORCHRUN, "-m", "--", "tclue", *TRAIN, *named, "--json")
    assert out.count("\n") == 1, "one process has the result"
    assert lines(tmp_path / "two") == lines(uninterrupted)


def test_killed_and_stopped_it_goes_on_to_the_same_numbers(
    uninterrupted: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    process = start(folder)
    saved_further(folder, 1, process)
    process.kill()  # its processes treat this like a Ctrl-C
    process.communicate()
    process = start(folder)
    saved_further(folder, 2, process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=HUNG_S)
    if process.returncode:  # else it was through before the signal came
        assert process.returncode == 130
        assert err.count("stopping after this iteration") == 1
        assert "the same command resumes after iteration" in err.splitlines()[-1]
    process = start(folder)
    out, err = process.communicate(timeout=HUNG_S)
    assert (process.returncode, out) == (0, "4\n"), err[-4000:]
    assert lines(folder) == lines(uninterrupted)
    for name in ("model.safetensors", "trainer/optimizer-1-of-2.safetensors"):
        ours, theirs = (setting / "step-000004" / name for setting in (folder, uninterrupted))
        assert ours.read_bytes() == theirs.read_bytes()


def test_one_process_goes_on_from_two(uninterrupted: Path, tmp_path: Path) -> None:
    shutil.copytree(uninterrupted, tmp_path / "run")
    for name in ("config.toml", "kept.json"):
        path = tmp_path / "run" / name
        path.write_text(path.read_text().replace("iterations = 4\n", "iterations = 5\n"))
    longer = ["--set", "train.iterations=5", "--runs", str(tmp_path), "--run", "run"]
    command(sys.executable, "-m", "tclue", *TRAIN, *longer)
    files = (tmp_path / "run" / "step-000005" / "trainer").iterdir()
    assert sorted(path.name for path in files) == ["optimizer-0-of-1.safetensors", "state.json"]
    before, after = lines(uninterrupted), lines(tmp_path / "run")
    assert after[: len(before)] == before
    assert after[-2]["iteration"] == 5
    # moments and weights were restored: the step has the size of those before
    assert 0.1 < after[-2]["moved"] / before[-2]["moved"] < 10


def test_what_is_wrong_in_a_process_is_one_line_and_ends_them_all(
    uninterrupted: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(uninterrupted, folder)
    part = folder / "step-000004" / "trainer" / "optimizer-1-of-2.safetensors"
    part.write_bytes(part.read_bytes()[:1000])
    process = start(folder)
    _, err = process.communicate(timeout=HUNG_S)
    assert process.returncode == 2
    assert err.splitlines()[-1].startswith(f"{part}: cannot be read")
    assert "Traceback" not in err
    part.unlink()
    process = start(folder)
    _, err = process.communicate(timeout=HUNG_S)
    assert process.returncode == 2
    assert "expected N files, optimizer-0-of-N.safetensors and so on, and found 1" in err
