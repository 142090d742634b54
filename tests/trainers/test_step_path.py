"""The path of a training step stays short enough to be read in one sitting.

One iteration of the preset `tiny` is traced, as `tclue train` takes it, and the files that it
enters are counted: those of the trainer, and those of the decode loop that the trainer shares with
`hf:` models. Making puzzles is left aside, and so is what is not training: the game
(`tclue.puzzle`, where responses are graded), a prompt's tokens, a response's text and the mean. A
file counts as a whole, whether or not all of it is entered; its blank lines, comments and
docstrings do not.
"""

from __future__ import annotations

import ast
import io
import sys
import tokenize
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from places import ROOT

pytest.importorskip("torch", reason="training needs the extra `train`")
pytest.importorskip("transformers", reason="training needs the extra `train`")
pytestmark = pytest.mark.model

MOST_FILES, MOST_LINES = 10, 850
TRAINER = ROOT / "trainers" / "tclue_grpo"
MODELS = ROOT / "tclue" / "bench" / "models"
# The modules of `tclue.bench.models` that are not the decode loop's: from a prompt to tokens, and
# from tokens to a text.
BESIDE = (MODELS / "chat_template.py",)
SILENT = {
    *(tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT),
    tokenize.ENDMARKER,
}


@contextmanager
def entered() -> Iterator[set[Path]]:
    """The files of the functions that are called within."""
    files: set[str] = set()

    def look(frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            files.add(frame.f_code.co_filename)

    paths: set[Path] = set()
    sys.setprofile(look)
    try:
        yield paths
    finally:
        sys.setprofile(None)
        paths |= {Path(name) for name in files}


def code_lines(text: str) -> int:
    """Lines with code on them: no blank lines, no comments, no docstrings."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in SILENT:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        # A string that is a statement of its own is a docstring.
        match node:
            case ast.Expr(ast.Constant(str())):
                lines.difference_update(range(node.lineno, (node.end_lineno or 0) + 1))
    return len(lines)


def test_lines_of_code_are_counted() -> None:
    text = '''"""Two
lines."""

import os  # one


def f(
    x: int,
) -> str:
    """A docstring."""
    # a comment
    return """not a
docstring"""
'''
    assert code_lines(text) == 6


def test_the_path_of_a_step_is_read_in_one_sitting(monkeypatch: pytest.MonkeyPatch) -> None:
    from tclue_grpo.build import build
    from tclue_grpo.config_file import load
    from tclue_grpo.step import iterate

    state = build(load("tiny"))
    try:
        puzzles = state.puzzles.take(state.config.data.puzzles_per_iteration)
        monkeypatch.setattr(state.puzzles, "take", lambda count: puzzles[:count])
        with entered() as files:
            numbers = iterate(state)
    finally:
        state.engine.close()
        state.puzzles.close()
    assert numbers["groups"] > 0
    assert numbers["skipped_steps"] == 0
    path = {
        str(file.relative_to(ROOT)): code_lines(file.read_text(encoding="utf-8"))
        for file in sorted(files)
        if file.parent in (TRAINER, MODELS) and file not in BESIDE
    }
    # Nothing that a step needs was overlooked.
    assert {"step.py", "losses.py", "decode.py"} <= {Path(name).name for name in path}
    assert len(path) <= MOST_FILES, path
    assert sum(path.values()) <= MOST_LINES, path
