"""Checkpoints: what a resume restores, and kills and full disks while one is saved."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from places import PYTHONPATH, SCRIPTS

from tclue.bench.models.local import TINY
from tclue.errors import UserError
from tclue.trainers import checkpoints

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from saving import Weights, save_on  # noqa: E402

from tclue_grpo.build import load_policy  # noqa: E402
from tclue_grpo.checkpoint import (  # noqa: E402
    STATE,
    Checkpoints,
    State,
    read_state,
    restore,
)
from tclue_grpo.config import UpdateConfig  # noqa: E402
from tclue_grpo.master_weights import make_optimizer  # noqa: E402
from tclue_grpo.policy import HfPolicy  # noqa: E402
from tclue_grpo.step import Optimizer  # noqa: E402

pytestmark = pytest.mark.model

KILLS = 20


class Saver:
    """A running process of tests/scripts/saving.py."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(SCRIPTS / "saving.py")],
            env={**os.environ, "PYTHONPATH": PYTHONPATH},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, run: Path, call: int = 0, limit: int = 0) -> int:
        """Start a child; return its process id."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps([str(run), call, limit]) + "\n")
        self._process.stdin.flush()
        return self._read()

    def wait(self) -> int:
        """Wait for the child; return its exit code."""
        return self._read()

    def _read(self) -> int:
        assert self._process.stdout
        return int(self._process.stdout.readline())

    def close(self) -> None:
        self._process.communicate()


@pytest.fixture(scope="module")
def saver() -> Iterator[Saver]:
    running = Saver()
    yield running
    running.close()


@pytest.fixture
def quick(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory if possible: kills act the same there, and fsync takes no time."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


def assert_whole(run: Path) -> int:
    """Check that every checkpoint is complete and of one step; return the last iteration or 0."""
    saved = list(checkpoints(run))
    for step in saved:
        weights = Weights()
        folder = run / f"step-{step:06d}"
        assert restore(folder, weights).iteration == step
        assert weights.numbers() == {step}
        assert (folder / "model.safetensors").stat().st_size > 40_000
        assert (folder / "config.json").read_text() == "{}\n"
    return saved[-1] if saved else 0


@pytest.mark.slow
def test_a_checkpoint_brings_back_the_same_training(tmp_path: Path) -> None:
    policy = load_policy(str(TINY), torch.float32)
    optimizer = make_optimizer(policy, UpdateConfig(learning_rate=1e-3))
    ids = torch.arange(40)[None] % 100

    def train(policy: HfPolicy, optimizer: Optimizer, times: int) -> list[float]:
        norms = []
        for _ in range(times):
            torch.autograd.backward(policy.module(ids, labels=ids).loss)
            norms.append(optimizer.step(1e-3)[0])
        return norms

    train(policy, optimizer, 2)
    state = State(2, 64, "easy", metrics_bytes=123, best={"iteration": 2, "accuracy": 0.7})
    folder = Checkpoints(tmp_path, {"base": "tiny"}).save(policy, optimizer, state)
    expected_draws = torch.rand(3), random.random()
    norms = train(policy, optimizer, 2)

    reloaded = load_policy(str(folder), torch.float32)
    resumed = make_optimizer(reloaded, UpdateConfig(learning_rate=1e-3))
    assert restore(folder, resumed) == state
    assert torch.equal(torch.rand(3), expected_draws[0])
    assert random.random() == expected_draws[1]
    assert train(reloaded, resumed, 2) == norms
    for weight, restored in zip(policy.parameters(), reloaded.parameters(), strict=True):
        assert torch.equal(weight, restored)
    assert json.loads((tmp_path / "kept.json").read_text()) == {
        "base": "tiny",
        "best": 2,
        "last": 2,
        "steps": [2],
    }


def test_bf16_weights_come_back_with_their_masters(tmp_path: Path) -> None:
    policy = load_policy(str(TINY), torch.bfloat16)
    optimizer = make_optimizer(policy, UpdateConfig())
    # a change too small for bf16
    with torch.no_grad():
        optimizer.masters[0].add_(1e-6)
    folder = Checkpoints(tmp_path, {}).save(policy, optimizer, State(1, 0, "easy"))
    reloaded = load_policy(str(folder), torch.bfloat16)
    resumed = make_optimizer(reloaded, UpdateConfig())
    assert not torch.equal(resumed.masters[0], optimizer.masters[0])
    restore(folder, resumed)
    assert torch.equal(resumed.masters[0], optimizer.masters[0])


def test_best_last_and_every_nth_are_kept(quick: Path) -> None:
    save_on(quick, 11)  # best is the last multiple of 3, and every 4th is kept
    assert list(checkpoints(quick)) == [4, 8, 9, 11]
    manifest = json.loads((quick / "kept.json").read_text())
    assert manifest == {"base": "tiny", "best": 9, "last": 11, "steps": [4, 8, 9, 11]}


@pytest.mark.slow
@pytest.mark.server
def test_killed_at_every_call_that_touches_the_disk(quick: Path, saver: Saver) -> None:
    points = 0
    for call in range(1, 200):
        run = quick / str(call)
        # before the kill there are 5 steps, of which 3 (best), 4 and 5 are kept
        save_on(run, 5)
        saver.start(run, call)
        code = saver.wait()
        assert assert_whole(run) >= 5
        Checkpoints(run, {"base": "tiny"}, keep_every=4)
        manifest = json.loads((run / "kept.json").read_text())
        assert manifest["steps"] == list(checkpoints(run))
        assert manifest["last"] == list(checkpoints(run))[-1]
        assert manifest["best"] in manifest["steps"]
        assert {path.name for path in run.iterdir() if "." in path.name} == {"kept.json"}
        if code == 0:
            break
        assert code == -signal.SIGKILL
        points = call
    assert points > 40
    assert list(checkpoints(run)) == [4, 6, 8]


@pytest.mark.slow
@pytest.mark.server
def test_killed_at_random_moments(quick: Path, saver: Saver) -> None:
    rng = random.Random(5)
    last = 0
    for _ in range(KILLS):
        child = saver.start(quick, -1)
        # Counted in steps: in so many seconds, a busy machine saves none.
        wanted = last + rng.randint(0, 2)
        while max(checkpoints(quick), default=0) < wanted:
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.05))
        os.kill(child, signal.SIGKILL)
        assert saver.wait() == -signal.SIGKILL
        newest = assert_whole(quick)
        assert newest >= last
        last = newest
    assert last > KILLS / 2


@pytest.mark.server
def test_a_file_that_may_not_grow(quick: Path, saver: Saver) -> None:
    save_on(quick, 2)
    saver.start(quick, 0, 100_000)  # the optimizer's file needs more
    assert saver.wait() == 3
    message = (quick / "error.txt").read_text()
    (quick / "error.txt").unlink()
    assert "File too large" in message
    assert f"the last good checkpoint is {quick / 'step-000002'}" in message
    assert "\n" not in message
    assert assert_whole(quick) == 2
    assert sorted(path.name for path in quick.iterdir()) == ["kept.json", "step-000002"]


@pytest.mark.server
def test_a_full_disk(tmp_path: Path) -> None:
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path)]
    try:
        mounted = subprocess.run(command, capture_output=True).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("mounting a small disk is for root")
    try:
        run = tmp_path / "run"
        save_on(run, 2)
        full = tmp_path / "full"
        free_bytes = os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize
        full.write_bytes(bytes(free_bytes - 100_000))
        with pytest.raises(UserError) as caught:
            save_on(run, 1)
        assert "No space left on device" in str(caught.value)
        assert "step-000002; once there is space, the same command resumes the run" in str(
            caught.value
        )
        assert assert_whole(run) == 2
        full.unlink()
        save_on(run, 1)
        assert assert_whole(run) == 3
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_what_is_not_a_checkpoint_is_told_in_one_line(quick: Path) -> None:
    save_on(quick, 1)
    folder = quick / "step-000001"
    with pytest.raises(UserError, match="of another model"):
        restore(folder, Weights(7))
    (folder / STATE).write_text("{")
    with pytest.raises(UserError, match="not JSON"):
        read_state(folder)
    (folder / STATE).unlink()
    with pytest.raises(UserError, match="cannot be read: No such file"):
        read_state(folder)
    save_on(quick / "other", 1)
    torn = quick / "other" / "step-000001" / "trainer" / "optimizer-0-of-1.safetensors"
    torn.write_bytes(torn.read_bytes()[:1000])
    with pytest.raises(UserError, match="cannot be read"):
        restore(quick / "other" / "step-000001", Weights())


@pytest.mark.parametrize(
    "rng",
    [
        *(None, [], {}, {"python": None}, {"python": [3, [1], None], "torch": ""}),
        {"python": [3, [0.5] * 625, None]},
        {"python": [3, [10**30] * 625, None]},
        {"python": [9, [1] * 625, None]},
        {"torch": "00"},
        {"torch": "00" * 5056},
        {"torch": "xx"},
        {"torch": 5},
        {"gauss": "x"},
        {"gauss": float("nan")},
    ],
)
def test_a_damaged_random_state_is_one_line(quick: Path, rng: Any) -> None:
    save_on(quick, 1)
    path = quick / "step-000001" / STATE
    state = json.loads(path.read_text())
    if isinstance(rng, dict) and "gauss" in rng:
        state["rng"]["python"][2] = rng["gauss"]
    else:
        state["rng"] = state["rng"] | rng if isinstance(rng, dict) and rng else rng
    path.write_text(json.dumps(state))
    with pytest.raises(UserError, match=r"rng cannot be restored.*remove step-000001"):
        restore(path.parent.parent, Weights())


def test_a_folder_that_the_trainer_did_not_write_is_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "step-7").mkdir()
    kept = Checkpoints(tmp_path, {"base": "tiny"})
    assert kept.steps() == []
    assert kept.last() is None
