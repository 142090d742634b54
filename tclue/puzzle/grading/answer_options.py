"""Which words of a plain line name an option of a question, or another name of the puzzle.

- An option is matched as a whole, the longest first.
- Its title may be missing, different or an initial ("M. Brunette"), a time may be without its half
  of the day, and one word may stand for a name of several ("Pipe"), if this fits only one option.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TypeVar

from tclue.puzzle.grading.answer_text import plain_text, tokens
from tclue.puzzle.grading.vocabulary import GENERIC, TITLES

Name = TypeVar("Name")

# How `marked` writes a name: the option that was answered, another option, another kind of name.
OWN, OTHER, ELSE = "\1own", "\1other", "\1else"

_SHORT_TITLES = {
    "mister": "mr",
    "missus": "mrs",
    "doctor": "dr",
    "sergeant": "sgt",
    "colonel": "col",
    "professor": "prof",
    "mademoiselle": "mlle",
    "scarlett": "scarlet",  # as many write the name
}
_INSIDE_NAMES = frozenset((".", "-", "&", "'s"))
# Of a name such as "Billiard Room", these words alone do not name anything.
_GENERIC = TITLES | GENERIC
_CLOCK = re.compile(r"(\d\d:\d\d)[ap]m")


def words_and_signs(text: str) -> list[str]:
    """The words and signs of a plain line, with titles in one form."""
    return [_SHORT_TITLES.get(word, word) for word in tokens(text)]


def words_of(text: str) -> list[str]:
    """The words of a text that need not be plain."""
    return [word for word in words_and_signs(plain_text(text)) if word[0].isalnum()]


def unique(named: Iterable[tuple[Name, str]]) -> dict[Name, str]:
    """Each name that only one option has -> that option."""
    options: dict[Name, set[str]] = {}
    for name, option in named:
        options.setdefault(name, set()).add(option)
    return {name: owners.pop() for name, owners in options.items() if len(owners) == 1}


class Names:
    """Names and their short forms."""

    def __init__(self, options: Sequence[str], common: frozenset[str] = frozenset()) -> None:
        """No word in `common` is the short form of a name."""
        full = [(words, option) for option in options if (words := tuple(words_of(option)))]
        # A full name takes precedence over the short form of another name.
        taken = {words for words, _ in full}
        short = [(alias, option) for words, option in full for alias in _short_forms(words)]
        single = unique((word, option) for words, option in full for word in set(words))
        short += [(("".join(words),), option) for words, option in full]  # "MissScarlet"
        short += [
            ((word,), option)
            for word, option in single.items()
            if word not in common | _GENERIC and not word.isdigit() and len(word) > 2
        ]
        names = unique([*(pair for pair in short if pair[0] not in taken), *full])
        self._aliases: dict[str, list[tuple[tuple[str, ...], str]]] = {}
        for words in sorted(names, key=len, reverse=True):
            self._aliases.setdefault(words[0], []).append((words, names[words]))

    def at(self, words: Sequence[str], at: int) -> tuple[str, int] | None:
        """The longest name that the words at an index spell, and the index after it."""
        for name, option in self._aliases.get(words[at], ()) if at < len(words) else ():
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

    def named(self, words: Sequence[str]) -> set[str]:
        """The names that words hold."""
        found = set()
        at = 0
        while at < len(words):
            name = self.at(words, at)
            at = name[1] if name else at + 1
            found |= {name[0]} if name else set()
        return found


def marked(options: Names, others: Names, words: Sequence[str], own: str | None) -> list[str]:
    """Words with OWN, OTHER or ELSE in place of each name; titles before a name are part of it."""
    items: list[str] = []
    at = 0
    while at < len(words):
        option = options.at(words, at)
        name = option or others.at(words, at)
        if not name:
            items.append(words[at])
            at += 1
            continue
        while items[-1:] and (
            items[-1] in TITLES or (items[-1] == "." and {*items[-2:-1]} & TITLES)
        ):
            items.pop()
        items.append(ELSE if not option else OWN if option[0] == own else OTHER)
        at = name[1]
    return items


def _short_forms(words: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Short forms of a name: without its title or with an initial, without the half of the day."""
    if len(words) > 1:
        initials = [(words[0][0], *words[1:])]
        return [words[1:], *initials] if words[0] in TITLES else []
    if time := _CLOCK.fullmatch(words[0]):
        spoken = {"12:00am": ("midnight",), "12:00pm": ("noon",)}.get(words[0])
        return [(time[1],), *([spoken] if spoken else [])]
    return []
