"""Keys: where they come from, and how they are kept out of all output.

* They stand in the environment, or in a `.env` file in the working directory, of which only the
  names of keys are taken; the environment wins. litellm reads no `.env` itself here.
* What equals the value of one is masked in every record, and in everything that the command line
  writes to a screen or a log, tracebacks included: `mask` does both, and `guard` puts it between
  the program and its two output streams. `clean` also takes what only looks like a key, since
  providers repeat keys in part.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO, cast

from tclue.errors import UserError

# Of a `.env` file: these and no other settings.
_KEY_NAME = re.compile(r"_(API_KEY|KEY|TOKEN)$|^AWS_ACCESS_KEY_ID$")
_SECRET_NAME = re.compile(r"_(KEY|KEYS|TOKEN|SECRET|PASSWORD)$|^AWS_SECRET|^AWS_ACCESS_KEY_ID$")
_SHORTEST_SECRET = 8  # shorter values ("none", "EMPTY") are placeholders, and words of many texts
_KEY_LIKE = re.compile(
    r"\b(?:sk|pk|rk|gsk|xai|hf|ghp)[-_][\w*.-]{8,}|\bAIza[\w-]{10,}|\bAKIA\w{12,}"
    r"|(?<=Bearer )\S+|(?<=[?&]key=)[^&\s]+|(?<=://)[^/\s@]+(?=@)"
)
LONGEST_ERROR = 400  # characters


def load_env(path: Path = Path(".env")) -> None:
    """Read the keys that the environment lacks from a `.env` file, if there is one.

    Raises UserError if the file cannot be read.
    """
    if not path.is_file():
        return
    from dotenv import dotenv_values

    try:
        values = dotenv_values(path)
    except (OSError, UnicodeDecodeError):
        raise UserError(
            f"{path}: cannot be read: expected lines such as NAME_API_KEY=..."
        ) from None
    for name, value in values.items():
        if value and _KEY_NAME.search(name) and not os.environ.get(name):
            os.environ[name] = value


def masker() -> Callable[[str], str]:
    """A function that masks the values of the environment's keys, as they are now."""
    names: dict[str, str] = {}
    for name, value in os.environ.items():
        if _SECRET_NAME.search(name) and len(value) >= _SHORTEST_SECRET:
            # As it is, and as it stands in JSON and in Python's own quotes.
            for form in (value, json.dumps(value)[1:-1], repr(value)[1:-1]):
                names.setdefault(form, f"[{name}]")
    if not names:
        return lambda text: text
    # The longest first: a key may be the start of another.
    values = sorted(names, key=lambda value: (-len(value), value))
    pattern = re.compile("|".join(map(re.escape, values)))
    return lambda text: pattern.sub(lambda match: names[match.group()], text)


def mask(text: str) -> str:
    """The text without the values of the environment's keys, tokens and passwords."""
    return masker()(text)


def clean(text: str) -> str:
    """One line of an error, short and without anything that looks like a key."""
    line = " ".join(_KEY_LIKE.sub("[key]", mask(text)).split())
    return line if len(line) <= LONGEST_ERROR else f"{line[:LONGEST_ERROR]}..."


class _Masked:
    """An output stream that masks what is written to it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(mask(text))
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def guard() -> None:
    """Mask what this process writes to its standard output and standard error."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, _Masked):
            setattr(sys, name, cast("TextIO", _Masked(stream)))
