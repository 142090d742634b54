"""Texts whose grade is known, and puzzle files whose own answers would be graded wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path

import pytest
from commands import call, refused
from worlds import BARE, samples

from tclue.puzzle import controls, names, prompt
from tclue.puzzle.files import read_puzzles
from tclue.puzzle.generate import generate
from tclue.puzzle.puzzle import Puzzle, house_line, published_list
from tclue.puzzle.statements import KilledWith
from tclue.puzzle.wording import Question
from tclue.puzzle.world import World

EASY = generate(7, "easy")


def named(*suspects: str) -> Puzzle:
    """A puzzle with these suspects, and with a stated answer for each of two letters."""
    asked = {"A": Question("murderer"), "B": Question("weapon")}
    text = prompt.write(replace(BARE, suspects=suspects), (KilledWith(0),), asked)
    return Puzzle(text, {"A": suspects[0], "B": "Rope"}, id="named")


# The first is the stated murderer. Nobody can tell these apart, or from the marks of an answer.
MISREAD = [("Sam.", "Sam"), ("Miss  Scarlet", "Miss Scarlet"), ("</think>", "Ann"), ("SAM", "Sam")]
# These depend on the grader's rules.
OTHERS = [
    *[("B. Jones", "Ann"), ("M. Brunette", "Ann"), ("Miss  Scarlet", "Ann"), ("Sam.", "Ann")],
    *[("Ann or Bob", "Cy"), ("not", "Ann"), ("O'Neil", "Neil"), ("Dr. No", "Ann"), ("A", "B")],
    *[("張三", "李四"), ("Bob (the elder)", "Bob"), ("<b>", "<i>"), ("E!", "É!"), ("1", "2")],
]


@pytest.mark.parametrize("suspects", MISREAD + OTHERS)
def test_a_file_is_refused_exactly_if_its_own_answers_are_graded_wrong(
    suspects: tuple[str, str], tmp_path: Path
) -> None:
    puzzle = named(*suspects)
    letters = controls.misread(puzzle)
    if suspects in MISREAD:
        assert letters == ["A"]
    lines, listed = tmp_path / "puzzles.jsonl", tmp_path / "puzzles.json"
    lines.write_text(house_line(EASY) + "\n" + house_line(puzzle), encoding="utf-8")
    listed.write_text(published_list([EASY, puzzle]), encoding="utf-8")
    for path, place in ((lines, "line 3"), (listed, "puzzle 2")):
        if not letters:
            assert read_puzzles(path)[1].solution == puzzle.solution
            continue
        for command in ("check", "show"):
            line = refused(call(tmp_path, command, path.name))
            assert line.startswith(f"{path.name}, {place}: the grader does not read '")
            assert f"'{letters[0]}. {puzzle.solution[letters[0]]}'" in line
            assert "expected names that differ" in line
    # Without a stated answer there is nothing to grade.
    lines.write_text(json.dumps({"prompt": puzzle.prompt}))
    assert read_puzzles(lines)[0].options == puzzle.options


def test_every_name_that_the_generator_draws_is_read() -> None:
    """All of them in one puzzle, so that each can be confused with each."""
    times = list(map(names.clock, range(names.MINUTES_A_DAY)))
    world = World(
        suspects=names.SUSPECTS,
        weapons=names.WEAPONS,
        rooms=names.ROOMS,
        plan=(tuple(range(len(names.ROOMS))),),
        times=tuple(times),
        motives=names.MOTIVES,
        # There are more motives than suspects.
        motive_counts=tuple(int(i < len(names.SUSPECTS)) for i in range(len(names.MOTIVES))),
    )
    asked = {
        "A": Question("murderer"),
        "B": Question("weapon"),
        "C": Question("room"),
        "D": Question("time"),
        "E": Question("motive"),
    }
    text = prompt.write(world, (KilledWith(0),), asked)
    puzzle = Puzzle(text)
    for answers in zip_longest(*puzzle.options.values()):
        stated = {
            letter: answer or puzzle.options[letter][0]
            for letter, answer in zip(asked, answers, strict=True)
        }
        # In place, because a new puzzle would read the prompt again, for a second each.
        object.__setattr__(puzzle, "solution", stated)
        assert controls.misread(puzzle) == []


def test_no_control_fails_for_generated_puzzles() -> None:
    for sample in samples()[::4]:
        puzzle = sample.made.puzzle
        assert controls.failed(puzzle) == {}


def test_a_control_that_fails_is_named_with_its_letters() -> None:
    assert controls.failed(named("Sam.", "Sam")) == {"stated answers": ["A"]}
    # An answer format is no answer, but here it is one.
    assert controls.failed(named("SUSPECT", "Ann")) == {"prompt": ["A"]}
    # A question with one option: a list of all options is its answer.
    assert controls.failed(named("Ann")) == {}
