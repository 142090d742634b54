"""Where runs are: the run folders below a results folder, and one by its name."""

from __future__ import annotations

from pathlib import Path

from tclue.errors import UserError


def run_folders(results: Path) -> list[Path]:
    """The folders below a results folder that hold records, by name; none where it is not there.

    Raises UserError where it is no folder.
    """
    if not results.exists():
        return []
    try:
        entries = sorted(results.iterdir(), key=lambda entry: entry.name)
    except OSError as error:
        raise UserError(
            f"{results}: cannot be read: {error.strerror}: expected a folder of run folders"
        ) from None
    records = ("run.json", "responses.jsonl")
    return [entry for entry in entries if any((entry / name).is_file() for name in records)]


def find_run(name: str, results: Path) -> Path:
    """The run folder of that path, or of that name below a results folder.

    Raises UserError where there is none.
    """
    for folder in (Path(name), results / name):
        if (folder / "run.json").is_file():
            return folder
    raise UserError(f"{name}: no such run: expected a run folder, or the name of one in {results}")
