"""Checks before a run has a folder, the lock on a folder, and the puzzles of a run."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import shutil
import signal
from datetime import datetime
from pathlib import Path

import pytest

from tclue.bench.models import loading
from tclue.bench.models.chat_template import prompt_ids
from tclue.bench.models.local import TINY
from tclue.bench.stats.intervals import mean, mean_interval
from tclue.errors import UserError
from tclue.puzzle.puzzle import house_line
from tclue.puzzle.splits import DATA
from tclue_grpo.config_file import load

pytest.importorskip("torch", reason="training needs the extra `train`")
pytest.importorskip("transformers", reason="training needs the extra `train`")

from tclue_grpo import data, loop
from tclue_grpo.build import build, load_tokenizer, make_puzzles
from tclue_grpo.checkpoint import Checkpoints
from tclue_grpo.data import Puzzles, in_tiny_training_set
from tclue_grpo.loop import TrainingRun, lock_folder, train
from tclue_grpo.run_report import Validation
from tclue_grpo.step import iterate
from tclue_grpo.trainer import preflight

pytestmark = pytest.mark.model


@pytest.mark.slow
def test_what_would_end_a_run_later_is_refused_before_it_has_a_folder(tmp_path: Path) -> None:
    copy = tmp_path / "copy.jsonl"
    copy.write_bytes((DATA / "easy-test.jsonl").read_bytes())
    (tmp_path / "empty.jsonl").write_bytes(b"")
    for setting, message in (
        ("train.validation=none.jsonl", "none.jsonl: no such puzzle file"),
        ("bench.puzzles=none.jsonl", "none.jsonl: no such puzzle file"),
        (f"train.validation={copy}", "has 256 of the puzzles of train.validation"),
        (f"train.validation={tmp_path / 'empty.jsonl'}", "empty.jsonl"),
        ("packing.length=500", "packing.length is 500 tokens: expected at least "),
        ("model.base=/nowhere", "/nowhere: no such folder"),
        ("rollout.vllm_python=none", "rollout.vllm_python: none: expected a Python"),
    ):
        settings = (setting, "rollout.engine=vllm") if "vllm" in setting else (setting,)
        with pytest.raises(UserError, match=re.escape(message)) as caught:
            preflight(load("tiny", settings=settings))
        assert "\n" not in str(caught.value)
    preflight(load("tiny"))


def test_a_folder_is_trained_in_by_one_process(tmp_path: Path) -> None:
    lock = lock_folder(tmp_path)
    with pytest.raises(UserError, match="another process trains this run"):
        lock_folder(tmp_path)
    os.close(lock)
    os.close(lock_folder(tmp_path))


def test_what_training_cost_stays_in_kept_json_and_a_broken_one_is_told(tmp_path: Path) -> None:
    (tmp_path / "step-000001" / "trainer").mkdir(parents=True)
    state = {"iteration": 1, "position": 0, "difficulty": "easy", "rng": {}}
    (tmp_path / "step-000001" / "trainer" / "state.json").write_text(json.dumps(state))
    path = tmp_path / "kept.json"
    path.write_text(json.dumps({"base": "old", "training_usd": 0.5, "best": None, "last": 1}))
    Checkpoints(tmp_path, {"base": "tiny"})
    assert json.loads(path.read_bytes()) == {
        "base": "tiny",
        "training_usd": 0.5,
        "best": None,
        "last": 1,
        "steps": [1],
    }
    Checkpoints(tmp_path, {"base_checkpoint": "1" * 64})
    with pytest.raises(UserError, match="began with a base whose files have SHA-256 11111111"):
        Checkpoints(tmp_path, {"base_checkpoint": "2" * 64})
    Checkpoints(tmp_path, {"prompts_sha256": "1" * 64})
    with pytest.raises(UserError, match=r"began with validation prompts .* have SHA-256 11111111"):
        Checkpoints(tmp_path, {"prompts_sha256": "2" * 64})
    for broken in (b"", b"[1]"):
        path.write_bytes(broken)
        with pytest.raises(UserError, match=r"kept\.json: expected a JSON object: remove"):
            Checkpoints(tmp_path, {"base": "tiny"})


def test_the_puzzles_that_come_again_are_those_of_the_difficulty() -> None:
    puzzles = Puzzles("easy", 1, limit=2, ahead=2)
    try:
        first = puzzles.take(2)
        puzzles.set_difficulty("published-mix")
        assert {p.id for p in puzzles.take(2)}.isdisjoint(p.id for p in first)
        puzzles.set_difficulty("easy")
        assert puzzles.take(2) == first
    finally:
        puzzles.close()


def test_puzzles_held_out_unwanted_or_never_made(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Puzzles("easy", 1, ahead=2)
    try:
        first = plain.take(4)
        (worker,) = multiprocessing.active_children()
        os.kill(worker.pid or 0, signal.SIGKILL)
        with pytest.raises(UserError, match="a process that generates puzzles was killed"):
            plain.take(8)
    finally:
        plain.close()
    monkeypatch.setattr(data, "MAX_SKIPPED", 2)
    none = Puzzles("easy", 1, ahead=2, unwanted=lambda p: True)
    try:
        with pytest.raises(UserError, match=r"2 puzzles of easy in a row.*packing\.length"):
            none.take(1)
    finally:
        none.close()
    monkeypatch.undo()
    picky = Puzzles("easy", 1, ahead=2, held_out=first[:1], unwanted=lambda p: p == first[2])
    try:
        assert picky.take(2) == [first[1], first[3]]
    finally:
        picky.close()


@pytest.mark.slow
def test_a_run_trains_on_nothing_that_it_is_measured_on_or_has_no_room_for(tmp_path: Path) -> None:
    plain = Puzzles("easy", 1)
    try:
        first = plain.take(12)
    finally:
        plain.close()
    validation_file = tmp_path / "own.jsonl"
    validation_file.write_text("".join(map(house_line, first[:3])))
    tokenizer = load_tokenizer(str(TINY))
    lengths = [len(prompt_ids(tokenizer, puzzle)) for puzzle in first]
    max_prompt = sorted(lengths)[8]
    limits = (f"packing.length={max_prompt + 400}", "rollout.max_tokens=400")
    config = load("tiny", settings=(f"train.validation={validation_file}", *limits))
    puzzles = make_puzzles(config, tokenizer)
    try:
        taken = puzzles.take(4)
    finally:
        puzzles.close()
    fitting = [p for p, length in zip(first[3:], lengths[3:], strict=True) if length <= max_prompt]
    assert taken == [p for p in fitting if not in_tiny_training_set(p)][:4]
    assert max(lengths) > max_prompt


SMALL = (
    *("data.puzzles_per_iteration=1", "rollout.responses_per_puzzle=2"),
    *("rollout.max_tokens=8", "train.iterations=1", "rollout.refill_rounds=0"),
)


def validating(monkeypatch: pytest.MonkeyPatch, *accuracies: list[float]) -> None:
    """Make the validations return these accuracies [puzzle]."""
    remaining = iter(accuracies)

    def fake_validate(*_: object) -> Validation:
        by_puzzle = next(remaining)
        accuracy = mean_interval(by_puzzle)
        assert accuracy is not None
        return Validation(accuracy, tuple(by_puzzle), mean(by_puzzle), 10.0)

    monkeypatch.setattr(loop, "validate", fake_validate)


@pytest.mark.slow
def test_a_checkpoint_that_is_there_is_not_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    validating(monkeypatch, [0.1, 0.2], [0.1, 0.3])
    with TrainingRun(load("tiny", settings=SMALL), tmp_path, {}) as run:
        run.advance()
        run.save()  # as after Ctrl-C in an iteration that ended with a checkpoint
    assert [path.name for path in tmp_path.glob("step-*")] == ["step-000001"]


@pytest.mark.slow
def test_a_run_has_the_prompts_of_one_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    validating(monkeypatch, [0.1, 0.2], [0.1, 0.3])
    base = shutil.copytree(TINY, tmp_path / "base")
    template = (TINY / "chat_template.jinja").read_text()
    (base / "chat_template.jinja").write_text(f"{{{{ strftime_now('%d %b %f') }}}}{template}")
    config = load("tiny", settings=[*SMALL, f"model.base={base}"])
    (tmp_path / "run").mkdir()
    with TrainingRun(config, tmp_path / "run", {}) as run:
        run.advance()
    monkeypatch.setattr(loading, "_STARTED", datetime(2026, 11, 29))
    with pytest.raises(UserError, match=r"began with validation prompts \(which a chat template"):
        TrainingRun(config, tmp_path / "run", {})


@pytest.mark.slow
def test_no_reward_for_not_finishing_to_think(tmp_path: Path) -> None:
    base = shutil.copytree(TINY, tmp_path / "base")
    unparsed = []
    for opening in ("", "<think>"):
        template = (TINY / "chat_template.jinja").read_text()
        (base / "chat_template.jinja").write_text(template + opening)
        settings = [*SMALL, "rollout.max_tokens=300", f"model.base={base}"]
        state = build(load("tiny", settings=settings))
        try:
            numbers = iterate(state)
        finally:
            state.engine.close()
            state.puzzles.close()
        unparsed.append(numbers["unparsed"])
    assert unparsed == [0, 1]
    assert numbers["accuracy"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("action", ["stop", "rollback"])
def test_a_first_validation_that_is_far_below_the_base_is_not_the_best(
    action: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    validating(monkeypatch, [0.8, 0.9, 0.7, 0.8], [0.1, 0.2, 0.1, 0.1])
    config = load("tiny", settings=[*SMALL, f"guard.action={action}"])
    with pytest.raises(UserError, match=r"accuracy is 0\.125.*no step was validated before"):
        train(config, tmp_path, {})
    assert not list(tmp_path.glob("step-*"))
