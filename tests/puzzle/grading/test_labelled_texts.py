"""Labelled texts: what `sound` reads in forms, remarks and evasions that were written to try it.

The files in `tests/data/grading` were written by authors who did not know the rules of the grader.
Each line is a text with the answers that a careful reader finds in it. About half of the texts
(part "held") were measured once before anybody looked at them; docs/method/grading.md has the
figures. Where the grader reads something else, the line says what ("reads"), so that every change
of the rules shows here.

* `clear`: whole responses in some 1,000 styles; all answers have to be read.
* `remarks`: answers with a remark that names other options or sounds like a refusal.
* `none`: texts that give no single answer to one letter.
* `families`: the styles of current model families, with the source that shows the style.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from grading import PUZZLE, PUZZLES
from places import DATA

from tclue.puzzle.grading.grade import grader

SOUND = grader("sound")


def rows(name: str) -> list[dict[str, Any]]:
    text = (DATA / "grading" / f"{name}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def reads(row: dict[str, Any]) -> dict[str, str]:
    answers = SOUND.read(PUZZLES[row.get("puzzle", "one")], row["text"])
    return {letter: option for letter, option in answers.items() if option is not None}


@pytest.mark.parametrize("name", ["clear", "remarks", "families"])
def test_reads_what_a_careful_reader_reads(name: str) -> None:
    wrong = [
        (row["text"], row["answers"], found)
        for row in rows(name)
        if (found := reads(row)) != row.get("reads", row["answers"])
    ]
    assert wrong == []


def test_reads_nothing_where_nothing_is_answered() -> None:
    wrong = []
    for row in rows("none"):
        found = reads(row)
        if found != row["reads"] if "reads" in row else row["letter"] in found:
            wrong.append((row["text"], row["letter"], found))
    assert wrong == []


def test_the_tables_are_as_large_as_they_say() -> None:
    """And few of their texts are read in another way than their label."""
    remarks, none, clear = rows("remarks"), rows("none"), rows("clear")
    assert len(remarks) > 2_800
    assert sum(row["part"] == "held" for row in remarks) > 1_500
    assert len({row["style"] for row in clear}) > 700
    for table, most in ((clear, 0.01), (remarks, 0.06), (none, 0.002)):
        assert sum("reads" in row for row in table) <= most * len(table)
    families: dict[str, int] = {}
    for row in rows("families"):
        assert row["source"]
        families[row["family"]] = families.get(row["family"], 0) + 1
    assert len(families) >= 12
    assert min(families.values()) >= 3


def test_no_answer_is_read_wrong() -> None:
    """Where the grader reads less than the label says, it reads no other option instead."""
    for name in ("clear", "remarks"):
        for row in rows(name):
            if other := {
                letter: option
                for letter, option in row.get("reads", {}).items()
                if option != row["answers"].get(letter, option)
            }:
                assert row.get("misread") == other, row["text"]


def test_a_second_answer_never_adds_to_the_score() -> None:
    """Whatever form names two options, the letter of the puzzle's own answer gains nothing."""
    for row in rows("none"):
        puzzle = PUZZLES[row["puzzle"]]
        grade = SOUND.grade(puzzle, row["text"])
        assert row["letter"] not in grade.right or "reads" in row, row["text"]


def test_the_second_puzzle_is_read_too() -> None:
    for puzzle in (PUZZLE, *PUZZLES.values()):
        gold = "\n".join(f"{letter}. {answer}" for letter, answer in puzzle.solution.items())
        assert SOUND.grade(puzzle, gold).solved
