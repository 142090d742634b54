"""Values that took long to compute, as files in the user's cache folder.

* The name of an entry is a digest of all that its value was computed from: the caller's inputs, the
  program's own files and the version of Python. So it is never out of date.
* An entry begins with a digest of its name and its value, which is JSON and is read strictly. An
  entry that is damaged, or was made for another name, counts as missing.
* The entries that were used last are kept. A cache that cannot be read or written is no error,
  because everything in it can be computed again.
"""

import hashlib
import json
import os
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import tclue
from tclue.config_files import cache_folder, write_cached
from tclue.errors import UserError
from tclue.strict import parse

MOST = 2000  # entries, of about 10 kB each
_T = TypeVar("_T")
# Without a home folder, `Path.home` raises RuntimeError.
_ERRORS = (OSError, RuntimeError, UserError, ValueError)


def _program() -> str:
    """A digest of this program's own files: other code may compute other values."""
    digest, package = hashlib.sha256(sys.version.encode()), Path(tclue.__file__).parent
    for path in sorted(package.rglob("*")):
        if path.suffix in (".py", ".toml"):
            data = path.read_bytes()
            digest.update(f"{path.relative_to(package)} {len(data)}\n".encode() + data)
    return digest.hexdigest()


# Now, and not at the first entry: the files may be changed while the program runs.
_PROGRAM = _program()


def entry_name(*inputs: Any) -> str:
    """The name of the entry whose value is computed from these inputs, which JSON can hold."""
    text = json.dumps([_PROGRAM, *inputs], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def load(kind: type[_T], name: str) -> _T | None:
    """The value of an entry as a dataclass; None if there is no entry that can be relied on."""
    with suppress(*_ERRORS):
        path = _path(name)
        digest, _, value = path.read_bytes().partition(b"\n")
        if digest == _digest(name, value):
            found = parse(kind, value, str(path))
            with suppress(OSError):  # the file may be another user's
                os.utime(path)  # it was used
            return found
    return None


def save(name: str, value: Any) -> None:
    """Write a dataclass as the value of an entry, if possible; remove entries above the limit."""
    with suppress(*_ERRORS):
        text = json.dumps(asdict(value), allow_nan=False).encode()
        path = _path(name)
        write_cached(path, _digest(name, text) + b"\n" + text)
        if len(entries := list(path.parent.iterdir())) > MOST:
            entries.sort(key=lambda entry: entry.stat().st_mtime)
            for entry in entries[: -MOST * 3 // 4]:
                entry.unlink(missing_ok=True)


def _path(name: str) -> Path:
    return cache_folder() / "numbers" / f"{name}.json"


def _digest(name: str, value: bytes) -> bytes:
    return hashlib.sha256(name.encode() + value).hexdigest().encode()
