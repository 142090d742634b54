"""The clauses of a remark, in which names are marked.

A clause ends at a sign. A list of options belongs to what follows it ("X, Y and Z were in ..."),
what stands before a colon to what follows it ("ruled out: X"), and a clause that goes on with the
one before it has that one's words too ("X is ruled out by clue 2, Y by clue 7").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from tclue.puzzle.grading import vocabulary as v
from tclue.puzzle.grading.answer_options import OTHER

_SIGNS = frozenset(".,;:()[]|-!=<>?")


@dataclass(frozen=True)
class Clause:
    """The words between two signs."""

    # the signs before and after it ("->" is one), and its words, in which names are marked
    sign: str
    words: tuple[str, ...]
    end: str

    @cached_property
    def said(self) -> list[str]:
        """The words less those that say nothing."""
        return [word for word in self.words if word not in v.SAYING_NOTHING]

    @cached_property
    def names_other(self) -> bool:
        """Whether it names an option beside the answer."""
        return OTHER in self.words

    @property
    def is_bare(self) -> bool:
        """Whether it only names other options."""
        return self.names_other and {*self.said} <= v.LISTING | {OTHER}

    def has(self, words: frozenset[str]) -> bool:
        """Whether it has one of some words."""
        return not words.isdisjoint(self.said)


def clauses_of(items: Sequence[str]) -> list[Clause]:
    """The clauses between signs. A list of options belongs to what follows it, as in "X, Y were".

    What stands before a colon belongs to what follows it too, as in "ruled out: X".
    """
    clauses: list[Clause] = []
    words: list[str] = []
    sign, before = "", ""
    is_bare, names_other = True, False  # of the words so far
    for item in [*items, "."]:
        if item not in _SIGNS:
            words.append(item)
            names_other |= item == OTHER
            is_bare &= item in v.LISTING or item in v.SAYING_NOTHING or item == OTHER
        elif words:
            is_list = is_bare and names_other and item in ",:(-[=><"
            if is_list or (item in ":=-" and not names_other):
                words.append(",")
            elif words[-1] == "," and item in "([":
                pass  # "ruled out: [X, Y]"
            else:
                clauses.append(Clause(sign, tuple(words), item))
                words, sign, is_bare, names_other = [], item, True, False
        elif item == ">" and before in ("-", "="):
            sign = "->"
        elif item == "?":
            clauses.append(Clause(sign, ("?",), item))
        elif sign != "->":
            sign = item
        before = item
    for at in range(1, len(clauses)):
        clauses[at] = _inheriting(clauses[at], clauses[at - 1])
    return clauses


def _inheriting(clause: Clause, previous: Clause) -> Clause:
    """A clause that goes on with the one before it, with the words of that one too."""
    # "everyone else was away, even Y", "X has an alibi, and so does Y"
    start = [word for word in clause.said if word != "and"][:3]
    likewise = start[:1] in (["so"], ["as"]) and start[1:2] in (["do"], ["does"], ["did"])
    if start[:1] in (["even"], ["including"]) or likewise:
        return replace(clause, words=previous.words[-9:] + clause.words)
    if clause.sign not in (",", "(", "[") or clause.said[:1] not in ([OTHER], ["clue"]):
        return clause
    excludes = previous.has(v.EXCLUSIONS)
    if previous.names_other:  # "ruled out: X, Y", "X is ruled out by clue 2, Y by clue 7"
        ends = clause.is_bare and previous.words[-1] == OTHER and not previous.is_bare
        again = excludes and len(clause.said) > 1 and not any(map(is_verb, clause.said))
        goes_on = previous.end == "," and (ends or again)
    elif "if" in previous.words:
        return clause
    else:  # "no others (X, Y)", "everyone else (X, Y) was elsewhere"
        follows = (len(previous.words) > 2 and excludes) or previous.has(v.REST)
        goes_on = clause.is_bare and follows
    return replace(clause, words=previous.words[-9:] + clause.words) if goes_on else clause


def is_foreign(words: Sequence[str]) -> bool:
    """Whether words are, in part, not English."""
    return any(word in v.FOREIGN or not word.isascii() for word in words if word[0].isalpha())


def is_verb(word: str) -> bool:
    """Whether a word is, or looks like, a verb."""
    return word in v.VERBS or (len(word) > 4 and word.endswith(("ed", "ing", "n't")))
