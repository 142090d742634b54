"""Shared by the tests of the graders: a puzzle whose names are easy to confuse."""

from __future__ import annotations

from tclue.puzzle import prompt
from tclue.puzzle.puzzle import Puzzle
from tclue.puzzle.statements import MURDER_WEAPON, MURDERER, At, Ref
from tclue.puzzle.wording import Question
from tclue.puzzle.world import World

WORLD = World(
    suspects=("Miss Scarlet", "Mr. Green", "Mrs. White", "Colonel Mustard", "Sgt. Gray"),
    weapons=("Rope", "Lead Pipe", "Knife"),
    rooms=("Hall", "Dining Hall", "Library", "Dining Room", "Fountain", "Lounge"),
    plan=((0, 1, 2), (3, 4, 5)),
    times=("11:30 PM", "12:00 AM", "12:30 AM", "01:00 AM"),
    motives=("Greed", "Fear", "Power"),
    motive_counts=(2, 2, 1),
)
QUESTIONS = {
    "A": Question("murderer"),
    "B": Question("weapon"),
    "C": Question("room"),
    "D": Question("time"),
    "E": Question("motive"),
    "F": Question("position", Ref("weapon", 1), 2),
    "G": Question("motive of", Ref("suspect", 1)),
    "H": Question("holder of", Ref("motive", 2)),
}
SOLUTION = {
    "A": "Miss Scarlet",
    "B": "Rope",
    "C": "Library",
    "D": "01:00 AM",
    "E": "Greed",
    "F": "Dining Hall",
    "G": "Fear",
    "H": "Sgt. Gray",
}
PUZZLE = Puzzle(prompt.write(WORLD, (At(MURDERER, 0, 0),), QUESTIONS), SOLUTION)
QUESTION_TEXTS: dict[str, str] = PUZZLE.to_dict()["questions"]
KINDS = {
    "A": "SUSPECT",
    "B": "WEAPON",
    "C": "ROOM",
    "D": "TIME",
    "E": "MOTIVE",
    "F": "ROOM",
    "G": "MOTIVE",
    "H": "SUSPECT",
}
GOLD = "\n".join(f"{letter}. {answer}" for letter, answer in SOLUTION.items())

# A second puzzle, with the questions in another order, and names with a French title.
_OTHER_WORLD = World(
    suspects=(
        "Monsieur Brunette",
        "Madame Rose",
        "Professor Plum",
        "Mrs. Peacock",
        "Mr. Gold",
        "Miss Peach",
    ),
    weapons=("Candlestick", "Horseshoe", "Lead Pipe", "Poison", "Wrench"),
    rooms=("Billiard Room", "Carriage House", "Cloak Room", "Conservatory", "Hall", "Study"),
    plan=((0, 1, 2), (3, 4, 5)),
    times=("11:00 PM", "11:30 PM", "12:00 AM", "12:30 AM"),
    motives=("Ambition", "Hatred", "Jealousy", "Revenge", "Pride"),
    motive_counts=(1, 2, 1, 1, 1),
)
_OTHER_QUESTIONS = {
    "A": Question("room"),
    "B": Question("murderer"),
    "C": Question("time"),
    "D": Question("weapon"),
    "E": Question("motive"),
    "F": Question("position", Ref("suspect", 2), 1),
    "G": Question("position", MURDER_WEAPON, 0),
}
_OTHER_SOLUTION = {
    "A": "Conservatory",
    "B": "Monsieur Brunette",
    "C": "12:00 AM",
    "D": "Horseshoe",
    "E": "Jealousy",
    "F": "Cloak Room",
    "G": "Carriage House",
}
_OTHER_PROMPT = prompt.write(_OTHER_WORLD, (At(MURDERER, 0, 0),), _OTHER_QUESTIONS)
# The puzzles of the labelled texts in tests/data/grading.
PUZZLES = {"one": PUZZLE, "two": Puzzle(_OTHER_PROMPT, _OTHER_SOLUTION)}
