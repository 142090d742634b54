"""Writes many puzzles into a file, in parallel; an interrupted run can be continued.

Puzzle i of a file has seed S + i. While it is written, the file is FILE.partial, one puzzle a line,
in order; the same command continues it after the last complete line. To tell whether the command
is the same, it makes the last line's puzzle again: a file that differs is refused.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import parent_process
from pathlib import Path
from threading import Thread
from typing import Literal

from tclue.errors import UserError
from tclue.puzzle.draw import GenerationSettings
from tclue.puzzle.puzzle import Puzzle, house_line, published_list

# Seeds handed to a worker at a time: few enough that progress moves, and an interrupt loses little.
_CHUNK = 4


@dataclass(frozen=True)
class Batch:
    """The puzzles to make."""

    # Number of puzzles, and the seed of the first.
    count: int
    seed: int
    # The difficulty's name, and its settings, changed or not.
    difficulty: str
    settings: GenerationSettings
    # Prove each puzzle again by the CP-SAT model.
    reprove: bool = False
    # Worker processes.
    jobs: int = 1

    def __post_init__(self) -> None:
        if self.count < 1:
            raise UserError(f"-n is {self.count}: expected 1 or more puzzles")
        if self.seed < 0:
            raise UserError(f"--seed is {self.seed}: expected 0 or more")
        if self.jobs < 1:
            raise UserError(f"-j is {self.jobs}: expected 1 or more processes")


def make_line(batch: Batch, seed: int) -> str:
    """Make a puzzle, prove it as the batch demands, and return its line."""
    from tclue.puzzle.generate import make

    made = make(seed, batch.difficulty, batch.settings)
    if batch.reprove:
        from tclue.puzzle import cpsat

        proof = cpsat.prove(made.puzzle, "history", known=made.case)
        if proof.cases != (made.case,):
            raise AssertionError(f"seed {seed}: the CP-SAT model finds {proof.verdict} solutions")
    return house_line(made.puzzle)


def lines(batch: Batch, done: int = 0) -> Iterator[str]:
    """The batch's lines in the order of their seeds, without the first `done`."""
    seeds = range(batch.seed + done, batch.seed + batch.count)
    if batch.jobs == 1:
        for seed in seeds:
            yield make_line(batch, seed)
        return
    with ProcessPoolExecutor(batch.jobs, initializer=serve_parent) as pool:
        try:
            yield from pool.map(make_line, [batch] * len(seeds), seeds, chunksize=_CHUNK)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def serve_parent() -> None:
    """Leave Ctrl-C to the parent, which then stops the workers; end with it if it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def write(
    batch: Batch,
    path: Path,
    shape: Literal["house", "published"],
    advance: Callable[[int], None],
) -> None:
    """Write the batch to a file, continuing what an interrupted run left.

    `advance` is called with the number of puzzles done. Raises UserError if the file exists, or if
    its beginning was left by another command.
    """
    if path.exists():
        raise UserError(f"{path} exists: remove it, or name another file")
    partial = path.with_name(f"{path.name}.partial")
    done = 0

    def resume_note() -> str:
        """What to tell the user when the command ends early."""
        progress = f"{done} of {batch.count} puzzles are in {partial}"
        return f"; {progress}, and the same command goes on from there" if done else ""

    try:
        done = _cut_torn_line(partial, batch)
        advance(done)
        with partial.open("a", encoding="utf-8") as file:
            for line in lines(batch, done):
                file.write(line)
                file.flush()
                done += 1
                advance(done)
        if shape == "published":
            text = partial.read_text(encoding="utf-8")
            puzzles = (Puzzle.from_dict(json.loads(line)) for line in text.split("\n") if line)
            draft = path.with_name(f"{path.name}.draft")
            draft.write_text(published_list(puzzles), encoding="utf-8")
            draft.replace(path)
            partial.unlink()
        else:
            partial.replace(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror}{resume_note()}") from None
    except KeyboardInterrupt:
        raise KeyboardInterrupt(resume_note()) from None


def _cut_torn_line(partial: Path, batch: Batch) -> int:
    """Cut off an incomplete last line; return how many puzzles the file holds."""
    if not partial.exists():
        return 0
    *complete, torn = partial.read_bytes().split(b"\n")

    def is_from_batch(content: bytes, index: int) -> bool:
        line = make_line(batch, batch.seed + index) if index < batch.count else ""
        return line.encode().startswith(content)

    if (complete and not is_from_batch(complete[-1] + b"\n", len(complete) - 1)) or (
        torn and not is_from_batch(torn, len(complete))
    ):
        raise UserError(
            f"{partial} was left by another command: finish that one, or remove the file"
        )
    if torn:
        os.truncate(partial, partial.stat().st_size - len(torn))
    return len(complete)
