"""Temporal Clue as tasks of lm-eval (https://github.com/EleutherAI/lm-evaluation-harness).

    tclue lm-eval --register
    lm_eval --tasks temporal_clue --model hf --model_args pretrained=PATH --apply_chat_template

The tasks are YAML in `tasks/temporal_clue/`, which a wheel carries as `tclue/tasks/`; their
functions are the first part of this module. lm-eval looks for tasks in its own folder and in an
`--include_path`, nowhere else. So `register` writes a stub for each of our files into lm-eval's
folder that includes ours by its absolute path, `unregister` takes exactly these away, and `run`
gives lm-eval the include path where there are no stubs. Checked with lm-eval 0.4.13.

Two differences to `tclue bench` remain, and are lm-eval's. Where a prompt and the limit do not fit
the model's context together, it cuts the prompt's beginning, with a warning, while bench makes the
limit smaller; `--gen_kwargs max_gen_toks=N` leaves room. And a failed request, tried three times,
ends the whole evaluation, while bench records it and goes on.
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
from tclue.puzzle.grading.grade import GRADERS
from tclue.puzzle.puzzle import Puzzle
from tclue.puzzle.puzzle import band as band_of
from tclue.puzzle.splits import load_set

if TYPE_CHECKING:
    from datasets import Dataset

# The task


def dataset(puzzles: str, shots: str, band: str | None = None, **_: Any) -> dict[str, Dataset]:
    """The puzzle sets to ask (`test`) and to draw few-shot examples from (`shots`).

    With `band`, one of `BANDS`, only the puzzles of that size are asked. lm-eval also passes the
    task's metadata, with model arguments in it, which is ignored.
    """
    from datasets import Dataset

    selected = [p for p in load_set(puzzles).puzzles if band in (None, band_of(p.num_clues))]
    return {
        "test": Dataset.from_list([_document(puzzle) for puzzle in selected]),
        "shots": Dataset.from_list([_document(puzzle) for puzzle in load_set(shots).puzzles]),
    }


def _document(puzzle: Puzzle) -> dict[str, str]:
    answers = "\n".join(f"{letter}. {answer}" for letter, answer in puzzle.solution.items())
    return {"id": puzzle.id, "prompt": puzzle.prompt, "answers": answers}


def process_results(
    doc: dict[str, str], results: Sequence[str | Sequence[str | None] | None]
) -> dict[str, float]:
    """metric -> its mean over the responses to a document.

    `results` holds one item: a response, or a list of them where the task keeps several. A response
    is None where the reply held no text: lm-eval writes "" for that, but not for concurrent
    requests through litellm.
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


# Where lm-eval finds it

_FOLDER = "temporal_clue"
_MARK = "# Written by `tclue lm-eval --register`; `tclue lm-eval --unregister` takes it away.\n"


def tasks_folder() -> Path:
    """The folder of our task folder: beside the package's modules, or beside a checkout's package.

    Raises UserError where it is in neither place.
    """
    package = Path(str(files("tclue")))
    for folder in (package / "tasks", package.parent / "tasks"):
        if (folder / _FOLDER).is_dir():
            return folder
    raise UserError(f"{package}: the lm-eval task is missing: expected {_FOLDER} in tasks/ there")


def _lm_eval_tasks() -> Path:
    """The folder in which the installed lm-eval looks for tasks; lm-eval is not imported."""
    spec = find_spec("lm_eval")
    if spec is None or spec.origin is None:
        raise UserError('lm-eval is not installed: pip install "tclue[lm-eval]"')
    return Path(spec.origin).parent / "tasks"


def _stubs() -> dict[Path, str]:
    """Stub file -> what it holds."""
    place = _lm_eval_tasks() / _FOLDER
    return {
        place / yaml.name: f"{_MARK}include: {json.dumps(str(yaml))}\n"
        for yaml in sorted((tasks_folder() / _FOLDER).glob("*.yaml"))
    }


def _text(stub: Path) -> str | None:
    return stub.read_text(encoding="utf-8", errors="replace") if stub.exists() else None


def register() -> str:
    """Let plain `lm_eval --tasks temporal_clue` find the task; say so in a line.

    Raises UserError where lm-eval is not installed, its folder cannot be written, or a file of
    somebody else's stands there.
    """
    stubs = _stubs()
    place = _lm_eval_tasks() / _FOLDER
    try:
        stale = {stub: text for stub, text in stubs.items() if _text(stub) != text}
        for stub in stale:
            if not (_text(stub) or _MARK).startswith(_MARK):
                raise UserError(
                    f"{stub}: not written by tclue, so left as it is: move it away first"
                )
        for stub, text in stale.items():
            place.mkdir(exist_ok=True)
            stub.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"{place}: cannot be written: {error.strerror}. "
            "`tclue lm-eval --tasks temporal_clue` works without"
        ) from None
    names = ", ".join(stub.stem for stub in stubs)
    return f"{'registered' if stale else 'already registered'} {names} in {place}"


def unregister() -> str:
    """Take away what `register` wrote, and nothing else; say so in a line.

    Raises UserError where lm-eval is not installed or its folder cannot be written.
    """
    place = _lm_eval_tasks() / _FOLDER
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
    return f"took {', '.join(stub.stem for stub in ours)} out of {place}"


def run(arguments: list[str]) -> int:
    """Run lm-eval's own command so that it finds our task; return its exit code.

    Arguments are lm-eval's, with a subcommand (`run`, `ls`, `validate`) or, as in older releases,
    without. Raises UserError if lm-eval is not installed, or if an include path is given that would
    replace ours.
    """
    registered = all(_text(stub) == text for stub, text in _stubs().items())
    if arguments and not registered:
        if any(argument.startswith("--include_path") for argument in arguments):
            raise UserError(
                "--include_path: lm-eval takes one, and it is ours here: "
                "`tclue lm-eval --register` first"
            )
        arguments = [*arguments, "--include_path", str(tasks_folder())]
    # -P: as with the `lm_eval` script, the working directory is no place to import from.
    command = [sys.executable, "-P", "-m", "lm_eval", *arguments]
    try:
        code = subprocess.run(command, check=False).returncode
    except KeyboardInterrupt:
        return 130  # lm-eval was interrupted too, and says what there is to say
    return code if code >= 0 else 128 - code
