"""Texts as a person reads them: without control characters; dollars; counts with their noun."""

import re
from decimal import Decimal

# Control characters, halves of characters, and those that turn the direction of writing around.
_UNSHOWABLE = re.compile(
    "[^\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
    "|[\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]"
)


def clean(text: str) -> str:
    """The text on one line, with what no screen or file format can show replaced."""
    return _UNSHOWABLE.sub("\ufffd", text)


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
