"""Which answers a sentence takes back or doubts, although it gives no others.

"I withdraw my answer to C", "D could also be the Rope", "Ignore all of the above", and a footnote
such as "* or Mr. Green". The lines of a text that give answers themselves are not asked about.
"""

import re
from collections.abc import Mapping

from tclue.puzzle.grading import vocabulary as v
from tclue.puzzle.grading.answer_lines import lead_of
from tclue.puzzle.grading.answer_text import tokens
from tclue.puzzle.grading.answer_words import AnswerReader

# A sentence about the answer to a letter.
_MENTION = re.compile(
    r"\b(?:for|to|with|answer|question|letter|scratch|forget|cancel|remove|scrap|disregard|ignore|"
    r"withdraw|retract|drop|leave|retracted|withdrawn|whether):? "
    r"(?:(?:my|the|answer|answers|question|line|item|to|for) ){0,3}([a-z])\b(?!')"
    r"|(?:^|[.,;:(] |\b(?:but|that|and|so|if|case) )([a-z])\b"
    r"(?= (?:is|isn't|wasn't|cannot|can't|might|may|could|above|also)\b)"
    r"|^([a-z])(?= ?\()|\bon ([a-z])(?=[:,])"
)
_FOOTNOTE = re.compile(r"\W*(?:\w{1,2}\W+)?(?:or|alternatively|could|might|may)\b")
_EQUALLY = re.compile(
    r"\bif (?:this|that) is (?:(?:marked|deemed) )?(?:not|wrong|the right)\b|"
    r"\balso (?:fits|works)\b|\b(?:fits|works) (?:too|as well|equally)\b|"
    r"\b(?:equally|just as|exactly as|also an?) "
    r"(?:valid|possible|acceptable|likely|good|well|consistent)\b"
)
_LAST_WITHDRAWN = re.compile(
    r"\b(?:(?:withdraw|ignore|retract) (?:that|this|it)|take (?:that|it) back|placeholder|"
    r"(?:the )?above is wrong|scratch that|(?:that|this|it) (?:is|was) wrong|"
    r"(?:that|this) contradicts|cannot be right|"
    r"leave (?:this|it|that) (?:question )?(?:blank|open))\b"
)
_ALL_WITHDRAWN = re.compile(
    r"\b(?:ignore|disregard|scrap|discard|withdraw|retract)\b[^.]{0,30}"
    r"\b(?:answers|everything|all of the above)\b"
    r"|\ball of (?:this|these|the above|them)\b[^.]{0,20}\b(?:wrong|incorrect)\b"
    r"|\bnone of (?:this|these|the above|them)\b[^.]{0,20}\b(?:right|correct)\b"
)


def doubted_letters(
    line: str,
    readers: Mapping[str, AnswerReader],
    stated: Mapping[str, set[str | None]],
    last: str,
) -> set[str]:
    """The letters whose answers a plain line takes back or doubts.

    `stated` has the options that each letter has so far (none if it has no answer), and `last` is
    the letter that "this" and "that" are about, or "".
    """
    answered = {letter for letter, options in stated.items() if options}
    if _ALL_WITHDRAWN.search(line):
        return answered
    doubted = {last} & answered if last and _LAST_WITHDRAWN.search(line) else set()
    words = {*tokens(line)}
    if last in answered and not v.DENIALS.isdisjoint(words) and lead_of(line).turns:
        doubted |= {last} if readers[last].named(line) & stated[last] else set()
    mentioned = {next(filter(None, mention.groups())) for mention in _MENTION.finditer(line)}
    equally, footnote = _EQUALLY.search(line), _FOOTNOTE.match(line)
    if not (mentioned & answered or equally or footnote):
        return doubted
    turns = "but" in words
    for letter in answered:
        named = readers[letter].named(line)
        others = named - stated[letter]
        if letter in mentioned:
            withdrawn = not v.WITHDRAWN.isdisjoint(words) and (not named or named & stated[letter])
            if withdrawn or (others and not turns and not v.OFFERED.isdisjoint(words)):
                doubted.add(letter)
        is_offered = (equally and not turns) or (footnote and readers[letter].offers(line))
        if others and is_offered:
            doubted.add(letter)
    return doubted
