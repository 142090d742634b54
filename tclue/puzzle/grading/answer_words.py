"""Which option the words after a question's letter name.

The words are read as

    [words of the question]* OPTION [words of the question]* [a remark]

where "words of the question" are those of the question in the prompt, the words for what is asked
("murderer", "room", "time"), and the articles, prepositions and verbs that connect them. So "the
Rope", "WEAPON: Rope", "What weapon did the murderer use? The Rope" and "The murderer used the
Rope." all name the Rope, and "The murderer was seen with the Rope" names nothing. In the five main
questions, names that are no options may stand there too, if the words are about the murder ("Miss
Scarlet killed him with the Rope").

A second option, a joining word or a question mark after the option refuses the answer. Whether any
other remark does is for `answer_remarks` to say. The result is always one option at most, so a text
gains nothing by naming more.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from tclue.puzzle.grading import vocabulary as v
from tclue.puzzle.grading.answer_clauses import is_foreign, is_verb
from tclue.puzzle.grading.answer_options import (
    ELSE,
    OTHER,
    OWN,
    Names,
    marked,
    unique,
    words_and_signs,
    words_of,
)
from tclue.puzzle.grading.answer_remarks import concludes, stands
from tclue.puzzle.grading.answer_text import STRUCK, plain_text
from tclue.puzzle.wording import ANSWER_KINDS, MAIN_QUESTIONS, Topic

# "None other than X" is X.
_NONE_BUT = re.compile(
    r"\b(?:none|no ?one|nobody|nothing|nowhere|no (?:room|suspect|weapon|time|place|motive|person)|"
    r"(?:cannot|can't) (?:be|have \w{1,12}) (?:(?:at|in) )?any(?:one|body|thing|where| \w{1,12})?)"
    r"(?: else)?(?: other)? (?:but|than|except)(?: for)?\b"
)
_STRUCK = re.compile(rf"^\s*(?:{STRUCK}[^{STRUCK}]*{STRUCK}\s*)+")
_LABELLED_CHARS = 100
_SHORT_WORDS = 4  # most words of a refusal that names no option
_ASIDE = re.compile(
    r"[, ]{1,3}(?:on the other hand|by contrast|in contrast|of course|in turn|though|however),"
)
_BOX = re.compile(r"\[[x ]\]")


@dataclass(frozen=True)
class Commit:
    """The one option that words name; `bare` if they give no reason for it."""

    option: str
    bare: bool


# "refused": an answer that does not name exactly one option; "empty": only words of the question;
# "prose": anything else
Reading = Commit | Literal["refused", "empty", "prose"]


@lru_cache(maxsize=4096)
def answer_reader(
    topic: Topic, question: str, options: tuple[str, ...], others: tuple[str, ...] = ()
) -> AnswerReader:
    """The reader of one question. It is cached, because training grades the same puzzles often."""
    return AnswerReader(topic, question, options, others)


class AnswerReader:
    """Reads the answers to one question in plain text."""

    def __init__(
        self, topic: Topic, question: str, options: Sequence[str], others: Sequence[str] = ()
    ) -> None:
        """`question` is the text of the question, `others` the puzzle's names of other kinds."""
        self._kind = ANSWER_KINDS[topic]
        # Exactly as listed, because a name may contain signs and joining words.
        self._exact = unique((plain_text(option).strip(" ."), option) for option in options)
        asked = words_of(question)
        is_main = topic in MAIN_QUESTIONS.values()
        self._is_position = topic == "position"
        self._is_of_weapon = self._is_position and "weapon" in asked
        self._has_other_names = is_main or self._is_of_weapon
        # In other questions than the main ones the words about the murder begin another subject:
        # "H. Sgt. Gray. The murderer is ...".
        around = v.ALWAYS | v.AROUND[self._kind] | {*asked}
        self._asked = (around | (v.AROUND_MURDER[self._kind] if is_main else set())) - v.REFUSALS
        self._options = Names(options, self._asked)
        self._others = Names([*others, "Mr. Boddy"])
        self._named = {word for option in options for word in words_of(option)}
        because = {"because"} if self._kind == "MOTIVE" else set()
        self._lead = self._asked | v.LABEL_SIGNS | because

    def read(self, text: str) -> Reading:
        """How to read the text after the question's letter, which is plain and on one line."""
        if exact := self._exact.get(text.strip(" .")):
            return Commit(exact, bare=True)
        words = words_and_signs(_ASIDE.sub(" ", _NONE_BUT.sub("only", _ticked(_unstruck(text)))))
        at = self._start(words, 0, self._lead)
        if at == len(words):
            return "empty"
        if not (found := self._options.at(words, at)):
            commit = self._concluding(words) or self._foreign(words) or self._labelled(text)
            return commit or self._without_option(words, at)
        option, end = found
        while (repeat := self._options.at(words, end)) and repeat[0] == option:
            end = repeat[1]
        rest = words[self._after(words, end) :]
        # Where somebody was, or where something was at another time, is no answer.
        at_other_time = self._is_position and bool(rest) and _is_time(rest[0])
        if at_other_time or _places(words[end:]):
            return self._concluding(words) or "prose"
        if not rest:
            return Commit(option, bare=True)
        remark = words[end:] if words[end] in v.REMARK_STARTS else rest
        items = self._marked(remark, option)
        if remark[0] == "as":  # "as" is a word of questions too
            rest = remark
        if self._joins(words, rest, items) or _denies(words[end:], rest):
            return self._concluding(words) or "refused"
        is_only = "only" in words
        if not is_only and remark[0] not in v.SEPARATORS | v.REMARK_STARTS | v.JOINING:
            if OTHER in items and not v.NEUTRAL.isdisjoint(rest):
                return self._concluding(words) or "refused"
            if OTHER in items or not rest[0].isalnum() or is_verb(rest[0]):
                return self._concluding(words) or "prose"
        if stands(items, self._kind):
            return Commit(option, self._is_bare(rest))
        may_be_firm = words[0] in v.CONDITIONS | v.SELECTIONS
        return self._concluding(words, may_be_firm=may_be_firm) or "refused"

    def excludes(self, text: str) -> bool:
        """Whether a line names options only to exclude them ("Mr. Green: in the Hall, so no")."""
        items = self._marked(words_and_signs(text))
        return OTHER in items and concludes(items, firmly=False)

    def offers(self, text: str) -> bool:
        """Whether a line offers another option after an answer ("or Mr. Green", "Rope, Pipe")."""
        words = [word for word in words_and_signs(text) if word not in v.LABEL_SIGNS]
        words = words[1:] if words[:1] and words[0].isdigit() else words  # a footnote's number
        items = self._marked(words)
        if OTHER not in items or not v.CROSSES.isdisjoint(words):
            return False
        if words[0] in v.OFFERS or (words[0] in v.TURNS and OTHER in items[1:4]):
            return True
        if (words[0] == "if" and words[1] in v.MISTAKEN | {"not"}) or {"torn", "toss"} & {*words}:
            return True
        lists = words[0] in v.MAY_OFFER or items[0] == OTHER
        return lists and self._is_bare([word for word in words if word not in self._named])

    def asks(self, words: set[str]) -> bool:
        """Whether words are, in part, those of the question or of an option."""
        return not words.isdisjoint((self._asked - v.ALWAYS) | self._named)

    def named(self, text: str) -> set[str]:
        """The options that a plain line names."""
        return self._options.named(words_and_signs(text))

    def _marked(self, words: Sequence[str], own: str | None = None) -> list[str]:
        return marked(self._options, self._others, words, own)

    def _skip(self, words: Sequence[str], at: int, passed: frozenset[str]) -> int:
        """The first index from `at` with an option, or with a word that is not in `passed`."""
        while at < len(words) and words[at] in passed and not self._options.at(words, at):
            at += 1
        return at

    def _start(self, words: Sequence[str], start: int, lead: frozenset[str]) -> int:
        """The index of the option, or of the first word that may not stand before it."""
        at = self._skip(words, start, lead)
        if not self._has_other_names or at == len(words) or self._options.at(words, at):
            return at
        further = at
        while name := self._others.at(words, further):
            further = self._skip(words, name[1], lead)
        is_about = self._is_of_weapon or not v.MURDER.isdisjoint(words[start:further])
        return further if is_about and self._options.at(words, further) else at

    def _after(self, words: Sequence[str], end: int) -> int:
        """The index after the words of the question that follow an option."""
        at = self._skip(words, end, self._asked)
        while self._has_other_names and (name := self._others.at(words, at)):
            if self._is_position and _is_time(words[at]):
                break
            at = self._skip(words, name[1], self._asked)
        return at

    def _joins(self, words: Sequence[str], rest: Sequence[str], items: Sequence[str]) -> bool:
        """Whether the words after an option join another one to it."""
        if self._kind == "TIME" and words[-len(rest) - 1] in ("to", "till", "until", "through"):
            return True
        is_next = self._options.at(rest, 0) and len(rest) < len(words)
        if rest[0] == "?" or (is_next and items[0] not in v.REMARK_STARTS):
            return True
        if rest[0] in v.JOINING:  # but "Killer: Miss Scarlet / victim: Mr. Boddy"
            return rest[0].isalpha() or ELSE not in items
        passed = (self._asked - v.AND) | {"then", "again"}
        if items[0] in v.AND:
            first = [item for item in items if item not in passed][1:2]
            return not (v.REST | v.JOINING | {OTHER}).isdisjoint(first)
        # "X, Y and Z are excluded" says the same of X as of the others.
        named = [item for item in items if item not in ("the", "a")]
        selects = words[0] in v.CONDITIONS | v.SELECTIONS
        goes_on = named[2:3] == [","] or named[2:4] == ["and", OTHER] or selects
        return named[:2] == [",", OTHER] and goes_on

    def _concluding(self, words: list[str], *, may_be_firm: bool = True) -> Commit | None:
        """The option that the last clause names, if the words before it exclude all others.

        "It cannot be Mr. Green, so it must be Miss Scarlet." If it `may_be_firm`, a clause such as
        "so it must be Miss Scarlet" is enough.
        """
        if "neither" in words and "nor" not in words:
            return None
        words = words[:]  # one copy: a line may end with a million signs
        while words and words[-1] in v.LABEL_SIGNS:
            words.pop()
        starts = [
            at
            for at, word in enumerate(words)
            if word in v.CONCLUSIONS and (not at or words[at - 1] not in v.TITLES | {"."})
        ]
        for at in reversed(starts[-3:]):
            start = self._start(words, at + 1, self._lead | v.CONCLUDING)
            found = self._options.at(words, start)
            if not found or self._skip(words, found[1], self._asked | v.REMAINS) != len(words):
                continue
            said = {*words[max(0, at - 1) : start]}
            says = not said.isdisjoint(v.OCCURRED) and not said.isdisjoint(v.ASKED_NOUNS)
            # "When did the murder occur?" is no condition.
            is_condition = words[0] in v.CONDITIONS and "?" not in words
            firmly = says or is_condition or not said.isdisjoint(v.FIRM)
            if words[at] in ",;" and not firmly and words[at + 1] not in ("it", "but"):
                continue
            items = self._marked(words[:at], found[0])
            names = OTHER in items or (
                firmly and (OWN in items or not said.isdisjoint(v.THEREFORE))
            )
            if names and concludes(items, firmly=firmly and may_be_firm):
                return Commit(found[0], bare=False)
        return None

    def _labelled(self, text: str) -> Commit | None:
        """The option after a label in other words than those of the question ("Position: X")."""
        label, _, answer = text.partition(": ")
        if not answer or len(text) > _LABELLED_CHARS or ":" in answer or "," in label:
            return None
        said = words_of(label)
        if len(said) > 3 or not v.NO_LABELS.isdisjoint(said) or self.named(label):
            return None
        reading = self.read(answer)
        return reading if isinstance(reading, Commit) and reading.bare else None

    def _foreign(self, words: list[str]) -> Commit | None:
        """The option at the end of a sentence in another language that names no other."""
        items = self._marked(words)
        if OTHER not in items:
            return None
        last = items.index(OTHER)
        before, after = items[:last], items[last + 1 :]
        if any(item not in self._asked | v.LABEL_SIGNS for item in after):
            return None
        is_english = any(is_verb(word) and word not in self._asked for word in before)
        doubts = v.EXCLUSIONS | v.HEDGES | (v.FOREIGN_HEDGES - {"o"})
        if is_english or not doubts.isdisjoint(before) or not is_foreign(before):
            return None
        return Commit(self._options.named(words).pop(), bare=True)

    def _is_bare(self, rest: Sequence[str]) -> bool:
        """Whether the words after an option say nothing about it, except how likely it is."""
        neutral = v.NEUTRAL | self._asked
        return all(word in neutral or word[0].isdigit() or not word[0].isalnum() for word in rest)

    def _without_option(self, words: Sequence[str], at: int) -> Reading:
        """How to read words that name no option: "refused" or "prose"."""
        if words[at] not in v.REFUSALS:
            return "prose"
        short = sum(word[0].isalnum() for word in words[at:]) <= _SHORT_WORDS
        after = self._skip(words, at, v.REFUSALS | self._asked)
        named = after < len(words) and self._options.at(words, after)
        return "refused" if short or named else "prose"


def _is_time(word: str) -> bool:
    return word[0].isdigit() and word.endswith(("am", "pm"))


def _places(words: Sequence[str]) -> bool:
    """Whether the words after an option say where it was, which is no answer."""
    placed = [word for word in words[:5] if word not in ("the", "only", "mr", ".", "boddy")]
    return placed[:1] in (["is"], ["was"]) and not v.PLACING.isdisjoint(placed[1:2])


def _denies(words: Sequence[str], rest: Sequence[str]) -> bool:
    """Whether the words after an option deny it without a sign between them ("is not", "no")."""
    if words[0] in ("is", "was") and words[1] in v.DENIALS | {"not", "never"}:
        return True
    if rest[0] in v.CROSSES:
        return True
    if rest[0] == "never":
        return bool(rest[1:2]) and rest[1] not in v.EXCLUSIONS
    return rest[0] == "no" and bool(rest[1:2]) and rest[1] not in v.AFTER_NO


def _unstruck(text: str) -> str:
    """A text without what is struck through at its start, if anything else is left."""
    rest = _STRUCK.sub("", text)
    return rest if any(sign.isalnum() for sign in rest) else text


def _ticked(text: str) -> str:
    """The ticked item of a list with boxes ("[ ] X [x] Y"), or the text if it is no such list."""
    boxes = [box.start() for box in _BOX.finditer(text)]
    ticked = [at for at in boxes if text[at + 1] == "x"]
    if len(ticked) > 1:
        return _BOX.sub(" ", text)
    if len(boxes) < 2 or len(ticked) != 1:
        return text
    end = next((at for at in boxes if at > ticked[0]), len(text))
    return text[ticked[0] + 3 : end].strip(" ,;|")
