"""The shipped splits: as their manifest says, made from their seeds, apart from each other."""

from __future__ import annotations

import hashlib
import json
import os
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from commands import refused, run

from tclue.errors import UserError
from tclue.puzzle import cpsat, generate, splits
from tclue.puzzle.draw import DIFFICULTIES
from tclue.puzzle.files import read_puzzles
from tclue.puzzle.generate import VERSION
from tclue.puzzle.puzzle import Puzzle, prompt_hash

MANIFEST: dict[str, Any] = json.loads((splits.DATA / "manifest.json").read_text(encoding="utf-8"))
SIZES = {"val": 64, "test": 64, "easy-val": 256, "easy-test": 256}
BY_SPLIT = pytest.mark.parametrize("name", splits.SPLITS)


def lines(name: str) -> list[dict[str, Any]]:
    text = (splits.DATA / f"{name}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


# What is shipped


def test_the_manifest_is_of_this_generator() -> None:
    assert MANIFEST["generator_version"] == VERSION
    assert set(MANIFEST["splits"]) == set(SIZES) == set(splits.SPLITS)


@pytest.mark.slow
@BY_SPLIT
def test_a_split_is_as_its_manifest_says(name: str) -> None:
    stated = MANIFEST["splits"][name]
    data = (splits.DATA / f"{name}.jsonl").read_bytes()
    assert hashlib.sha256(data).hexdigest() == stated["sha256"]
    records = lines(name)
    assert len(records) == stated["puzzles"] == SIZES[name]
    assert [record["seed"] for record in records] == stated["seeds"]
    assert {record["difficulty"] for record in records} == {stated["difficulty"]}
    hashes = [hashlib.sha256(record["prompt"].encode()).hexdigest() for record in records]
    assert hashes == stated["prompt_sha256"]
    loaded = splits.load_set(name)
    assert (loaded.name, loaded.sha256) == (name, stated["sha256"])
    assert [puzzle.id for puzzle in loaded.puzzles] == [record["id"] for record in records]


@BY_SPLIT
def test_the_canary_is_in_every_line(name: str) -> None:
    assert MANIFEST["canary"].startswith("tclue-canary-")
    assert {record["canary"] for record in lines(name)} == {MANIFEST["canary"]}


def test_the_canary_is_not_in_what_a_model_sees() -> None:
    for name in splits.SPLITS:
        assert not any(MANIFEST["canary"] in record["prompt"] for record in lines(name))


@BY_SPLIT
def test_seeds_give_the_shipped_bytes(name: str) -> None:
    records = lines(name)
    for record in records[:: len(records) // 4]:
        made = generate.make(
            record["seed"], record["difficulty"], DIFFICULTIES[record["difficulty"]]
        )
        assert {**made.puzzle.to_dict(), "canary": MANIFEST["canary"]} == record


@BY_SPLIT
def test_shipped_puzzles_are_proved_again(name: str) -> None:
    """All were when they were made; some are here, by the other prover."""
    for record in lines(name)[:: SIZES[name] // 4]:
        puzzle = Puzzle.from_dict(record)
        proof = cpsat.prove(puzzle, "history")
        assert proof.verdict == "unique"
        assert puzzle.answers(proof.cases[0]) == dict(puzzle.solution)


def test_no_prompt_is_in_two_splits() -> None:
    prompts = [record["prompt"] for name in splits.SPLITS for record in lines(name)]
    assert len(set(prompts)) == len(prompts) == sum(SIZES.values())
    assert splits.shipped_hashes() == {prompt_hash(prompt) for prompt in prompts}


# The training ranges


def test_training_seeds_are_apart() -> None:
    shipped = {seed for split in MANIFEST["splits"].values() for seed in split["seeds"]}
    firsts = [first for _, first in splits.TRAIN_RANGES.values()]
    assert max(shipped) < min(firsts)
    assert len(set(firsts)) == len(firsts)
    for name, (difficulty, _) in splits.TRAIN_RANGES.items():
        assert difficulty in DIFFICULTIES
        assert name not in splits.SPLITS


def test_a_training_range_passes_over_what_is_shipped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A collision, forced: the range's second puzzle has a shipped prompt."""
    expected = list(islice(splits.train_puzzles("easy-train"), 3))
    shipped = splits.load_set("easy-test").puzzles[0]
    _, first = splits.TRAIN_RANGES["easy-train"]
    real = generate.generate

    def collide(seed: int, difficulty: str) -> Puzzle:
        return shipped if seed == first + 1 else real(seed, difficulty)

    monkeypatch.setattr(generate, "generate", collide)
    puzzles = list(islice(splits.train_puzzles("easy-train"), 2))
    assert [puzzle.seed for puzzle in puzzles] == [first, first + 2]
    assert [puzzle.prompt for puzzle in puzzles] == [expected[0].prompt, expected[2].prompt]


def test_no_training_puzzle_is_shipped() -> None:
    puzzles = list(islice(splits.train_puzzles("easy-train"), 100))
    assert not {prompt_hash(puzzle.prompt) for puzzle in puzzles} & splits.shipped_hashes()


@pytest.mark.server
def test_a_training_set_that_finds_no_room_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    message = refused(run(tmp_path, "check", "easy-train:20", max_file_bytes=4096))
    place = tmp_path / "tclue" / f"easy-train-v{VERSION}-20.jsonl"
    assert message.startswith(f"{place}: cannot be written: File too large; set XDG_CACHE_HOME")
    assert not list((tmp_path / "tclue").iterdir())


def test_a_training_set_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made = splits.load_set("easy-train:3")
    (cached,) = (tmp_path / "tclue").iterdir()
    assert cached.name == f"easy-train-v{VERSION}-3.jsonl"
    assert read_puzzles(cached) == list(made.puzzles)
    assert made.name == "easy-train-3"
    assert len(made.puzzles) == 3
    assert not list(tmp_path.rglob(f"*.{os.getpid()}"))

    def no_more(seed: int, difficulty: str) -> Puzzle:
        raise AssertionError("made again")

    monkeypatch.setattr(generate, "generate", no_more)
    assert splits.load_set("easy-train:3") == made
    with pytest.raises(AssertionError, match="made again"):
        splits.load_set("easy-train:2")


# Names


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere", "nowhere: no such puzzle file: expected a file, or one of the sets val, test"),
        ("train:0", "expected train:COUNT with a positive number"),
        ("train:-3", "expected train:COUNT with a positive number"),
        ("easy-train:many", "expected easy-train:COUNT with a positive number"),
        ("easy-train:²", "expected easy-train:COUNT with a positive number"),
        ("val:3", "val:3: no such puzzle file"),
    ],
)
def test_an_unknown_name_is_refused(name: str, message: str) -> None:
    with pytest.raises(UserError) as refused:
        splits.load_set(name)
    assert message in str(refused.value)


def test_a_file_is_loaded_under_its_own_name(tmp_path: Path) -> None:
    puzzle = splits.load_set("easy-val").puzzles[0]
    path = tmp_path / "mine.jsonl"
    path.write_text(json.dumps({"prompt": puzzle.prompt, "solution": dict(puzzle.solution)}))
    loaded = splits.load_set(str(path))
    assert (loaded.name, len(loaded.puzzles)) == ("mine", 1)
    assert loaded.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_file_without_solutions_cannot_be_graded(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text(json.dumps({"prompt": splits.load_set("easy-val").puzzles[0].prompt}))
    with pytest.raises(UserError, match="puzzle 1 has no solution"):
        splits.load_set(str(path))
