"""A training run: what it writes, stopping and resuming it, and kills that lose nothing."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from metric_lines import without_timings
from places import ROOT

pytest.importorskip("torch", reason="training needs the extra `train`")
pytest.importorskip("transformers", reason="training needs the extra `train`")

pytestmark = [pytest.mark.model, pytest.mark.server]

# A run of seconds: what it learns does not matter here.
SMALL = (
    *("data.puzzles_per_iteration=2", "rollout.responses_per_puzzle=4", "rollout.max_tokens=40"),
    *("train.iterations=4", "train.validate_every=2", "train.save_every=1"),
    *("train.validation_puzzles=4", "train.validation_samples=2", "update.steps_per_iteration=2"),
    *("bench.limit=4", "bench.samples=2", "train.keep_every=3"),
    # Most responses are truncated at 40 tokens, at which the guard would stop.
    "guard.on=false",
)
# Long after any of them is through, however busy the machine is.
HUNG_S = 1200


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """`tclue train` on the tiny checkpoint, with one thread, in a folder."""
    settings = (part for setting in SMALL for part in ("--set", setting))
    return subprocess.Popen(
        [sys.executable, "-m", "tclue", "train", "--preset", "tiny", *settings, *arguments],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'trainers'}",
            "OMP_NUM_THREADS": "1",
            "OMP_WAIT_POLICY": "passive",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def train(folder: Path, *arguments: str) -> str:
    """Train to the end; return the output."""
    process = start(folder, *arguments)
    out, err = process.communicate(timeout=HUNG_S)
    assert process.returncode == 0, err
    return out


def lines(folder: Path, run: str = "tiny-seed1") -> list[dict[str, Any]]:
    """The run's metrics without timings."""
    return without_timings(folder / "runs" / run)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    train(folder)
    return folder


@pytest.mark.slow
def test_a_run_leaves_metrics_checkpoints_and_its_configuration(uninterrupted: Path) -> None:
    run = uninterrupted / "runs" / "tiny-seed1"
    kinds = [(line["iteration"], "validation" in line) for line in lines(uninterrupted)]
    assert kinds == [
        (0, True),
        (1, False),
        (2, False),
        (2, True),
        (3, False),
        (4, False),
        (4, True),
    ]
    manifest = json.loads((run / "kept.json").read_text())
    assert manifest["last"] == 4
    assert manifest["best"] in (2, 4)
    assert manifest["steps"] == sorted({manifest["best"], 3, 4})
    assert sorted(path.name for path in run.glob("step-*")) == [
        f"step-{step:06d}" for step in manifest["steps"]
    ]
    assert manifest["training_s"] > 0
    assert (run / "config.toml").is_file()
    assert not list(run.rglob("*.pkl")) + list(run.rglob("*.pt")) + list(run.rglob("*.bin"))
    iterations = [line for line in lines(uninterrupted) if "validation" not in line]
    assert all(line["gap"] < 1e-4 for line in iterations)
    assert all(line["responses"] >= 8 for line in iterations)


def test_what_is_trained_is_another_model_than_the_base(uninterrupted: Path) -> None:
    from safetensors.torch import load_file

    from tclue.bench.models.local import TINY

    base = load_file(TINY / "model.safetensors")
    after = load_file(uninterrupted / "runs" / "tiny-seed1" / "step-000004" / "model.safetensors")
    assert base.keys() == after.keys()
    assert any(not base[name].equal(after[name]) for name in base)


@pytest.mark.slow
def test_a_run_killed_again_and_again_ends_as_one_that_was_not(
    uninterrupted: Path, tmp_path: Path
) -> None:
    rng = random.Random(1)
    kills = 0
    while kills < 4:
        process = start(tmp_path)
        run_folder = tmp_path / "runs" / "tiny-seed1"
        before = len(list(run_folder.glob("step-*"))) if run_folder.exists() else 0
        deadline = time.monotonic() + HUNG_S
        # Not before it has come further, so that some kills fall in each stage of an iteration.
        while time.monotonic() < deadline and process.poll() is None:
            if run_folder.exists() and len(list(run_folder.glob("step-*"))) > before:
                break
            if (run_folder / "metrics.jsonl").exists() and not before and kills == 0:
                break
            time.sleep(0.01)
        time.sleep(rng.random() * 0.4)
        if process.poll() is not None:
            break
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        kills += 1
    assert kills
    train(tmp_path)
    assert lines(tmp_path) == lines(uninterrupted)
    last = "runs/tiny-seed1/step-000004"
    for name in ("model.safetensors", "trainer/optimizer-0-of-1.safetensors"):
        assert (tmp_path / last / name).read_bytes() == (uninterrupted / last / name).read_bytes()


@pytest.mark.slow
def test_ctrl_c_saves_and_the_same_command_goes_on(uninterrupted: Path, tmp_path: Path) -> None:
    process = start(tmp_path)
    metrics = tmp_path / "runs" / "tiny-seed1" / "metrics.jsonl"
    while not metrics.exists() or metrics.read_text().count("\n") < 2:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=HUNG_S)
    assert process.returncode == 130
    assert "stopping after this iteration" in err
    assert "the same command resumes" in err
    assert "Traceback" not in err
    train(tmp_path)
    assert lines(tmp_path) == lines(uninterrupted)


@pytest.mark.slow
def test_another_configuration_in_a_run_s_folder_is_refused_with_the_difference(
    uninterrupted: Path,
) -> None:
    process = start(uninterrupted, "--set", "update.learning_rate=0.1")
    _, err = process.communicate(timeout=HUNG_S)
    assert process.returncode == 2
    assert re.search(r"update\.learning_rate was [\d.e-]+, now 0\.1", err)
    assert err.count("\n") == 1


@pytest.mark.slow
def test_a_step_that_is_far_too_large_ends_the_run_before_it_is_sampled_from(
    tmp_path: Path,
) -> None:
    process = start(tmp_path, "--set", "guard.on=true", "--set", "update.learning_rate=0.5")
    _, err = process.communicate(timeout=HUNG_S)
    assert process.returncode == 2
    last = err.splitlines()[-1]
    assert "the guard stopped at iteration 1 of 4" in last
    assert "learning rate" in last
    assert not list((tmp_path / "runs" / "tiny-seed1").glob("step-*"))


@pytest.mark.slow
def test_an_alarm_goes_back_to_the_best_step_where_that_is_configured(tmp_path: Path) -> None:
    # With these settings any rise of truncated responses is an alarm at once.
    settings = ("on=true", "action=rollback", "truncated_rise=0", "patience=1")
    usual = ("warmup_iterations=2", "length_ratio=100", "rollbacks=1")
    process = start(
        tmp_path,
        *(part for setting in (*settings, *usual) for part in ("--set", f"guard.{setting}")),
        *("--set", "train.iterations=12", "--set", "update.decay_iterations=0"),
    )
    _, err = process.communicate(timeout=HUNG_S)
    assert process.returncode == 0, err
    assert re.search(r"back to step \d+, at 0.5 times the learning rate", err)
    rates = [line["rate"] for line in lines(tmp_path) if "rate" in line]
    assert rates[-1] < 0.6 * max(rates)


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", ["rm runs/*/metrics.jsonl", "sed -i s/a/a/ runs/*/m*", "mv runs moved"]
)
def test_a_run_whose_metrics_are_removed_ends_and_its_metrics_are_saved(
    uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    process = start(tmp_path)
    metrics = tmp_path / "runs" / "tiny-seed1" / "metrics.jsonl"
    while not metrics.exists() or metrics.read_text().count("\n") < 2:
        assert process.poll() is None
        time.sleep(0.02)
    subprocess.run(["sh", "-ec", command], cwd=tmp_path, check=True)
    _, err = process.communicate(timeout=HUNG_S)
    assert process.returncode == 2, err
    assert "Traceback" not in err
    advice = re.search(r"All lines are in \S+: run `([^`]+)` first", err.splitlines()[-1])
    assert advice, err
    subprocess.run(["sh", "-ec", advice[1]], cwd=tmp_path, check=True)
    saved = lines(tmp_path)
    assert len(saved) >= 2
    assert saved == lines(uninterrupted)[: len(saved)]
    train(tmp_path)
    assert lines(tmp_path) == lines(uninterrupted)
