"""Temporal Clue as lm-eval tasks (https://github.com/EleutherAI/lm-evaluation-harness).

docs/howto/lm-eval.md says how to use them, and how lm-eval differs from `tclue bench`. The tasks
are YAML files in `tasks/temporal_clue/` (in a wheel: `tclue/tasks/`). Their functions are the first
part of this module. lm-eval looks for tasks only in its own folder and in an `--include_path`. So
`register` writes a stub for each of our files into lm-eval's folder, which includes our file by its
absolute path; `unregister` removes exactly these stubs; and `run` passes the include path to
lm-eval if there are no stubs. Checked with lm-eval 0.4.13.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from tclue.errors import UserError
from tclue.journal import replace
from tclue.puzzle.grading.grade import GRADERS
from tclue.puzzle.puzzle import Puzzle, answer_lines
from tclue.puzzle.puzzle import band as band_of
from tclue.puzzle.splits import load_set

if TYPE_CHECKING:
    from datasets import Dataset


def dataset(puzzles: str, shots: str, band: str | None = None, **_: Any) -> dict[str, Dataset]:
    """The puzzles of the evaluation (`test`), and those for few-shot examples (`shots`).

    `band`, one of `BANDS`, selects the puzzles of a size for the evaluation. lm-eval also passes
    the task's metadata, which is ignored.
    """
    from datasets import Dataset

    selected = [p for p in load_set(puzzles).puzzles if band in (None, band_of(p.num_clues))]
    return {
        "test": Dataset.from_list([_document(puzzle) for puzzle in selected]),
        "shots": Dataset.from_list([_document(puzzle) for puzzle in load_set(shots).puzzles]),
    }


def _document(puzzle: Puzzle) -> dict[str, str]:
    answers = answer_lines(puzzle.solution)
    return {"id": puzzle.id, "prompt": puzzle.prompt, "answers": answers}


def process_results(
    doc: dict[str, str], results: Sequence[str | Sequence[str | None] | None]
) -> dict[str, float]:
    """metric -> its mean over the responses to a document.

    `results` has one item: a response, or a list of responses if the task keeps several. A response
    is None if the reply had no text and the requests are concurrent through litellm; otherwise
    lm-eval replaces it with "".
    """
    solution = dict(line.split(". ", 1) for line in doc["answers"].splitlines())
    puzzle = Puzzle(prompt=doc["prompt"], solution=solution, id=doc["id"])
    responses = [results[0]] if results[0] is None or isinstance(results[0], str) else results[0]
    texts = [text or "" for text in responses]
    sound = [GRADERS["sound"].grade(puzzle, text) for text in texts]
    published = [GRADERS["published"].grade(puzzle, text) for text in texts]
    return {
        "accuracy": fmean(grade.accuracy for grade in sound),
        "solved": fmean(grade.solved for grade in sound),
        "published_accuracy": fmean(grade.accuracy for grade in published),
    }


_FOLDER = "temporal_clue"
_MARK = "# Written by `tclue lm-eval --register`; `tclue lm-eval --unregister` takes it away.\n"


def tasks_folder() -> Path:
    """The folder that contains our task folder: in the package, or next to it in a checkout.

    Raises UserError if it is in neither place.
    """
    package = Path(str(files("tclue")))
    for folder in (package / "tasks", package.parent / "tasks"):
        if (folder / _FOLDER).is_dir():
            return folder
    raise UserError(f"{package}: the lm-eval task is missing: expected tasks/{_FOLDER} in it")


def _stub_folder() -> Path:
    """Our folder among those in which lm-eval looks for tasks. lm-eval is not imported."""
    spec = find_spec("lm_eval")
    if spec is None or spec.origin is None:
        raise UserError('lm-eval is not installed: pip install "tclue[lm-eval]"')
    return Path(spec.origin).parent / "tasks" / _FOLDER


def _stubs() -> dict[Path, str]:
    """stub file -> its content."""
    return {
        _stub_folder() / yaml.name: f"{_MARK}include: {json.dumps(str(yaml))}\n"
        for yaml in sorted((tasks_folder() / _FOLDER).glob("*.yaml"))
    }


def _text(stub: Path) -> str | None:
    return stub.read_text(encoding="utf-8", errors="replace") if stub.exists() else None


def register() -> str:
    """Make `lm_eval --tasks temporal_clue` find the task. Returns a line that says so.

    Raises UserError if lm-eval is not installed, if its folder cannot be written, or if there is a
    file of that name which tclue did not write.
    """
    stubs = _stubs()
    place = _stub_folder()
    try:
        stale = {stub: text for stub, text in stubs.items() if _text(stub) != text}
        for stub in stale:
            if not (_text(stub) or _MARK).startswith(_MARK):
                raise UserError(
                    f"{stub}: not written by tclue, so it was not changed: move it away first"
                )
        for stub, text in stale.items():
            place.mkdir(exist_ok=True)
            replace(stub, [text.encode()])
    except OSError as error:
        raise UserError(
            f"{place}: cannot be written: {error.strerror}; use `tclue lm-eval --tasks "
            "temporal_clue`, which does not need it"
        ) from None
    names = ", ".join(stub.stem for stub in stubs)
    return f"{'registered' if stale else 'already registered'} {names} in {place}"


def unregister() -> str:
    """Remove the files that `register` wrote, and no others. Returns a line that says so.

    Raises UserError if lm-eval is not installed or its folder cannot be written.
    """
    place = _stub_folder()
    try:
        ours = [s for s in sorted(place.glob("*.yaml")) if (_text(s) or "").startswith(_MARK)]
        for stub in ours:
            stub.unlink()
        if ours and not any(place.iterdir()):
            place.rmdir()
    except OSError as error:
        raise UserError(f"{place}: cannot be written: {error.strerror}") from None
    if not ours:
        return f"nothing is registered in {place}"
    return f"removed {', '.join(stub.stem for stub in ours)} from {place}"


def run(arguments: list[str]) -> int:
    """Run lm-eval's command with our task. Returns its exit code.

    The arguments are lm-eval's, with a subcommand (`run`, `ls`, `validate`), or without one as in
    older releases. Raises UserError if lm-eval is not installed, or if the arguments have an
    include path that would replace ours.
    """
    registered = all(_text(stub) == text for stub, text in _stubs().items())
    if arguments and not registered:
        if any(argument.startswith("--include_path") for argument in arguments):
            raise UserError(
                "--include_path: lm-eval accepts only one, which tclue needs: run "
                "`tclue lm-eval --register` first"
            )
        arguments = [*arguments, "--include_path", str(tasks_folder())]
    # -P: do not import from the working directory, like the `lm_eval` script.
    command = [sys.executable, "-P", "-m", "lm_eval", *arguments]
    try:
        code = subprocess.run(command, check=False).returncode
    except KeyboardInterrupt:
        return 130  # lm-eval was interrupted too and has reported it
    return code if code >= 0 else 128 - code
