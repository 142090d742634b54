"""Which lines of a text are its final answers.

These are the rules:
- `answer_lines` says which letters a line answers, and `answer_words` reads what follows a letter.
  If a line has only the letter, or the letter and its question, the next lines are its answer, and
  so is a later line such as "Answer: X". A text without letters is read if it has one line with a
  right kind of answer for each question, in their order.
- Answer lines belong to one block as long as their letters ascend, even with other lines between
  them. A letter that is repeated or out of order begins a new block if there are words before it,
  on other lines or on its own line ("Correction: A. X"). A heading such as "Final answer" always
  begins a new block. Words that offer a choice, such as "Or" and "Option 2", do not: what follows
  them is a second answer beside the one that stands.
- A letter with two different answers in a block has no answer there.
- The last block that mentions a letter decides it: a later block corrects the letters that it
  mentions, and the others keep their answers. Only a draft ("First guess:") that was found to fail
  ("That contradicts clue 4."), or any block without all letters that was, leaves nothing.
- A sentence that takes back or doubts the answer to a letter ("I withdraw my answer to C", "D could
  also be the Rope") leaves that letter without an answer, until a later block gives one.

So every letter has at most one answer, the last one of the text. A text that lists several answers
or several blocks never scores more than a text that gives only the last of them.
"""

import re
from dataclasses import dataclass

from tclue.puzzle.grading.answer_doubts import doubted_letters
from tclue.puzzle.grading.answer_lines import WORD, Lead, Markers, Table, lead_of, without_lists
from tclue.puzzle.grading.answer_text import END_OF_ANSWER, Line, plain_lines, tokens
from tclue.puzzle.grading.answer_words import AnswerReader, Commit, Reading, answer_reader
from tclue.puzzle.puzzle import Puzzle
from tclue.puzzle.wording import wording

_LABEL = re.compile(
    r"\b(?:answer|conclusion|verdict|solution|so|therefore|thus|hence|respuesta|antwort|réponse|"
    r"risposta|resposta|ответ)\b"
)
_HEADING_CHARS = 60
_ANSWER_WORDS = {"answer", "answers", "solution", "solutions", "verdict", "conclusion"}
_FINAL_WORDS = {"final", "corrected", "revised", "updated"}
# A line that begins like this offers an alternative. What follows it does not begin a new block.
_OFFERS = re.compile(
    r"\W*(?:(?:an|the|a|and)\b )?"
    r"(?:or|also|alternativ\w*|alternate|otherwise|another|maybe|perhaps|possibly|possible|"
    r"possibility|option|scenario|case|second(?! thought| pass| attempt)|backup|fallback|else|"
    r"failing|if not|equally|just as (?:likely|valid|good)|plus|runners?-up|plan b|2nd|oder|ou|"
    r"oppure|sinon|sonst|altrimenti|или|либо|альтернатив\w*|(?:solution|answers?|(?:answer )?set|"
    r"variant|interpretation|reading|opción|möglichkeit|вариант) #?\d)\b|\W*(?:and|o|o bien)\W*$"
    r"|\W*(?:或|另一|方案|また|もしく|あるい|또는|혹은)|\W*if\b[^:]{1,80}:$"
    r"|(?!.*\b(?:correct|revis|chang|fix|thought|final|updat|mistake|instead|check|so\b|no\b|not\b))"
    r"[^:]{0,60}\b(?:also|alternative|another|other|second|two solutions|both|different|variant|"
    r"hedge|be safe|safety|bases|in case|likely|next best|depending)\b[^:]{0,60}:$"
)
# Words before a block that is no answer yet, and words after one that turned out to be none.
_DRAFT = re.compile(
    r"\b(?:(?:first|initial|early|wild) (?:guess|thought|attempt|idea|try)|guess:|drafts?|"
    r"tentative\w*|suppose|assume|hypothes[ie]s|working assumption|candidate|perhaps|maybe)\b"
)
_EXAMPLE = re.compile(r"\b(?:for example|example)\b.{0,60}:$")
_DENIED = re.compile(
    r"\b(?:contradict\w*|fails|failed|wrong|impossible|inconsistent|violat\w+)\b"
    r"|\b(?:not|n't|cannot) (?:be )?(?:right|work|possible|consistent|correct)\b|^\W*no\b"
)


@dataclass(frozen=True)
class Decision:
    """What a text answers to one letter, and why."""

    # the answer, or None
    option: str | None
    # the number, from 1, of the line of the text that decided; None if no line did
    line: int | None
    # that line as the grader read it, which is in lower case and without markup; "" if none did
    words: str
    # a clause that says why ("line 4 names it")
    reason: str


@dataclass(frozen=True)
class _Given:
    """An answer line: its option, or None if it does not name exactly one."""

    option: str | None
    line: Line
    doubted: bool = False


class _Blocks:
    """The answers so far: the result of all earlier blocks, and the block that is being read."""

    def __init__(self, num_letters: int) -> None:
        self._num_letters = num_letters
        self._closed: dict[str, list[_Given]] = {}
        self._open: dict[str, list[_Given]] = {}
        # whether there were words, a final heading or an offer since the last answer
        self._saw_words = self._saw_heading = self._saw_offer = False
        self._ended = False  # whether an <answer> was closed, and only answers came since
        # whether the words before the open block call it a draft, and those after it a failure
        self._draft_next = self._is_draft = self._is_denied = False

    def add(self, letter: str, given: _Given, *, offered: bool = False) -> None:
        """Add an answer; `offered` if it stands beside the one before instead of replacing it."""
        if offered or self._saw_offer:
            self._open.setdefault(letter, list(self._closed.get(letter, ())))
        elif self._saw_heading or (self._saw_words and any(k >= letter for k in self._open)):
            self._close()
        self._saw_words = self._saw_heading = False
        if not self._open:
            self._is_draft, self._is_denied = self._draft_next, False
        before = self._open.setdefault(letter, [])
        if given.option not in [each.option for each in before]:
            before.append(given)

    def decide(self, letter: str, given: _Given) -> None:
        """Add an answer that replaces what its section said before."""
        self._open[letter] = [given]
        self._saw_words = self._saw_heading = False

    def doubt(self, letter: str, line: Line) -> None:
        """Leave the answer to a letter without effect."""
        before = [each for each in self.given(letter) if not each.doubted]
        self._open[letter] = [*before, _Given(None, line, doubted=True)]

    def turn(self) -> None:
        """Note words that begin a new block."""
        self._saw_words, self._saw_offer, self._ended = True, False, False

    def add_words(self, line: str) -> None:
        """Add a line that is not an answer."""
        if line == END_OF_ANSWER:
            self._ended = True
        elif is_final_heading(line):
            # "<answer>A. X</answer><answer>A. Y</answer>" are two answers
            self._saw_heading, self._saw_offer = not self._ended, False
            self._draft_next = False
        elif _OFFERS.match(line):
            self._saw_offer = True
        elif WORD.search(line):
            self.turn()
            self._is_denied |= bool(_DENIED.search(line))
            self._draft_next = bool(_DRAFT.search(line))

    def given(self, letter: str) -> list[_Given]:
        """The answers to a letter that stand now."""
        return self._open.get(letter) or self._closed.get(letter, [])

    def _close(self) -> None:
        """Begin a new block, without a draft or a part that was found to fail."""
        is_part = len(self._open) < self._num_letters
        if not (self._is_denied and (self._is_draft or is_part)):
            self._closed |= self._open
        self._open = {}


def final_answers(puzzle: Puzzle, text: str) -> dict[str, str | None]:
    """letter -> the final answer of a text, one of the question's options, or None."""
    return {letter: decision.option for letter, decision in decisions(puzzle, text).items()}


def decisions(puzzle: Puzzle, text: str) -> dict[str, Decision]:
    """letter -> what a text answers to it, and why."""
    lines, in_reasoning = plain_lines(text)
    reading = _Reading(puzzle)
    for line in without_lists(lines, puzzle):
        reading.add(line)
    reading.finish(lines)
    return {
        letter: _decision(reading.blocks.given(letter.lower()), in_reasoning)
        for letter in puzzle.questions
    }


def _decision(given: list[_Given], in_reasoning: bool) -> Decision:
    """The decision on a letter, by the answers to it that stand."""
    if not given:
        reason = "no line answers it"
        if in_reasoning:
            reason += ", and the text ends inside reasoning that is not closed"
        return Decision(None, None, "", reason)
    last = given[-1]
    number = f"line {last.line.number}"
    options = {each.option for each in given}
    if last.doubted:
        reason = f"{number} takes its answer back, or doubts it"
    elif options == {None}:
        reason = f"{number} names no single option, or takes its answer back"
    elif len(options) > 1:
        reason = f"lines {given[0].line.number} and {last.line.number} give different answers"
    else:
        return Decision(last.option, last.line.number, last.line.text, f"{number} names it")
    return Decision(None, last.line.number, last.line.text, reason)


class _Reading:
    """Reads a text line by line."""

    def __init__(self, puzzle: Puzzle) -> None:
        words, world = wording(puzzle.world, puzzle.edition), puzzle.world
        names = (*world.suspects, *world.weapons, *world.rooms, *world.times, *world.motives)
        self.readers: dict[str, AnswerReader] = {}
        for letter, question in puzzle.questions.items():
            options, asked = puzzle.options[letter], words.question(question)
            others = tuple(name for name in names if name not in options)
            reader = answer_reader(question.topic, asked, options, others)
            self.readers[letter.lower()] = reader
        self.blocks = _Blocks(len(self.readers))
        self._markers, self._table = Markers(self.readers), Table(self.readers)
        self._letter = ""  # the letter that the next line may belong to
        # the last letter that a line began with, and the number of that line
        self._last, self._number = "", 0
        self._is_example = False  # whether the answers that follow are an example
        self._in_dialogue = False  # whether that line began with "Q:"
        self._alone = False  # whether the line of that letter had no answer
        self._section = ""  # the letter at the head of the section, until it has an answer
        self._unclear = False  # whether the section named options and did not decide

    def add(self, line: Line) -> None:
        """Read the next line."""
        if (cells := self._table.answers(line.text)) is not None:
            self._add_parts(line, Lead(0, turns=False, offers=False), cells)
        elif WORD.search(line.text):
            is_example, self._is_example = self._is_example, bool(_EXAMPLE.search(line.text))
            lead = lead_of(line.text)
            if self._is_answer_to_q(line.text):
                self._add_labelled(line, Lead(2, turns=False, offers=False))
            elif parts := self._markers.parts(line.text, lead.end):
                if is_example:
                    self._is_example = True
                    return
                self._add_parts(line, lead, parts)
            elif not self._add_labelled(line, lead):
                self._add_below(line, lead)

    def _is_answer_to_q(self, line: str) -> bool:
        """Whether a line is the answer in a dialogue ("Q: B. Who did it?", "A: Mr. Green")."""
        return self._in_dialogue and self._alone and line.startswith("a:")

    def finish(self, lines: list[Line]) -> None:
        """If no line had a letter, read the last lines as the answers in the questions' order."""
        if any(map(self.blocks.given, self.readers)):
            return
        last = [line for line in lines if WORD.search(line.text)][-len(self.readers) :]
        found = [
            reader.read(line.text[lead_of(line.text).end :])
            for reader, line in zip(self.readers.values(), last, strict=False)
        ]
        options = [each.option for each in found if isinstance(each, Commit) and each.bare]
        if len(options) == len(self.readers) > 2:
            for letter, option, line in zip(self.readers, options, last, strict=True):
                self.blocks.add(letter, _Given(option, line))

    def _add_parts(self, line: Line, lead: Lead, parts: list[tuple[str, str]]) -> None:
        if lead.turns and not lead.offers:
            self.blocks.turn()
        readings = [(letter, self.readers[letter].read(words)) for letter, words in parts]
        for letter, reading in readings:
            self._give(letter, reading, line, offered=lead.offers)
            self._number, self._last = line.number, letter
            self._in_dialogue = line.text.startswith("q:")
            self._letter = "" if reading == "prose" else letter
            self._alone = reading == "empty"
            self._section = "" if isinstance(reading, Commit) else letter
            self._unclear = reading == "refused"
        if any(reading == "prose" for _, reading in readings):
            self._doubt(line)

    def _add_labelled(self, line: Line, lead: Lead) -> bool:
        """Read a line such as "Answer: X" in the section of a letter; whether it was one."""
        signs = ("->", "=>", "a:") if self._in_dialogue else ("->", "=>")
        labelled = _LABEL.search(line.text[: lead.end]) or line.text.startswith(signs)
        if not self._section or not labelled:
            return False
        reading = self.readers[self._section].read(line.text[lead.end :])
        if isinstance(reading, Commit):
            given = _Given(reading.option, line)
            if self._unclear:
                self.blocks.decide(self._section, given)
            else:
                self.blocks.add(self._section, given)
            self._letter, self._alone, self._section = self._section, False, ""
        elif reading == "empty":
            self._letter, self._alone = self._section, True
            if is_final_heading(line.text):
                self.blocks.add_words(line.text)
        return isinstance(reading, Commit) or reading == "empty"

    def _add_below(self, line: Line, lead: Lead) -> None:
        """Read a line that is below the line of a letter, or about no letter."""
        reading: Reading = "prose"
        if self._letter:
            reading = _read_below(self.readers[self._letter], line.text, lead, self._alone)
            self._give(self._letter, reading, line)
        self._alone &= not isinstance(reading, Commit)
        if reading == "prose":
            self._doubt(line)
            self.blocks.add_words(line.text)
            self._letter = self._letter if _OFFERS.match(line.text) else ""
        elif reading == "refused":
            self._unclear = True
            if line.number > self._number + 1:  # not a line below an answer, but a footnote
                self._doubt(line)
        elif isinstance(reading, Commit) and not self._unclear:
            self._section = ""

    def _give(self, letter: str, reading: Reading, line: Line, *, offered: bool = False) -> None:
        if isinstance(reading, Commit):
            self.blocks.add(letter, _Given(reading.option, line), offered=offered)
        elif reading == "refused":
            self.blocks.add(letter, _Given(None, line), offered=offered)

    def _doubt(self, line: Line) -> None:
        """Take back the answers that a line takes back or doubts."""
        stated = {
            letter: {given.option for given in self.blocks.given(letter)} for letter in self.readers
        }
        is_below = line.number <= self._number + 2 or sum(map(bool, stated.values())) == 1
        last = self._last if is_below else ""
        for letter in doubted_letters(line.text, self.readers, stated, last):
            self.blocks.doubt(letter, line)


def is_final_heading(line: str) -> bool:
    """Whether a plain line is a heading above final answers."""
    if len(line) > _HEADING_CHARS or line.endswith(".") or _OFFERS.match(line):
        return False
    words = tokens(line)
    return (
        not _FINAL_WORDS.isdisjoint(words)
        and not _ANSWER_WORDS.isdisjoint(words)
        and "bonus" not in words
    )


def _read_below(reader: AnswerReader, line: str, lead: Lead, alone: bool) -> Reading:
    """How to read a line below the line of a letter.

    If that line had no answer (`alone`), any answer counts. If it had one, only a second answer
    without reasons counts, or a line that offers another one.
    """
    if is_final_heading(line):
        return "empty" if alone else "prose"
    if lead.turns and lead.end == len(line):
        return "prose"
    if not alone and reader.offers(line):
        return "refused"
    reading = reader.read(line[lead.end :])
    if isinstance(reading, Commit):
        return reading if alone or reading.bare else "prose"
    if alone and (reading == "empty" or reader.excludes(line)):
        return "empty"
    return "refused" if alone and reading == "refused" else "prose"
