"""Which lines of a text are its final answers.

Decided here:
- An answer line begins with a letter of the puzzle and a sign (`A. X`, `A) X`, `| A | X |`,
  `"A": "X"`); what follows the letter is read by `answer_words`. A line may go on with the next
  letter, or with one again (`A. X, B. Y`). Below a letter that stands alone, or beside its question
  only, the next lines are its answer, and so is a later one that says so ("Answer: X").
- Answer lines make up one block while their letters go up, whatever stands between them. A letter
  that comes again, or too late, begins a new block if words stand before it, on lines of their own
  or on its own ("Correction: A. X"); a heading such as "Final answer" always begins one. "Or",
  "Option 2" and the like set no blocks apart.
- Within a block, a letter with two different answers has none.
- The last block counts, and no other. Only where one was full (it had every letter, or stood under
  a final heading) does a later one that is not correct it, letter by letter, and not replace it.

So every letter has at most one answer, the last that the text gives: a text that lists several
answers or several blocks scores no more than one that gives the last of them alone.
"""

from __future__ import annotations

import re

from tclue.puzzle.grading.answer_text import plain_lines, tokens
from tclue.puzzle.grading.answer_words import AnswerReader, Commit, Reading, answer_reader
from tclue.puzzle.puzzle import Puzzle
from tclue.puzzle.wording import wording

# What may stand before the first letter of a line.
_LEAD = re.compile(
    r"[^\w(\[<~✗✘❌❎⛔🚫]*(?:\d{1,3} ?[.):|](?!\d) ?)?[^\w(\[<~✗✘❌❎⛔🚫]*"
    r"(?:(?:the|my|our|final|correct|complete|full|answers?|solution|conclusion|verdict|murder|"
    r"mystery|are|is|so|therefore|thus|hence|for|to|question|letter|bonus|part|q|wait|actually|"
    r"correction)\b[ :,#.-]{0,3}){0,8}"
)
_TURN = re.compile(r"\b(?:correction|wait|actually|final|so|therefore|thus|hence)\b")
_LABEL = re.compile(r"\banswer\b")
# A letter with its sign: "a.", "(a)", "a:", "a |", "a ->", "a (".
_MARKER = re.compile(r"[(\[<]?([a-z])'?(?: ?[.):\]|=>(\[&-]+ ?|$)")
# The same within a line, where less may be meant by it.
_NEXT_MARKER = re.compile(r"(?<![\w'.])[(\[]?([a-z])'?(?:(?: ?[.):\]|=]+| -+>?)(?= |$)|:)")

_HEADING_CHARS = 60
_WORD = re.compile(r"[^\W_]")
_ANSWER_WORDS = {"answer", "answers", "solution", "solutions", "verdict", "conclusion"}
_FINAL_WORDS = {"final", "corrected", "revised", "updated"}
# A line that begins so offers another block beside the one before it: it does not set them apart.
_OFFERS = re.compile(
    r"\W*(?:(?:an|the|a|and)\b )?"
    r"(?:or|also|alternatively|alternatives?|alternate|otherwise|another|maybe|perhaps|possibly|"
    r"possible|possibility|option|scenario|case|second|backup|fallback|else|failing|if not)\b"
)


class _Blocks:
    """The answers read so far: the blocks that are closed, as one, and the block being read."""

    def __init__(self, num_letters: int) -> None:
        self._num_letters = num_letters
        self._closed: dict[str, set[str | None]] = {}
        self._closed_is_full = False
        self._open: dict[str, set[str | None]] = {}
        self._open_is_final = False
        # What stood since the last answer: words, a final heading.
        self._saw_words = False
        self._saw_heading = False

    def add(self, letter: str, option: str | None) -> None:
        """An answer line: a letter and its option, or None where it names no single one."""
        late = any(other >= letter for other in self._open)
        if self._saw_heading or (self._saw_words and late):
            self._close()
            self._open_is_final = self._saw_heading
        self._saw_words = self._saw_heading = False
        self._open.setdefault(letter, set()).add(option)

    def add_lead(self, lead: str) -> None:
        """What stands on an answer line before its letter."""
        self._saw_words |= bool(_TURN.search(lead))

    def add_words(self, line: str) -> None:
        """A line that is no answer."""
        if _is_final_heading(line):
            self._saw_heading = True
        elif not _OFFERS.match(line) and _WORD.search(line):
            self._saw_words = True

    def answers(self) -> dict[str, str | None]:
        """letter -> its one option; a letter that has none, or several, is None or missing."""
        self._close()
        return {
            letter: next(iter(options)) if len(options) == 1 else None
            for letter, options in self._closed.items()
        }

    def _close(self) -> None:
        full = self._open_is_final or len(self._open) == self._num_letters
        if self._closed_is_full and not full:
            self._closed = self._closed | self._open
        elif self._open:
            self._closed, self._closed_is_full = self._open, full
        self._open, self._open_is_final = {}, False


def final_answers(puzzle: Puzzle, text: str) -> dict[str, str | None]:
    """letter -> the option that a text finally commits to, or None."""
    words = wording(puzzle.world, puzzle.edition)
    readers = {
        letter.lower(): answer_reader(
            question.topic, words.question(question), puzzle.options[letter]
        )
        for letter, question in puzzle.questions.items()
    }
    letters = "".join(readers)
    blocks = _Blocks(len(letters))
    letter = ""  # the letter that the next line may go on with
    alone = False  # whether that letter's own line held no answer
    section_letter = ""  # the letter that a section is about
    for line in filter(None, plain_lines(text)):
        if parts := _split_by_letter(line, letters):
            blocks.add_lead(line[: _lead_end(line)])
            for part_letter, answer_text in parts:
                reading = readers[part_letter].read(answer_text)
                _add_reading(blocks, part_letter, reading)
                letter = "" if reading == "prose" else part_letter
                alone = reading == "empty"
                section_letter = part_letter if alone else ""
            continue
        if section_letter and not letter and _LABEL.search(line[: _lead_end(line)]):
            reading = readers[section_letter].read(line[_lead_end(line) :])
            if isinstance(reading, Commit):
                blocks.add(section_letter, reading.option)
                continue
        reading = _read_below(readers[letter], line, alone) if letter else "prose"
        _add_reading(blocks, letter, reading)
        if reading == "prose":
            blocks.add_words(line)
            letter = letter if _OFFERS.match(line) else ""
    final_options = blocks.answers()
    return {letter: final_options.get(letter.lower()) for letter in puzzle.questions}


def _add_reading(blocks: _Blocks, letter: str, reading: Reading) -> None:
    if isinstance(reading, Commit):
        blocks.add(letter, reading.option)
    elif reading == "refused":
        blocks.add(letter, None)


def _is_final_heading(line: str) -> bool:
    if len(line) > _HEADING_CHARS or line.endswith("."):
        return False
    words = tokens(line)
    return (
        not _FINAL_WORDS.isdisjoint(words)
        and not _ANSWER_WORDS.isdisjoint(words)
        and "bonus" not in words
    )


def _read_below(reader: AnswerReader, line: str, alone: bool) -> Reading:
    """How to read a line that stands below a letter's own line.

    Below a letter that stood alone any answer counts; below one that has its answer, only what
    would be a second one and gives no reasons.
    """
    end = _lead_end(line)
    if _is_final_heading(line) or (end == len(line) and _TURN.search(line)):
        return "prose"
    reading = reader.read(line[end:])
    if isinstance(reading, Commit):
        return reading if alone or reading.bare else "prose"
    if reading == "empty":
        return "empty" if alone else "prose"
    return "refused" if reader.offers(line) else "prose"


def _lead_end(line: str) -> int:
    lead = _LEAD.match(line)
    return lead.end() if lead else 0


def _split_by_letter(line: str, letters: str) -> list[tuple[str, str]]:
    """The letters that a line answers, each with the text that follows it; [] for other lines."""
    marker = _MARKER.match(line, _lead_end(line))
    if not marker or marker[1] not in letters:
        return []
    parts: list[tuple[str, str]] = []
    letter, start = marker[1], marker.end()
    for following in _NEXT_MARKER.finditer(line, start):
        if following[1] in letters[: letters.index(letter) + 2]:
            parts.append((letter, line[start : following.start()]))
            letter, start = following[1], following.end()
    parts.append((letter, line[start:]))
    return [(letter, text.rstrip(" ,;/|&").removesuffix(" and")) for letter, text in parts]
