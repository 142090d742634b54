"""What no file and no option should hold: one short line, before any folder is made."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from bench_support import Answer, completion, prompt_of, serving, write_puzzles
from commands import call, refused

DEEP = "[" * 100_000
LARGE = 2**63
TRAIN = ("train", "--preset", "tiny")
COMMANDS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@pytest.mark.parametrize("dry", [True, False], ids=["dry", "real"])
@pytest.mark.parametrize(
    "name",
    [
        *("../../x", "/x", "", ".", "..", "a/b", "a\\b", ".x", "-x", "a" * 300, "a\x01"),
        *("a\u202e", "NUL", "com1.x", "a,b", "a:b", " a", "a "),
    ],
)
def test_a_run_has_a_plain_name(tmp_path: Path, name: str, dry: bool) -> None:
    done = call(tmp_path, *TRAIN, f"--run={name}", *(["--dry-run"] if dry else []))
    assert "expected a folder name" in refused(done)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a", "tiny-seed1", "A b.2", "_x", "π"])
def test_names_of_runs(tmp_path: Path, name: str) -> None:
    assert call(tmp_path, *TRAIN, "--dry-run", f"--run={name}").returncode == 0


@pytest.mark.parametrize("seed", [-1, LARGE, 10**30])
@pytest.mark.parametrize(
    "command",
    [
        (*TRAIN, "--seed={}"),
        (*TRAIN, "--dry-run", "--set=train.seed={}"),
        ("bench", "--models=random", "--seed={}"),
        ("generate", "-n1", "--seed={}", "-oa.jsonl"),
    ],
)
def test_a_seed_has_64_bits(tmp_path: Path, command: tuple[str, ...], seed: int) -> None:
    line = refused(call(tmp_path, *(part.format(seed) for part in command)))
    assert f"is {seed}: expected" in line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("file", "content", "command"),
    [
        ("a.json", DEEP, ("check", "a.json")),
        ("a.jsonl", DEEP + "\n", ("bench", "--models=random", "--puzzles=a.jsonl")),
        ("a.jsonl", "\0" * 1_000_000 + "\n", ("check", "a.jsonl")),
        ("a.toml", f"a = {DEEP}", (*TRAIN, "--dry-run", "--config=a.toml")),
        ("a.toml", "a" + ".a" * 100_000 + " = 1", ("models", "--registry=a.toml")),
        ("a.toml", "x" * 10_000_000 + " = 1", ("bench", "--config=a.toml")),
        ("a.toml", f'[loss]\nobjective = "{"x" * 10_000_000}"', (*TRAIN, "--config=a.toml")),
        ("a.toml", '"\\u001b[2J\\u202e\\u009b" = 1', ("bench", "--config=a.toml")),
        ("a", "", (*TRAIN, f"--set=train.seed={DEEP}")),
        ("a", "", (*TRAIN, f"--set=a.b={'x' * 1_000_000}")),
        ("a", "", ("bench", "--\x1b[2J\u202e")),
        ("a", "", ("x" * 1_000_000,)),
        ("a", "", ("check", "x" * 10_000)),
        ("a", "", ("train", "--trainer=\x1b[2J\u202e")),
    ],
)
def test_one_short_line(tmp_path: Path, file: str, content: str, command: tuple[str, ...]) -> None:
    (tmp_path / file).write_text(content)
    line = refused(call(tmp_path, *command))
    assert len(line) < 1000
    assert not COMMANDS.search(line)
    assert [path.name for path in tmp_path.iterdir()] == [file]


def test_lines_of_records_that_cannot_be_read(tmp_path: Path) -> None:
    bench = ("bench", "--models=random", "--puzzles=easy-val", "--limit=1")
    assert call(tmp_path, *bench).returncode == 0
    (file,) = tmp_path.glob("results/*/responses.jsonl")
    whole = file.read_bytes()
    for line in (b"\0" * 100_000, whole[:-2] + b', "x": ' + DEEP.encode() + b"}"):
        file.write_bytes(whole + line + b"\n")
        assert "line 2: n" in refused(call(tmp_path, *bench))


@pytest.mark.server
def test_nothing_hostile_is_shown(tmp_path: Path) -> None:
    hostile = "x\x1b[2J\x1b]0;t\x07\u202e\x9b2J\U000e0041$x$<b>|`"
    path, puzzles = write_puzzles(tmp_path, 2)

    def behave(body: dict[str, Any]) -> Answer:
        if prompt_of(body).strip() == puzzles[0].prompt.strip():
            return Answer({"error": {"message": hostile, "code": hostile}}, 400)
        return Answer({**completion("A. x"), "model": hostile, "provider": hostile})

    with serving(behave) as server:
        done = [call(tmp_path, "bench", "--models=a\u202eb", "--puzzles", path.name,
                     "--price-in=1", "--price-out=1", f"--api-base={server.url}")]  # fmt: skip
    done += [call(tmp_path, "results"), call(tmp_path, "leaderboard")]
    assert [each.returncode for each in done] == [0, 0, 0]
    shown = "".join(each.stdout + each.stderr for each in done)
    board = [file for file in (tmp_path / "leaderboards").rglob("*") if file.is_file()]
    assert "400: x\ufffd[2J" in shown
    assert any(file.suffix == ".svg" for file in board)
    for text in (shown, *(file.read_text(encoding="utf-8") for file in board)):
        assert not COMMANDS.search(text)
