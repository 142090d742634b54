"""Files of a run that others remove, replace or edit while a real process writes them."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bench_support import Answer, bench, completion, serving, spawn, the_run, write_puzzles

pytestmark = [pytest.mark.server, pytest.mark.slow]

PUZZLES, COMMITTED_AT, CHANGED_AT = 24, 6, 13
GIT = "git -c user.name=n -c user.email=e@example.org -c commit.gpgsign=false"
# What is done in the working folder of the run, in which $f is the file and $d its folder.
CHANGES = {
    "removed": "rm $f",
    "replaced": "head -2 $f > other && mv other $f",
    "edited": "sed -i s/a/a/ $f",
    "folder removed": "rm -r $d",
    "folder moved": "mv $d moved",
    "folder made anew": "mv $d m && mkdir $d && cp m/run.json $d && head -3 m/responses.jsonl > $f",
    "other branch": f"{GIT} checkout -qf main",
    "file restored": f"{GIT} checkout -q -- $f",
    "cleaned": f"{GIT} rm -rq --cached . && {GIT} clean -qfdx",
}


class Texts:
    """Replies with a text of their own each, and a change of the files with one of them."""

    def __init__(self, folder: Path, commands: dict[int, str]) -> None:
        self._folder, self._commands = folder, commands
        self._numbers, self._lock = itertools.count(1), threading.Lock()
        self.sent: list[str] = []

    def __call__(self, _: dict[str, Any]) -> Answer:
        with self._lock:
            number = next(self._numbers)
            if command := self._commands.get(number):
                (file,) = self._folder.glob("results/*/responses.jsonl")
                shell(self._folder, f"f={file} d={file.parent}; {command}")
            self.sent.append(f"A. number {number}.")
        return Answer(completion(self.sent[-1]))


def shell(folder: Path, command: str) -> None:
    subprocess.run(["sh", "-ec", command], cwd=folder, check=True)


def texts(*paths: Path) -> list[str]:
    lines = [line for path in paths if path.exists() for line in path.read_text().splitlines()]
    return [json.loads(line)["text"] for line in lines]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, a git repository, with a branch that has no results."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    folder = tmp_path / "work"
    folder.mkdir()
    empty = f"{GIT} commit -q --allow-empty -m empty"
    shell(folder, f"{GIT} init -q -b main . && {empty} && {GIT} checkout -qb runs")
    return folder


def run_and_change(
    folder: Path, command: str, check: Callable[[Texts, str, Path], None]
) -> list[str]:
    """Run a model while a command changes the files, then follow what the error says."""
    path, _ = write_puzzles(folder.parent, PUZZLES)
    results = folder / "results"
    replies = Texts(
        folder,
        {COMMITTED_AT: f"{GIT} add . && {GIT} commit -qm results", CHANGED_AT: command},
    )
    with serving(replies) as server:
        options: dict[str, Any] = {
            "api_base": server.url,
            "concurrency": 3,
            "price_in": 1.0,
            "price_out": 1.0,
        }
        process = spawn("m", path, results, **options)
        _, errors = process.communicate()
        assert process.returncode == 2, errors
        assert "Traceback" not in errors
        told = errors.strip().splitlines()[-1]
        assert "while this command was writing it" in told or "its folder was removed" in told
        check(replies, told, results)
        if advice := re.search(r"Run `([^`]+)` first", told):
            shell(folder, advice[1])
        # And now it ends well.
        bench("m", path, results, **options)
    return replies.sent


@pytest.mark.parametrize("change", CHANGES)
def test_no_paid_reply_is_lost(folder: Path, change: str) -> None:
    def check(replies: Texts, told: str, results: Path) -> None:
        found = re.search(r"Saved in (\S+): (\d+) responses", told)
        assert found, told
        saved = Path(found[1])
        assert len(texts(saved)) == int(found[2])
        assert {*texts(saved), *texts(*results.glob("*/responses.jsonl"))} == set(replies.sent)
        # Nothing was sent after it.
        assert CHANGED_AT <= len(replies.sent) <= CHANGED_AT + 4

    sent = run_and_change(folder, CHANGES[change], check)
    # No reply was paid for twice, and each is there once.
    assert len(sent) == PUZZLES
    recorded = [each.text for each in the_run(folder / "results").responses if each.scored]
    assert sorted(recorded) == sorted(sent)
    assert not list(folder.glob("results/*/rescued-*"))


def test_a_file_that_is_emptied_in_place_is_reported(folder: Path) -> None:
    def check(replies: Texts, told: str, _: Path) -> None:
        found = re.search(r"Saved in (\S+): (\d+) response.*\. Lost: (\d+) responses$", told)
        assert found, told
        assert int(found[2]) + int(found[3]) == len(replies.sent)
        assert len(texts(Path(found[1]))) == int(found[2])

    run_and_change(folder, ": > $f", check)


def test_a_description_of_the_run_that_is_removed_is_written_again(folder: Path) -> None:
    path, _ = write_puzzles(folder.parent, PUZZLES)
    replies = Texts(folder, {CHANGED_AT: "rm $d/run.json"})
    with serving(replies) as server:
        process = spawn("m", path, folder / "results", api_base=server.url)
        _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert len(the_run(folder / "results").responses) == PUZZLES
