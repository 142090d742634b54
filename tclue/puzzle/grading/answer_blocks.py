"""Which lines of a text are its final answers.

These are the rules:
- An answer line begins with a letter of the puzzle and a sign (`A. X`, `A) X`, `| A | X |`,
  `"A": "X"`). `answer_words` reads what follows the letter. The same line may then give the next
  letter, or an earlier one again (`A. X, B. Y`). If a line has only the letter, or the letter and
  its question, the next lines are its answer, and so is a later line such as "Answer: X".
- Answer lines belong to one block as long as their letters ascend, even with other lines between
  them. A letter that is repeated or out of order begins a new block if there are words before it,
  on other lines or on its own line ("Correction: A. X"). A heading such as "Final answer" always
  begins a new block. Words that offer a choice, such as "Or" and "Option 2", do not.
- A letter with two different answers in a block has no answer there.
- Only the last block counts. One exception: a block is full if it has every letter or stands under
  a final heading, and a later block that is not full corrects single letters of it instead of
  replacing all of it.

So every letter has at most one answer, the last one of the text. A text that lists several answers
or several blocks never scores more than a text that gives only the last of them.
"""

import re
from dataclasses import dataclass

from tclue.puzzle.grading.answer_text import plain_lines, tokens
from tclue.puzzle.grading.answer_words import AnswerReader, Commit, Reading, answer_reader
from tclue.puzzle.puzzle import Puzzle
from tclue.puzzle.wording import wording

# The words and signs that may stand before the first letter of a line.
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
# The same within a line, where fewer forms are allowed, because most of them occur in prose too.
_NEXT_MARKER = re.compile(r"(?<![\w'.])[(\[]?([a-z])'?(?:(?: ?[.):\]|=]+| -+>?)(?= |$)|:)")

_HEADING_CHARS = 60
_WORD = re.compile(r"[^\W_]")
_ANSWER_WORDS = {"answer", "answers", "solution", "solutions", "verdict", "conclusion"}
_FINAL_WORDS = {"final", "corrected", "revised", "updated"}
# A line that begins like this offers an alternative. What follows it does not begin a new block.
_OFFERS = re.compile(
    r"\W*(?:(?:an|the|a|and)\b )?"
    r"(?:or|also|alternatively|alternatives?|alternate|otherwise|another|maybe|perhaps|possibly|"
    r"possible|possibility|option|scenario|case|second|backup|fallback|else|failing|if not)\b"
)


@dataclass(frozen=True)
class Decision:
    """Why a text has this answer to a letter, or none."""

    # the answer, or None
    option: str | None
    # number, from 1, of the text's line that decided; None if none did
    line: int | None
    # that line as the grader read it, plain and in lower case; "" if none decided
    words: str
    # words that can follow "A: Miss Scarlet, " or "A: no answer, "
    reason: str


class _Blocks:
    """The answers so far: the result of all earlier blocks, and the block that is being read."""

    def __init__(self, num_letters: int) -> None:
        self._num_letters = num_letters
        self._closed: dict[str, set[str | None]] = {}
        self._closed_is_full = False
        self._open: dict[str, set[str | None]] = {}
        self._open_is_final = False
        # whether there were words, or a final heading, since the last answer
        self._saw_words = False
        self._saw_heading = False

    def add(self, letter: str, option: str | None) -> None:
        """Add an answer line: a letter and its option, or None if it does not name exactly one."""
        late = any(other >= letter for other in self._open)
        if self._saw_heading or (self._saw_words and late):
            self._close()
            self._open_is_final = self._saw_heading
        self._saw_words = self._saw_heading = False
        self._open.setdefault(letter, set()).add(option)

    def add_lead(self, lead: str) -> None:
        """Add the part of an answer line before its letter."""
        self._saw_words |= bool(_TURN.search(lead))

    def add_words(self, line: str) -> None:
        """Add a line that is not an answer."""
        if _is_final_heading(line):
            self._saw_heading = True
        elif not _OFFERS.match(line) and _WORD.search(line):
            self._saw_words = True

    def answers(self) -> dict[str, str | None]:
        """letter -> its only option; a letter with none or several options is None or missing."""
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
    """letter -> the final answer of a text, one of the question's options, or None."""
    words = wording(puzzle.world, puzzle.edition)
    readers = {
        letter.lower(): answer_reader(
            question.topic, words.question(question), puzzle.options[letter]
        )
        for letter, question in puzzle.questions.items()
    }
    letters = "".join(readers)
    blocks = _Blocks(len(letters))
    letter = ""  # the letter that the next line may belong to
    alone = False  # whether the line of that letter had no answer
    section_letter = ""  # the letter at the head of the current section
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


def decisions(puzzle: Puzzle, text: str) -> dict[str, Decision]:
    """letter -> why it has its answer, or none."""
    lines = list(enumerate(text.split("\n"), 1))
    found = {}
    for letter, option in final_answers(puzzle, text).items():
        fits = [i for i, line in lines if final_answers(puzzle, line)[letter] == option]
        if option is None or not fits:
            found[letter] = Decision(option, None, "", "no line answers it")
            continue
        words = " ".join(plain_lines(lines[fits[-1] - 1][1]))
        found[letter] = Decision(option, fits[-1], words, f"line {fits[-1]} names it")
    return found


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
    """How to read a line below the line of a letter.

    If that line had no answer (`alone`), any answer counts. If it had one, only a second answer
    without reasons counts, or a line that offers another one.
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
    """The letters that a line answers, each with the text after it; [] for other lines."""
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
