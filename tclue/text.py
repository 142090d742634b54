"""Texts as a person reads them: without control characters; dollars; counts with their noun."""

import re
from decimal import Decimal
from itertools import groupby
from unicodedata import category

_MOST_MARKS = 4  # combining marks on one character; hundreds would cover the lines around it
_LONGEST_LINE = 4000  # characters of an error, which may list a whole board
# Escape sequences for colours and the cursor, which progress bars need in a terminal.
_FOR_PROGRESS = r"\x1b\[[\d;?]*[A-Za-z]|\r"


def clean(text: str) -> str:
    """The text on one line, with what no screen or file format can show replaced.

    These are the characters of Unicode's categories C, Zl and Zp: control, format (also those of
    bidirectional text), surrogate, private-use and unassigned characters, and line and paragraph
    separators. Of many combining marks on one character only the first are kept.
    """
    if text.isascii() and text.isprintable():
        return text
    kept = []
    for is_mark, group in groupby(text, lambda c: category(c) in ("Mn", "Me")):
        characters = list(group)[: _MOST_MARKS if is_mark else None]
        kept += ["\ufffd" if category(c) in _UNSHOWABLE else c for c in characters]
    return "".join(kept)


_UNSHOWABLE = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))


def screen(text: str, terminal: bool) -> str:
    """Lines of text without control sequences, except those of progress bars in a terminal."""
    hidden = rf"({_FOR_PROGRESS})|[^\n\t -~]+" if terminal else r"()[^\n\t -~]+"
    return re.sub(hidden, lambda found: found[1] or clean(found[0]), text)


def shortened(text: str) -> str:
    """The text, with the middle left out of a long text and of words that are no paths."""
    ends = f"{text[:2000]} ... {text[-1000:]}" if len(text) > _LONGEST_LINE else text
    return re.sub(r"(\S{160})\S{160,}(\S{80})", r"\1...\2", ends)


def counted(count: int, noun: str) -> str:
    """A number with its noun: 1 puzzle, 1,024 puzzles."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def dollars(usd: float | None, digits: int = 3) -> str:
    """A cost in US dollars to so many significant digits: $0.0123, $1,230, $0, or unknown."""
    return "unknown" if usd is None else f"${format_number(usd, digits)}"


def money(usd: float | None) -> str:
    """A sum of US dollars to the cent; below a dollar, to two significant digits; or unknown."""
    return f"${usd:,.2f}" if usd is not None and usd >= 1 else dollars(usd, 2)


def format_number(value: float, digits: int = 3) -> str:
    """A number of 0 or more to so many significant digits, never with an exponent."""
    if value == 0:
        return "0"
    text = f"{Decimal(f'{value:.{digits - 1}e}'):,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
