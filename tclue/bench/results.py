"""Lists the runs of a results folder, finds one by its name, and removes and restores runs.

Paid replies are never deleted: a removed run lies in `.removed` of its results folder, where no
command reads it.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path

from tclue.bench.records import run_folders
from tclue.bench.stats.run_numbers import read_numbers
from tclue.bench.stats.summary import Summary
from tclue.errors import UserError
from tclue.journal import locked
from tclue.text import shortened

REMOVED = ".removed"
_CANDIDATES = 8


@dataclass(frozen=True)
class RunListing:
    """A line of `tclue results`."""

    run: str
    # a beginning of the run's name that is enough for every command
    name: str
    # complete, incomplete, or why the records cannot be read
    state: str
    # None if the records cannot be read
    summary: Summary | None = None
    # of the last scored response, UTC; None if it is not recorded
    day: str | None = None


def list_runs(results: Path) -> list[RunListing]:
    """Every run of a results folder, by name."""
    folders = run_folders(results)
    names = [folder.name for folder in folders]
    return [_listed(folder, short_name(folder.name, names)) for folder in folders]


def _listed(folder: Path, name: str) -> RunListing:
    try:
        run = read_numbers(folder)
    except (UserError, OSError) as error:
        return RunListing(folder.name, name, shortened(f"cannot be read: {error}"))
    state = "complete" if run.summary.complete else "incomplete"
    return RunListing(folder.name, name, state, run.summary, run.day)


def find_run(name: str, results: Path, *, paths: bool = True) -> Path:
    """The run in a results folder whose name begins with a text, or with `paths` a run's folder.

    Raises UserError if there is none, or more than one.
    """
    folders = run_folders(results)
    found = [folder for folder in folders if folder.name == name] or [
        folder for folder in folders if name and folder.name.startswith(name)
    ]
    if len(found) == 1:
        return found[0]
    if paths and (Path(name) / "run.json").is_file():
        return Path(name)
    if not folders:
        raise UserError(f"{name}: there are no runs in {results}")
    names = [folder.name for folder in folders]
    listed = [short_name(folder.name, names) for folder in found or folders]
    more = f" and {len(listed) - _CANDIDATES} more" if len(listed) > _CANDIDATES else ""
    raise UserError(
        f"{name or '(empty)'}: {'several runs' if found else 'no run'} in {results} with such a "
        f"name: expected one of {', '.join(listed[:_CANDIDATES])}{more}"
    )


def short_name(run: str, runs: Sequence[str]) -> str:
    """The shortest beginning of a run's name, with 4 digits of its hash, that no other run has."""
    for length in range(run.rfind("--") + 6, len(run)):
        if sum(other.startswith(run[:length]) for other in runs) <= 1:
            return run[:length]
    return run


def remove(name: str, results: Path) -> Path:
    """Move a run folder into `.removed`, with a number if its name is taken there; the new path.

    Raises UserError while another process writes the run.
    """
    folder = find_run(name, results, paths=False)
    if folder.is_symlink():
        raise UserError(f"{folder}: it is a link: expected a folder, which can be moved")
    busy = "another process is writing this run: let it finish, or stop it"
    lock = locked(folder, busy, "expected a file system with locks")
    try:
        aside = results / REMOVED
        aside.mkdir(exist_ok=True)
        names = chain([folder.name], (f"{folder.name}~{number}" for number in count(2)))
        return folder.rename(next(aside / name for name in names if not (aside / name).exists()))
    finally:
        os.close(lock)


def restore(name: str, results: Path) -> Path:
    """Move a run that was removed back; the new path. Raises UserError if its name is taken."""
    folder = find_run(name, results / REMOVED, paths=False)
    target = results / re.sub(r"~\d+$", "", folder.name)
    if target.exists():
        raise UserError(f"{target}: already exists: remove it first with `tclue results --remove`")
    return folder.rename(target)
