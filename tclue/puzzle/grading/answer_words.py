"""Which option the words after a question's letter name.

The words are read as

    [words of the question]* OPTION [words of the question]* [a separator and a remark]

where "words of the question" are those of the question in the prompt, the words for what is asked
("murderer", "room", "time"), and the articles, prepositions and verbs that connect them. So "the
Rope", "WEAPON: Rope", "What weapon did the murderer use? The Rope" and "The murderer used the
Rope." all name the Rope, and "The murderer was seen with the Rope" names nothing.

- An option is matched as a whole, the longest first. Its title may be missing or different, and a
  time may be without its half of the day, if what remains fits only one option.
- A second option, a joining word or a question mark after the option refuses the answer. So does a
  remark that takes it back ("(or ...)", "- no", ": ruled out").
- A remark may name other options only as a reason: after a reason word or a verb, or as the subject
  of a clause, and without a word that offers an alternative ("because Mr. Green was in the Hall",
  "not Mr. Green", "Mr. Green was in the Hall").

The result is always one option at most, so a text gains nothing by naming more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeVar

from tclue.puzzle.grading.answer_text import plain_text, tokens
from tclue.puzzle.wording import ANSWER_KINDS, MAIN_QUESTIONS, Topic

Name = TypeVar("Name")


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_TITLES = _set(
    "mr mrs ms miss madame monsieur dr sgt col prof lady captain reverend baroness judge inspector "
    "countess major dame lord senator sister admiral"
)
_SHORT_TITLES = {
    "mister": "mr",
    "missus": "mrs",
    "doctor": "dr",
    "sergeant": "sgt",
    "colonel": "col",
    "professor": "prof",
}

# Words that may stand around an option, in addition to the words of the question itself: in every
# question, by the kind of answer, and in questions about the murder.
_ALWAYS = _set(
    "the is was it it's answer final bonus question mr boddy boddy's of probably likely most "
    "i my conclude believe think"
)
_AROUND = {
    "SUSPECT": _set("suspect by motivates") | _TITLES,
    "WEAPON": _set("weapon with"),
    "ROOM": _set("room location place in at inside") | frozenset(map(str, range(1, 100))),
    "TIME": _set("time hour at exactly precisely sharp"),
    "MOTIVE": _set(
        "motive motivation reason motivated by out for driven he she they his her their"
    ),
}
_AROUND_MURDER = {
    "SUSPECT": _set("murderer murderer's killer culprit murdered killed did committed"),
    "WEAPON": _set("murder used use using murderer killer killed murdered he she they"),
    "ROOM": _set("scene site crime murder murdered killed committed occurred took"),
    "TIME": _set("murder murdered killed occurred happened took place"),
    "MOTIVE": _set("murder"),
}
_LABEL_SIGNS = frozenset(":.,;-=|>()[]?'#<&")
_SEPARATORS = frozenset(".,;:()[]-|!=>'#<")
_INSIDE_NAMES = frozenset(".-&")

_JOINING = _set("or and nor / & + plus vs versus")
_REASONS = _set("because since as due given while when before after until not")
_VERBS = _set(
    "was were is are had has moved carried took brought went left came stayed entered stopped seen "
    "found ruled excluded eliminated cannot"
)
_BECAUSE = _set("because since due as")
_COPULAS = _set("is was were be been")
_PRONOUNS = _set("he she they this that it who which")
_DENIALS = {"isn't", "wasn't", "didn't", "aren't", "weren't"}
# With one of these words a clause makes another option the answer: "Mr. Green was guilty".
_ANEW = _set("guilty it him her one answer culprit murderer killer who done")
_REFUSALS = _JOINING | _set(
    "not no neither none either both all any every unknown unclear undetermined cannot could "
    "maybe perhaps possibly insufficient between alternatively otherwise alternative alternate"
)
_RETRACTIONS = _set(
    "or either nor / alternatively otherwise maybe perhaps possibly no wait actually wrong false "
    "incorrect impossible innocent excluded eliminated ruled cannot unlikely "
    "possible candidate unclear uncertain unsure"
)
_ALTERNATIVES = _RETRACTIONS - _set(
    "excluded eliminated ruled no innocent impossible cannot false"
) | _set(
    "also could might may both between else instead rather second other another unless if guess "
    "equally sure well choice pick option runner & +"
)
# A line below an answer that begins with one of these words offers another answer. With the second
# set it does so only if it says nothing more about the options that it names.
_OFFERS = _set("or / maybe perhaps possibly alternatively otherwise")
_MAY_OFFER = _set(
    "and & + either both all any one between also alternative alternate second backup fallback "
    "else failing if"
)
_CLOCK = re.compile(r"(\d\d:\d\d)[ap]m")
_SHORT_WORDS = 4  # most words of a refusal that names no option


@dataclass(frozen=True)
class Commit:
    """The one option that words name; `bare` if they give no reason for it."""

    option: str
    bare: bool


# "refused": an answer that does not name exactly one option; "empty": only words of the question;
# "prose": anything else
Reading = Commit | Literal["refused", "empty", "prose"]


@lru_cache(maxsize=4096)
def answer_reader(topic: Topic, question: str, options: tuple[str, ...]) -> AnswerReader:
    """The reader of one question. It is cached, because training grades the same puzzles often."""
    return AnswerReader(topic, question, options)


class AnswerReader:
    """Reads the answers to one question in plain text."""

    def __init__(self, topic: Topic, question: str, options: Sequence[str]) -> None:
        """`question` is the text of the question."""
        kind = ANSWER_KINDS[topic]
        # Exactly as listed, because a name may contain signs and joining words.
        self._exact = _unique((plain_text(option).strip(" ."), option) for option in options)
        self._options = _aliases(options)
        asked = _words(question)
        question_words = _ALWAYS | _AROUND[kind] | {*asked, *(f"{word}'s" for word in asked)}
        # In other questions these words begin another subject: "H. Sgt. Gray. The murderer is ...".
        question_words |= _AROUND_MURDER[kind] if topic in MAIN_QUESTIONS.values() else set()
        self._question_words = question_words - _REFUSALS
        self._lead = (
            self._question_words | _LABEL_SIGNS | ({"because"} if kind == "MOTIVE" else set())
        )
        named = [(word, option) for option in options for word in _words(option)]
        self._named = {word for word, _ in named}
        # In a remark, a word that only one option contains is enough to name it: "Rope, Pipe".
        common = _TITLES | self._question_words
        self._distinctive = _unique(pair for pair in named if pair[0] not in common)

    def read(self, text: str) -> Reading:
        """How to read the text after the question's letter, which is plain and on one line."""
        if exact := self._exact.get(text.strip(" .")):
            return Commit(exact, bare=True)
        words = _tokens(text)
        at = self._skip(words, 0, self._lead)
        if at == len(words):
            return "empty"
        if not (option_match := self._option_at(words, at)):
            return self._without_option(words, at)
        option, end = option_match
        while (repeat := self._option_at(words, end)) and repeat[0] == option:
            end = repeat[1]
        rest = words[self._skip(words, end, self._question_words) :]
        commit = Commit(option, self._is_bare(rest))
        if not rest:
            return commit
        if rest[0] in _SEPARATORS or rest[0] in _BECAUSE:
            return commit if self._is_remark(option, rest) else "refused"
        if rest[0] in _JOINING or rest[0] == "?" or self._option_at(rest, 0):
            return "refused"
        offers = not _ALTERNATIVES.isdisjoint(rest) and self._others(option, rest)
        return "refused" if offers else "prose"

    def _is_bare(self, rest: list[str]) -> bool:
        """Whether the words after an option say nothing about it, except how likely it is."""
        neutral = _ALTERNATIVES | _MAY_OFFER | self._question_words
        return all(word in neutral or word.isdigit() or not word[0].isalnum() for word in rest)

    def offers(self, text: str) -> bool:
        """Whether a line offers another option after an answer ("or Mr. Green", "Rope, Pipe")."""
        words = [word for word in _tokens(text) if word not in _LABEL_SIGNS]
        if not words or not self._others("", words):
            return False
        if words[0] in _OFFERS:
            return True
        lists = words[0] in _MAY_OFFER or self._option_at(words, 0) is not None
        return lists and self._is_bare([word for word in words if word not in self._named])

    def _skip(self, words: list[str], at: int, passed: frozenset[str]) -> int:
        """The first index from `at` with an option, or with a word that is not in `passed`."""
        while at < len(words) and words[at] in passed and not self._option_at(words, at):
            at += 1
        return at

    def _without_option(self, words: list[str], at: int) -> Reading:
        """How to read words that name no option: "refused" or "prose"."""
        if words[at] not in _REFUSALS:
            return "prose"
        short = sum(word[0].isalnum() for word in words[at:]) <= _SHORT_WORDS
        after = self._skip(words, at, _REFUSALS | self._question_words)
        named = after < len(words) and self._option_at(words, after)
        return "refused" if short or named else "prose"

    def _option_at(self, words: Sequence[str], at: int) -> tuple[str, int] | None:
        """The longest option that the words at an index spell, and the index after it."""
        for name, option in self._options.get(words[at], ()) if at < len(words) else ():
            end = at + 1
            for word in name[1:]:
                if end < len(words) and words[end] in _INSIDE_NAMES:
                    end += 1
                if end == len(words) or words[end] != word:
                    break
                end += 1
            else:
                return option, end
        return None

    def _others(self, option: str, words: list[str]) -> list[int]:
        """The indices at which options other than this one are named."""
        own = set(_words(option))
        places = []
        at = 0
        while at < len(words):
            if option_match := self._option_at(words, at):
                if option_match[0] != option:
                    places.append(at)
                at = option_match[1]
                continue
            if words[at] not in own and self._distinctive.get(words[at], option) != option:
                places.append(at)
            at += 1
        return places

    def _is_remark(self, option: str, rest: list[str]) -> bool:
        """Whether the words from an option's separator on are a remark that does not refuse it."""
        start = next((i for i, word in enumerate(rest) if word not in _SEPARATORS), len(rest))
        remark = rest[start:]
        if not remark:
            return True
        others = self._others(option, remark)
        if remark[0] in _RETRACTIONS or remark[0] == "?" or (remark[0] == "not" and not others):
            return False
        if self._is_retraction(remark) or any(self._answers_anew(remark, at) for at in others):
            return False
        if not others:
            return True
        before = {_before(remark, at) for at in others}
        if not before.isdisjoint(_COPULAS) or not _ALTERNATIVES.isdisjoint(remark):
            return False
        # "not Mr. Green", "east of the Hall"
        if before <= {"not", "of", "to", "from"}:
            return True
        reasoned = not (_REASONS | _VERBS).isdisjoint(remark[: others[0]])
        return (reasoned and not _VERBS.isdisjoint(remark)) or self._is_clause(remark[others[0] :])

    def _is_clause(self, words: list[str]) -> bool:
        """Whether words are a clause about the options at their start ("X and Y were in")."""
        at = 0
        while at < len(words):
            option_match = self._option_at(words, at)
            if not option_match and words[at] not in ("and", ",", "the"):
                break
            at = option_match[1] if option_match else at + 1
        return at < len(words) and words[at] in _VERBS

    def _answers_anew(self, words: list[str], at: int) -> bool:
        """Whether words make the option at an index the answer ("X was the murderer")."""
        option_match = self._option_at(words, at)
        end = option_match[1] if option_match else at + 1
        after = [word for word in words[end : end + 3] if word != "the"]
        return (
            len(after) > 1
            and after[0] in _VERBS
            and (after[1] in self._question_words or after[1] in _ANEW)
        )

    def _is_retraction(self, remark: list[str]) -> bool:
        """Whether a remark denies the option before it ("she is not the murderer")."""
        words = [word for word in remark if word not in ("the", "my", "a")]
        if words and words[0] in _PRONOUNS:
            words = words[1:]
        if not words or words[0] not in _COPULAS | _DENIALS | {"did"}:
            return False
        denied = words[0] in _DENIALS
        if words[1:2] == ["not"]:
            denied, words = True, words[1:]
        after = words[1:2]
        if denied:
            return not (self._question_words | _ANEW | {"do", "right", "correct"}).isdisjoint(after)
        return not (_RETRACTIONS - _OFFERS).isdisjoint(after)


def _before(words: list[str], at: int) -> str:
    """The word before an index, not counting "the"; "" at the start."""
    before = [word for word in words[max(0, at - 2) : at] if word != "the"]
    return before[-1] if before else ""


def _tokens(text: str) -> list[str]:
    return [_SHORT_TITLES.get(word, word) for word in tokens(text)]


def _words(text: str) -> list[str]:
    return [word for word in _tokens(plain_text(text)) if word[0].isalnum()]


def _unique(named: Iterable[tuple[Name, str]]) -> dict[Name, str]:
    """Each name that only one option has -> that option."""
    options: dict[Name, set[str]] = {}
    for name, option in named:
        options.setdefault(name, set()).add(option)
    return {name: owners.pop() for name, owners in options.items() if len(owners) == 1}


def _aliases(options: Sequence[str]) -> dict[str, list[tuple[tuple[str, ...], str]]]:
    """First word -> the spellings of options that begin with it, the longest first."""
    full = [(words, option) for option in options if (words := tuple(_words(option)))]
    # A full name takes precedence over the short form of another name.
    taken = {words for words, _ in full}
    short = [(alias, option) for words, option in full for alias in _short_forms(words)]
    names = _unique([*(pair for pair in short if pair[0] not in taken), *full])
    aliases: dict[str, list[tuple[tuple[str, ...], str]]] = {}
    for words in sorted(names, key=len, reverse=True):
        aliases.setdefault(words[0], []).append((words, names[words]))
    return aliases


def _short_forms(words: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Short forms of a name: without its title, or without the half of the day."""
    if words[0] in _TITLES and len(words) > 1:
        return [words[1:]]
    if len(words) == 1 and (time := _CLOCK.fullmatch(words[0])):
        spoken = {"12:00am": ("midnight",), "12:00pm": ("noon",)}.get(words[0])
        return [(time[1],), *([spoken] if spoken else [])]
    return []
