"""The shapes of texts of which no answer was read, and their counts."""

from __future__ import annotations

import pytest
from grading import PUZZLE

from tclue.puzzle.grading.shape import Unread, shape, unread

NOWHERE = "no line names an option"
SHAPES = [
    # (texts, their common shape)
    (("", " \n\t", "<think>Miss Scarlet</think>", "** **"), "no words outside reasoning"),
    (("<think>A. Miss Scarlet", "So:\n<think>\nA. Rope"), "reasoning that never ends"),
    (("I cannot say.", "It is a hard one.\n\nSorry."), NOWHERE),
    (("A. SUSPECT\nB. WEAPON", "**A.** suspect\n**B.** weapon\n\nDone."), "X. weapon"),
    (("A: Miss Scarlet or Mr. Green?", "F: mrs. white or Sgt. Gray?"), "X: SUSPECT or SUSPECT?"),
    (("the Rope, clue 3\nThat is all.", "The KNIFE, clue 14"), "the WEAPON, clue 9"),
    (("in the Dining Hall at 01:00 AM", "in the `Lounge` at 11:30 pm"), "in the ROOM at TIME"),
    (("Greed, says Mustard", "Fear, says Colonel Mustard"), "MOTIVE, says SUSPECT"),
    # Words are no letters of the puzzle, and other letters are none either.
    (("a rope; z. it is",), "a WEAPON; z. it is"),
]


@pytest.mark.parametrize(("texts", "expected"), SHAPES)
def test_alike_texts_have_one_shape(texts: tuple[str, ...], expected: str) -> None:
    assert {shape(PUZZLE, text) for text in texts} == {expected}


def test_a_shape_is_short_and_can_be_shown() -> None:
    hostile = "\x1b[31m the Rope \x07\u202e\ud800 " + "why? " * 100
    for text in (hostile, f"{'so ' * 100}the Rope {'indeed ' * 100}", "a. b. " * 100):
        found = shape(PUZZLE, text)
        assert len(found) <= 60
        assert found.isprintable()
        assert "WEAPON" in found or "X" in found


def test_the_commonest_shape_does_not_depend_on_the_order() -> None:
    assert unread([], 7) is None
    shapes = ["b", "a", "", "b", "a", "c"]
    assert unread(shapes, 9) == unread(reversed(shapes), 9) == Unread(6, 9, "a", 2)
    assert unread(["", ""], 2) == Unread(2, 2)
    assert Unread(6, 9, "a", 2).describe() == (
        "no answer was read in the text of 6 of 9 responses (66.7%), 2 of them of this shape: a"
    )
    assert Unread(2, 2).describe().endswith("of 2 of 2 responses (100.0%)")
    assert Unread(1, 2000, "a", 1).describe().endswith("(0.1%), all of this shape: a")
