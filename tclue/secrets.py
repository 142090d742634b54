"""Keys: where they come from, and how they are kept out of all output.

* Keys are in the environment, or in a `.env` file in the working directory, of which only variables
  with names of keys are read. The environment takes precedence. litellm's own reading of `.env` is
  turned off.
* The value of a key is masked in every record and in everything that the command line writes to a
  screen or a log, including tracebacks. `mask` does that, and `guard` applies it to both output
  streams. `error_line` also masks what looks like a key, because providers repeat parts of keys.
"""

import io
import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO, cast

from tclue.config_files import read_text
from tclue.text import clean, screen

# Only variables with such names are read from a `.env` file.
_KEY_NAME = re.compile(r"_(API_KEY|KEY|TOKEN)$|^AWS_ACCESS_KEY_ID$")
_SECRET_NAME = re.compile(r"_(KEY|KEYS|TOKEN|SECRET|PASSWORD)$|^AWS_SECRET|^AWS_ACCESS_KEY_ID$")
_SHORTEST_SECRET = 8  # shorter values such as "none" are placeholders, and occur in other texts
_KEY_LIKE = re.compile(
    r"\b(?:sk|pk|rk|gsk|xai|hf|ghp)[-_][\w*.-]{8,}|\bAIza[\w-]{10,}|\bAKIA\w{12,}"
    r"|(?<=Bearer )\S+|(?<=[?&]key=)[^&\s]+|(?<=://)[^/\s@]+(?=@)"
)
LONGEST_ERROR = 400  # characters


def load_env(path: Path = Path(".env")) -> None:
    """Read keys from a `.env` file, if there is one, that are not in the environment.

    Raises UserError if the file cannot be read.
    """
    if not path.is_file():
        return
    from dotenv import dotenv_values

    values = dotenv_values(stream=io.StringIO(read_text(path)))
    for name, value in values.items():
        if value and _KEY_NAME.search(name) and not os.environ.get(name):
            os.environ[name] = value


def masker() -> Callable[[str], str]:
    """A function that masks the current values of the keys in the environment."""
    names: dict[str, str] = {}
    for name, value in os.environ.items():
        if _SECRET_NAME.search(name) and len(value) >= _SHORTEST_SECRET:
            # As it is, and as it is written in JSON and by Python's `repr`.
            for form in (value, json.dumps(value)[1:-1], repr(value)[1:-1]):
                names.setdefault(form, f"[{name}]")
    if not names:
        return lambda text: text
    # The longest first, because a key may be the beginning of another.
    values = sorted(names, key=lambda value: (-len(value), value))
    pattern = re.compile("|".join(map(re.escape, values)))
    return lambda text: pattern.sub(lambda match: names[match.group()], text)


def mask_values(value: Any, mask: Callable[[str], str]) -> Any:
    """JSON data with its texts masked. A secret may be equal to a field's name, which stays."""
    match value:
        case str():
            return mask(value)
        case dict():
            return {name: mask_values(inner, mask) for name, inner in value.items()}
        case list() | tuple():
            return [mask_values(inner, mask) for inner in value]
    return value


def mask(text: str) -> str:
    """A text without the values of the keys, tokens and passwords in the environment."""
    return masker()(text)


def error_line(text: str) -> str:
    """A message from outside on one short line, without anything that looks like a key."""
    if len(text) > 100_000:  # then the last word may be a part of a key
        text = (text[:100_000].rsplit(None, 1) or [""])[0]
    line = clean(" ".join(_KEY_LIKE.sub("[key]", mask(text)).split())) or "no message"
    return line if len(line) <= LONGEST_ERROR else f"{line[:LONGEST_ERROR]}..."


class _Masked:
    """An output stream that masks keys and removes control sequences.

    What standard output writes to a file or a pipe is data, and only keys are masked in it.
    """

    def __init__(self, stream: TextIO, data: bool) -> None:
        self._stream, self._terminal = stream, stream.isatty()
        self._data = data and not self._terminal

    def write(self, text: str) -> int:
        masked = mask(text)
        self._stream.write(masked if self._data else screen(masked, self._terminal))
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def guard() -> None:
    """Mask keys and control sequences in standard output and standard error."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, _Masked):
            setattr(sys, name, cast("TextIO", _Masked(stream, name == "stdout")))
