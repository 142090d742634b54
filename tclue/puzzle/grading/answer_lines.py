"""Which letters a line answers, and with which words.

- A letter with a sign begins an answer: `A. X`, `(A) X`, `A -> X`, `A is X`. Before it there may be
  signs, a number, and words such as "Question", "The answer to", "Correction:" or "or"; `Lead` says
  what they mean. The same line may go on with the next letter, or with an earlier one again.
- Without a sign (`A X`), after other words (`Svar A: X`), and at the end of a line (`X (A)`), a
  letter counts only if the words are an answer and nothing else.
- In a table, the letter and the answer are in the columns whose heads say so, or else side by side;
  below a row of letters, the cells of the next row are their answers.
- Lettered lines that list all options of a kind in their order are a list of options.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tclue.puzzle.grading.answer_text import Line, plain_text, tokens
from tclue.puzzle.grading.answer_words import AnswerReader, Commit
from tclue.puzzle.grading.vocabulary import NO_LABELS
from tclue.puzzle.puzzle import Puzzle

# Before a letter: words that begin a new block, words that offer another answer, and others.
_TURN_WORDS = (
    "wait|actually|correction|corrected|edit|edited|update|updated|revised|revision|final|so|"
    "therefore|thus|hence|ps|p\\.s\\.?|postscript|addendum|erratum|amendment|instead|sorry|oops|hmm|"
    "(?:on )?second thoughts?|on reflection|rather|scratch that|i mean|make that|"
    "corrección|korrektur|correzione|correção|correctif|исправление"
)
_OFFER_WORDS = (
    "or|also|alternatively|alternatives?|alternate|otherwise|another|maybe|perhaps|possibly|"
    "possible|possibility|option|equally|valid|else|backup|fallback|runner-up|"
    "second (?:possibility|option|choice|answer)"
)
_OTHER_WORDS = (
    "the|my|our|correct|complete|full|answers?|solution|conclusion|verdict|murder|mystery|are|is|be|"
    "it|should|would|for|to|in|of|as|an|and|but|no|here|now|i|get|thought|change|changed|question|"
    "questions|letter|item|bonus|part|key|q|ans|result|output|response|assistant|regarding|that|"
    "concerning|about|tl;dr|summary|die|auf|la|el|le|à|antwort|antworten|respuestas?|réponses?|"
    "risposta|resposta|antwoord|ответ|odpowiedź|frage|pregunta|domanda|pergunta|вопрос|"
    "a(?= (?:la|second|further|possible|different)\\b)"
)
_NOT_LEAD = r"[^\w(\[<~≁✗✘❌❎⛔🚫]*"
_LEAD = re.compile(
    rf"{_NOT_LEAD}(?:\[x\] ?)?(?:\d{{1,3}} ?[.):|](?!\d) ?)?{_NOT_LEAD}"
    rf"(?:[(\[]? ?(?:(?:{_TURN_WORDS}|{_OFFER_WORDS}|{_OTHER_WORDS})\b|q\.?(?=[a-z]\b)|a(?=[a-z]:))"
    r"(?! ?[.)\]] )[ :,#.*-]{0,3}){0,10}"
)
_TURN = re.compile(rf"\b(?:{_TURN_WORDS})\b")
_OFFER = re.compile(rf"\b(?:{_OFFER_WORDS})\b")

_IS = (
    r"(?:is|es|è|é|lautet|ist|est|(?:should|must|would|will|has to) be(?: answered with)?)\b"
    r"(?! not\b)"
)
# A letter with its sign: "a.", "(a)", "a:", "a |", "a ->", "a (", "a is".
_MARKER = re.compile(
    r"[(\[<]?([a-z])'?(?: ?[.):\]|=>(\[&,/;~]+ ?(?!\w{1,3}\))| ?-+>? ?(?!\w{1,3}[:.)])|$"
    rf"| {_IS})"
)
# The same within a line, where fewer forms are allowed, because most of them occur in prose too.
_NEXT_MARKER = re.compile(
    r"(?<![\w'.])[(\[]?([a-z])'?(?:(?: ?[.):\]|=]+| -+>?)(?= |$)|:)"
    r"|(?<= )([a-z])[-=](?=\w\w)|(?<=;)([a-z])="
    rf"|(?:answer (?:to|for)|question) ([a-z])(?: {_IS}|[,:])"
    rf"|(?<=[;,.] )([a-z]) {_IS}|\band ([b-z]) {_IS}"
    r"|\b(?:for|to) ([b-z]),? (?:i get |it is )?(?=(?:the )?[\w\"'])"
)
_BARE_MARKER = re.compile(r"[(\[]?([a-z])(?:, ?| )(?=\w)")  # "a miss scarlet"
_NEXT_BARE_MARKER = re.compile(
    rf"{_NEXT_MARKER.pattern}|(?: [|;-]|[;,]|\b(?:for|to)|\)) \(?([b-z]) (?=\w)"
)
# The question itself before its letter: '"Who did it?" (A): X'.
_QUESTION_MARKER = re.compile(r"[^?|]{3,120}\?['\" ]*(?:[=:-]+>? ?)?[(\[]?([a-z])[)\].:]+[ :.-]*")
_LABELLED_MARKER = re.compile(
    r"\W*((?:[^\W\d_]+[:,]? ){1,2}|(?:[^\W\d_]+ ){2,6}[^\W\d_]+: )([a-z]) ?(?:[.):]+|->|=) "
)
_ANYWHERE = re.compile(
    rf"\banswer (?:to|for) (?:question )?([a-z]) {_IS}|\bfor question ([a-z]), |"
    r"^[\w' ]{2,30} [(\[]([a-z])[)\]] ?[=:.-]+ "
)
_LAST_MARKER = re.compile(r" [(\[]([a-z])[)\]](?:[.;,]+ |\W*$)")
_END_OF_PART = re.compile(r" ?[|;,-] |,(?=\w)|\. (?:the answer|(?:as )?for) |\) \(")
# What may stand before the next letter of a line.
_JOINT_WORDS = re.compile(
    r"(?:(?: ?[.,;/|&-] ?| )(?:the|and|answer|question|to|for|bonus|final|regarding|as)\b){0,6}"
    r"[ ,;/|&-]*$"
)
_JOINT_CHARS = 60
_INITIAL_CHARS = 40  # what is read to tell an initial from a letter

WORD = re.compile(r"[^\W_]")
# Heads of the columns of a table.
_ANSWER_HEADS = {"answer", "answers", "final", "final answer", "solution", "choice", "conclusion",
    "result"}  # fmt: skip
_LETTER_HEADS = {"letter", "question", "q", "#", "id", "key", "no", "part"}
_OFFERING = {"alternative", "alternatives", "second", "other", "candidate", "possible", "backup"}
_EXCLUDING = {"eliminated", "rejected", "excluded", "ruled", "discarded"}
_LIST_ITEM = re.compile(r"[^\w(]*\(?([a-z]) ?[.):] ?(.+?)[.,;]?")
_ALPHABET = "abcdefghijklmnopqrstuvwxyz"

Readers = Mapping[str, AnswerReader]


@dataclass(frozen=True)
class Lead:
    """The words and signs before the first letter of a line, or before its other words."""

    end: int
    # whether they begin a new block of answers, and whether they offer another answer
    turns: bool
    offers: bool


def lead_of(line: str) -> Lead:
    """The lead of a plain line."""
    found = _LEAD.match(line)
    text = found[0] if found else ""
    return Lead(len(text), bool(_TURN.search(text)), bool(_OFFER.search(text)))


class Markers:
    """Finds the letters that lines answer, for the questions of one puzzle."""

    def __init__(self, readers: Readers) -> None:
        self._readers = readers
        self._letters = "".join(readers)

    def parts(self, line: str, end: int) -> list[tuple[str, str]]:
        """The letters that a line answers, each with the text after it; [] for other lines.

        `end` is where the line's lead ends.
        """
        marker, following = _MARKER.match(line, end), _NEXT_MARKER
        if not marker or marker[1] not in self._letters or marker[0].endswith((",", ", ")):
            if last := self._behind(line):
                return last
            if not (marker := self._weak(line, end)):
                return []
            following = _NEXT_BARE_MARKER if marker.re is _BARE_MARKER else _NEXT_MARKER
        parts: list[tuple[str, str]] = []
        letter, start = marker[marker.lastindex or 1], marker.end()
        opened, counted = 0, start  # brackets of this letter's text, up to an index
        for found in following.finditer(line, start):
            next_letter, at = next(filter(None, found.groups())), found.start()
            opened += line.count("(", counted, at) - line.count(")", counted, at)
            counted = at
            # "(see B. above)" begins no answer
            if opened <= 0 and self._begins(next_letter, letter, line, start, at):
                is_named = found[0].endswith((" is", " be")) or found[0].startswith("for ")
                is_listed = line[max(start, at - 2) : at].rstrip().endswith((",", ";"))
                is_named |= is_listed and next_letter > letter
                if is_named or self._is_near(letter, next_letter):
                    parts.append((letter, line[start:at]))
                    letter, start = next_letter, found.end()
                    opened, counted = 0, start
        parts = [(each, _without_joint(text)) for each, text in parts]
        return [*parts, (letter, line[start:])]

    def _is_near(self, letter: str, next_letter: str) -> bool:
        """Whether a letter may follow another one on a line."""
        return next_letter in self._letters[: self._letters.index(letter) + 2]

    def _begins(self, next_letter: str, letter: str, line: str, start: int, at: int) -> bool:
        """Whether a letter at an index begins an answer, after the text of another from `start`."""
        if next_letter not in self._letters:
            return False
        # An initial, as in "B. C. Mustard", does not.
        is_later = WORD.search(line, start, at)
        return bool(is_later) or not self._answers(letter, line[at : at + _INITIAL_CHARS])

    def _answers(self, letter: str, text: str) -> bool:
        return isinstance(self._readers[letter].read(text), Commit)

    def _behind(self, line: str) -> list[tuple[str, str]]:
        """The letters of a line that stand behind their answers: "X (A). Y (B).", each with it."""
        parts, start = [], 0
        for marker in _LAST_MARKER.finditer(line):
            words = line[start : marker.start()]
            start = marker.end()
            if marker[1] not in self._letters or not self._answers(marker[1], words):
                return []
            parts.append((marker[1], words))
        return parts if start == len(line) else []

    def _weak(self, line: str, end: int) -> re.Match[str] | None:
        """A marker that counts only before an answer of which nothing else is said."""
        marker = _BARE_MARKER.match(line, end) or _ANYWHERE.search(line)
        marker = marker or _QUESTION_MARKER.match(line)
        if not marker and (marker := _LABELLED_MARKER.match(line)):
            said = {*tokens(marker[1])}
            asks = any(reader.asks(said) for reader in self._readers.values())
            if asks or not said.isdisjoint(NO_LABELS):
                return None
        if not marker or (letter := marker[marker.lastindex or 1]) not in self._letters:
            return None
        part = _END_OF_PART.split(line[marker.end() :], maxsplit=1)[0]
        reading = self._readers[letter].read(part)
        return marker if isinstance(reading, Commit) and reading.bare else None


def _without_joint(text: str) -> str:
    """The text of one letter without the words that lead to the next letter."""
    tail = _JOINT_WORDS.search(text[-_JOINT_CHARS:])
    return text[: len(text) - len(tail[0])] if tail else text


class Table:
    """Finds the answers in the rows of tables."""

    def __init__(self, readers: Readers) -> None:
        self._readers, self._letters = readers, {*readers}
        self._header: list[str] = []  # the letters whose answers are in the next row
        # the columns of letters and of answers, and the number of columns
        self._columns: tuple[int, int, int] | None = None

    def answers(self, line: str) -> list[tuple[str, str]] | None:
        """The letters that a row answers, each with its cell; None if it is no row of this kind."""
        if "|" not in line:
            self._header, self._columns = [], None
            return None
        cells = [c.strip(" .:()") for c in line.removeprefix("|").removesuffix("|").split("|")]
        letters = cells[cells[0] not in self._letters :]
        if len(letters) > 1 and len({*letters}) == len(letters) and {*letters} <= self._letters:
            self._header = cells
            return []
        if not WORD.search(line):
            return [] if self._header else None
        if self._header and len(cells) == len(self._header):
            pairs = [
                pair for pair in zip(self._header, cells, strict=True) if pair[0] in self._letters
            ]
            # A row that says what is asked has no answer.
            answers = any(self._readers[letter].read(cell) != "empty" for letter, cell in pairs)
            return pairs if answers else []
        self._read_heads(cells)
        if self._columns and len(cells) == self._columns[2]:
            at = 0 if cells[0] in self._letters else self._columns[0]
            letter, answer = cells[at], cells[self._columns[1]]
            return [(letter, answer)] if letter in self._letters else None
        return None

    def _read_heads(self, cells: list[str]) -> None:
        heads = _ANSWER_HEADS | ({"a"} if "q" in cells else set())
        answers = [at for at, cell in enumerate(cells) if cell in heads]
        letters = [at for at, cell in enumerate(cells) if cell in _LETTER_HEADS]
        offers = any(
            not _OFFERING.isdisjoint(words) and _EXCLUDING.isdisjoint(words)
            for words in map(str.split, cells)
        )
        if len(answers) == 1 and not offers and (answers[0] or letters):
            self._columns = (letters[0] if letters else 0, answers[0], len(cells))


def without_lists(lines: list[Line], puzzle: Puzzle) -> Iterator[Line]:
    """The lines, less those that list all options of a kind with the letters A, B, C, ...

    Two of them are a list only if the second is no answer to its letter.
    """
    world = puzzle.world
    kinds = (world.suspects, world.weapons, world.rooms, world.times, world.motives)
    lists = [
        [*zip(_ALPHABET, map(plain_text, kind), strict=False)]
        for kind in kinds
        if len(kind) > 2 or (len(kind) == 2 and kind[1] not in puzzle.options.get("B", ()))
    ]
    end = 0  # where the last list ends
    for at, line in enumerate(lines):
        first = _LIST_ITEM.fullmatch(line.text) if at >= end else None
        for listed in lists if first and first[1] == "a" else ():
            items = [_LIST_ITEM.fullmatch(each.text) for each in lines[at : at + len(listed)]]
            if listed == [item and item.groups() for item in items]:
                end = at + len(listed)
        if at >= end:
            yield line
