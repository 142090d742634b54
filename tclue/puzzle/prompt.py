"""Prompts: this module writes and reads the house edition, and reads the published edition.

A house prompt is free text, then sections under fixed labels, each on a line of its own and in this
order: `Suspects:`, `Weapons:`, `Rooms:`, `Plan:`, `Times:` and `Motives:` (left out if there is
only one), `Rules:`, `Clues:`, `Questions:`, `Answer format:`. An error in a prompt is reported with
the number of the line and what was expected there.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from tclue.puzzle.statements import Statement
from tclue.puzzle.wording import ANSWER_KINDS, Edition, Question, Wording, wording
from tclue.puzzle.world import PuzzleError, World
from tclue.text import counted

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

NARRATIVE = (
    "A storm had closed the coast road, and nobody who dined with Mr. Boddy that evening could "
    "leave his house. Before dawn he was found dead: one of his guests had killed him. All that "
    "was seen and heard is set down below, and all of it is true. Work out the answers to the "
    "questions, and end your reply with one line for each of them, in the answer format shown last."
)

# section key: (ending of its label in the published edition, label in the house edition)
_LABELS = {
    "suspects": ("identified as suspects:", "Suspects:"),
    "weapons": ("found on the premises:", "Weapons:"),
    "rooms": ("in one of the following rooms:", "Rooms:"),
    "plan": ("rooms are laid out as follows:", "Plan:"),
    "times": ("one of the following times:", "Times:"),
    "motives": ("possible motives for killing Mr. Boddy:", "Motives:"),
    "rules": (None, "Rules:"),
    "clues": ("available clues are as follows:", "Clues:"),
    "questions": ("answer the following question(s):", "Questions:"),
    "bonus": ("the following bonus question(s):", None),
    "format": ("answers in the following format:", "Answer format:"),
}
_OPTIONAL = {"times", "motives", "bonus"}

# The beginnings of the sentences below the lists of the published edition.
_PROSE = ("At every time ", "For the murder to occur, ")

_BULLET = re.compile(r"(?:•|-) (?P<item>.+)")
_NUMBERED = re.compile(r"(?P<mark>\d+)\. (?P<item>.+)")
_LETTERED = re.compile(r"(?P<mark>[A-Z])\. (?P<item>.+)")
_PLAN_ROW = re.compile(r"W (?P<cells>[\d\-| ]+) E")
_CELL = re.compile(r"-|\d{1,4}")
_COUNTED = re.compile(r"(?P<name>.+) \((?P<count>\d{1,4}) suspects?\)")

Line = tuple[int, str]  # (number from 1, text)
T = TypeVar("T")


@dataclass(frozen=True)
class Parsed:
    """The content of a prompt: its edition, world, clues, and questions by letter."""

    edition: Edition
    world: World
    clues: tuple[Statement, ...]
    questions: dict[str, Question]


def rules(world: World) -> list[str]:
    """The rules in the house edition's words, one per line.

    No rule uses a bare "or" or the word "alone", because both have two meanings.
    """
    lines = [
        "On the plan, north is up and east is right; a dash is no room.",
        'The room "just north of" somebody is the next one up from theirs; so for the other sides.',
    ]
    if world.times:
        lines += [
            "At each listed time every suspect, every weapon and Mr. Boddy was in exactly one "
            "room.",
            "From one time to the next, each suspect and Mr. Boddy moved by at most one room, "
            "never diagonally.",
            "A weapon changed rooms only when some suspect made the same move at the same time.",
        ]
    else:
        lines += [
            "Only one moment matters; every suspect, every weapon and Mr. Boddy was in exactly "
            "one room then.",
        ]
    lines += [
        "One suspect is the murderer, and one weapon is the murder weapon.",
        "At the time of the murder the murderer, Mr. Boddy and the murder weapon were in the same "
        "room, and no other suspect was in it; other weapons may have been.",
    ]
    if world.times:
        lines += [
            "From then on Mr. Boddy stayed in that room; clues about him hold dead and alive.",
            '"The murderer" and "the murder weapon" mean that person and that weapon at any time, '
            "before the murder too.",
            '"X moved from P to Q at T" means that X was in P at the time listed just before T, '
            "and in Q at T.",
            '"X moved Y from P to Q at T" means that X and Y both did so.',
            '"X and Y were in P together at least once" means that at some listed time, and '
            "perhaps at several, X and Y were both in P.",
        ]
    lines += ['"A if and only if B" means that if one of A and B is true, so is the other.']
    if world.motives:
        holders = "one suspect" if world.unique_motives else "as many suspects as its line says"
        lines += [f"Each suspect had exactly one motive, and each motive was had by {holders}."]
    return lines


def write(world: World, clues: tuple[Statement, ...], questions: dict[str, Question]) -> str:
    """The house prompt of a puzzle, without white space at its end."""
    words = wording(world, "house")
    width = len(str(len(world.rooms)))

    def number(room: int | None) -> str:
        return "-" if room is None else f"{room + 1:0{width}d}"

    def border(letter: str) -> str:
        return f"  {' '.join([letter * width] * len(world.plan[0]))}"

    motives = world.motives
    if not world.unique_motives:
        pairs = zip(motives, world.motive_counts, strict=True)
        motives = tuple(f"{name} ({counted(count, 'suspect')})" for name, count in pairs)
    rows = [f"W {'|'.join(map(number, row))} E" for row in world.plan]
    sections: list[tuple[str, list[str]]] = [
        ("Suspects:", [f"- {name}" for name in world.suspects]),
        ("Weapons:", [f"- {name}" for name in world.weapons]),
        ("Rooms:", [f"{number(room)}. {name}" for room, name in enumerate(world.rooms)]),
        ("Plan:", [border("N"), *rows, border("S")]),
        ("Times:", [f"- {time}" for time in world.times]),
        ("Motives:", [f"- {motive}" for motive in motives]),
        ("Rules:", rules(world)),
        ("Clues:", [f"- {words.sentence(clue)}" for clue in clues]),
        ("Questions:", [f"{k}. {words.question(q)}" for k, q in questions.items()]),
        ("Answer format:", [f"{k}. {ANSWER_KINDS[q.topic]}" for k, q in questions.items()]),
    ]
    blocks = ["\n".join([label, *lines]) for label, lines in sections if lines]
    return "\n\n".join([NARRATIVE, *blocks])


def read(text: str) -> Parsed:
    """Read a prompt of either edition.

    Raises PuzzleError, which names the line and what was expected there.
    """
    lines = [(i, line.rstrip()) for i, line in enumerate(text.split("\n"), 1)]
    edition: Edition
    if any(line == "Suspects:" for _, line in lines):
        edition = "house"
    elif any(line.endswith("identified as suspects:") for _, line in lines):
        edition = "published"
    else:
        raise PuzzleError(
            'no suspects: expected a line "Suspects:" (house edition) or one ending in '
            '"identified as suspects:" (published edition)'
        )
    if edition == "published":
        lines = [line for line in lines if not line[1].startswith(_PROSE)]
    parts = _sections(lines, edition)
    world = _world(parts)
    words = wording(world, edition)
    clues = _read_each(_items(parts["clues"], _BULLET, "- CLUE"), words.read)
    return Parsed(edition, world, tuple(clues), _questions(parts, words))


def _read_each(items: list[tuple[Line, str]], reader: Callable[[str], T]) -> list[T]:
    """Read each item; an error begins with the number of its line."""
    values: list[T] = []
    for (number, _), item in items:
        try:
            values.append(reader(item))
        except PuzzleError as error:
            raise PuzzleError(f"line {number}: {error}") from None
    return values


def _sections(lines: list[Line], edition: Edition) -> dict[str, list[Line]]:
    """The lines below each label. A section that the prompt leaves out has no key."""
    sections: dict[str, list[Line]] = {}  # each with the line of its label first
    house = edition == "house"
    labels = {key: label for key, pair in _LABELS.items() if (label := pair[house])}
    keys = list(labels)
    section: list[Line] = []
    for number, line in lines:
        for key, label in labels.items():
            if line == label if house else line.endswith(label):
                if not sections.keys() <= set(keys[: keys.index(key)]):
                    raise PuzzleError(
                        f'line {number}: "{label}" is repeated or out of order: expected the '
                        f"sections {', '.join(keys)}, each once"
                    )
                section = sections[key] = []
        if line:
            section.append((number, line))
        elif len(section) > 1 and section is sections.get("format"):
            section = []  # This section ends with its paragraph. What follows is not part of it.
    for key, label in labels.items():
        if key not in sections and key not in _OPTIONAL:
            description = "a line" if house else "a line ending in"
            raise PuzzleError(f'no {key}: expected {description} "{label}"')
    for key, ((number, label), *below) in sections.items():
        if not below and key not in _OPTIONAL:
            raise PuzzleError(f'line {number}: "{label}": expected at least one line below it')
    # A label with nothing below it is a section that is left out: some published prompts have the
    # label of the bonus questions and none of them.
    return {key: section[1:] for key, section in sections.items() if len(section) > 1}


def _items(lines: list[Line], pattern: re.Pattern[str], expected: str) -> list[tuple[Line, str]]:
    """The items of a section, each with its line; every line of the section must be an item."""
    items: list[tuple[Line, str]] = []
    for line in lines:
        where = f'line {line[0]}: "{line[1]}"'
        match = pattern.fullmatch(line[1])
        if not match:
            raise PuzzleError(f'{where}: expected "{expected}"')
        if "mark" in match.groupdict():
            marks = LETTERS if pattern is _LETTERED else [str(i + 1) for i in range(len(lines))]
            if len(items) == len(marks):
                raise PuzzleError(f"{where}: expected no more than {len(marks)} of them")
            if match["mark"].lstrip("0") != marks[len(items)]:
                raise PuzzleError(f'{where}: expected it to begin with "{marks[len(items)]}."')
        items.append((line, match["item"]))
    return items


def _distinct(items: list[tuple[Line, str]]) -> tuple[str, ...]:
    """The names of a list, in which each name may stand only once."""
    names: list[str] = []
    for (number, text), name in items:
        if name in names:
            raise PuzzleError(f'line {number}: "{text}": expected a name that is not listed above')
        names.append(name)
    return tuple(names)


def _world(parts: dict[str, list[Line]]) -> World:
    def listed(key: str) -> list[tuple[Line, str]]:
        pattern, expected = (_NUMBERED, "1. NAME") if key == "rooms" else (_BULLET, "- NAME")
        return _items(parts.get(key, []), pattern, expected)

    motives: list[tuple[Line, str]] = []
    counts: list[int] = []
    for line, name in listed("motives"):
        match = _COUNTED.fullmatch(name)
        motives.append((line, match["name"] if match else name))
        counts.append(int(match["count"]) if match else 1)
    suspects, rooms = _distinct(listed("suspects")), _distinct(listed("rooms"))
    if motives and sum(counts) != len(suspects):
        raise PuzzleError(
            f"line {motives[0][0][0]}: the motives add up to {sum(counts)} suspects: "
            f"expected {len(suspects)}"
        )
    return World(
        suspects=suspects,
        weapons=_distinct(listed("weapons")),
        rooms=rooms,
        plan=_plan(parts["plan"], len(rooms)),
        times=_distinct(listed("times")),
        motives=_distinct(motives),
        motive_counts=tuple(counts),
    )


def _plan(lines: list[Line], rooms: int) -> tuple[tuple[int | None, ...], ...]:
    rows: list[tuple[int | None, ...]] = []
    missing = set(range(rooms))
    for number, line in lines:
        text = line.strip()
        if set(text) <= {"N", " "} or set(text) <= {"S", " "}:
            continue
        where = f'line {number}: "{text}"'
        match = _PLAN_ROW.fullmatch(text)
        if not match:
            raise PuzzleError(f'{where}: expected a row of the plan such as "W 1|2 E"')
        cells = [cell.strip() for cell in match["cells"].split("|")]
        if rows and len(cells) != len(rows[0]):
            raise PuzzleError(f"{where}: expected {len(rows[0])} cells, as in the first row")
        if not all(_CELL.fullmatch(cell) for cell in cells):
            raise PuzzleError(f'{where}: expected room numbers or "-"')
        row = tuple(None if cell == "-" else int(cell) - 1 for cell in cells)
        for room in row:
            if room is None:
                continue
            if room not in missing:
                raise PuzzleError(f"{where}: expected each room from 1 to {rooms} only once")
            missing.remove(room)
        rows.append(row)
    if missing:
        raise PuzzleError(
            f"line {lines[-1][0]}: the plan ends without room {min(missing) + 1}: expected each "
            f"room from 1 to {rooms}"
        )
    return tuple(rows)


def _questions(parts: dict[str, list[Line]], words: Wording) -> dict[str, Question]:
    lines = parts["questions"] + parts.get("bonus", [])
    asked = _read_each(_items(lines, _LETTERED, "A. QUESTION"), words.read_question)
    questions = dict(zip(LETTERS, asked, strict=False))
    kinds = _items(parts["format"], _LETTERED, "A. KIND")
    expected = [ANSWER_KINDS[question.topic] for question in questions.values()]
    if [kind for _, kind in kinds] != expected:
        raise PuzzleError(
            f"line {kinds[0][0][0]}: the answer format does not fit the questions: "
            f"expected {', '.join(expected)}, one per line"
        )
    return questions
