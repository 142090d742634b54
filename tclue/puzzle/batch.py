"""Writes many puzzles into a file, in parallel. The same command resumes an interrupted one.

Puzzle i of a file has seed S + i. Until the file is complete it is called FILE.partial and holds
one puzzle per line, in the order of the seeds. The same command continues after the last complete
line. It first generates that line's puzzle again and refuses the file if the two differ, because
then another command began it.
"""

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
from tclue.journal import replace, sync
from tclue.puzzle.draw import GenerationSettings
from tclue.puzzle.files import read_puzzles
from tclue.puzzle.puzzle import house_line, published_list
from tclue.strict import LARGEST_SEED

# Seeds per task of a worker: few, so that progress is shown often and an interrupt loses little.
_CHUNK = 4


@dataclass(frozen=True)
class Batch:
    """The puzzles to generate."""

    # Number of puzzles, and the seed of the first.
    count: int
    seed: int
    # The difficulty's name, and its settings with the user's changes.
    difficulty: str
    settings: GenerationSettings
    # Whether the CP-SAT model proves each puzzle too.
    reprove: bool = False
    # Worker processes.
    jobs: int = 1

    def __post_init__(self) -> None:
        if self.count < 1:
            raise UserError(f"-n is {self.count}: expected 1 or more puzzles")
        if not 0 <= self.seed <= LARGEST_SEED - self.count:
            last = LARGEST_SEED - self.count
            raise UserError(f"--seed is {self.seed}: expected 0 to {last}")
        if self.jobs < 1:
            raise UserError(f"-j is {self.jobs}: expected 1 or more processes")


def make_line(batch: Batch, seed: int) -> str:
    """Generate a puzzle and return its line; the CP-SAT model proves it too if `reprove` is set."""
    from tclue.puzzle.generate import make

    made = make(seed, batch.difficulty, batch.settings)
    if batch.reprove:
        from tclue.puzzle import cpsat

        proof = cpsat.prove(made.puzzle, "history")
        if proof.cases != (made.case,):
            raise AssertionError(f"seed {seed}: the CP-SAT model finds {proof.verdict} solutions")
    return house_line(made.puzzle)


def lines(batch: Batch, done: int = 0) -> Iterator[str]:
    """The lines of a batch in the order of their seeds, after the first `done` of them."""
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
    """Make a worker ignore Ctrl-C, which its parent handles, and exit if the parent is killed."""
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
    """Write a batch to a file, or resume where an interrupted command stopped.

    `advance` is called with the number of puzzles written so far. Raises UserError if the file
    exists, if another command wrote its beginning, or if it cannot be written.
    """
    if path.exists():
        raise UserError(f"{path} already exists: remove it, or name another file")
    partial = path.with_name(f"{path.name}.partial")
    done = 0

    def resume_note() -> str:
        """What to tell the user when the command ends early."""
        progress = f"{done} of {batch.count} puzzles are in {partial}"
        return f"; {progress}, and the same command resumes there" if done else ""

    try:
        done = _cut_torn_line(partial, batch)
        advance(done)
        with partial.open("a", encoding="utf-8") as file:
            for line in lines(batch, done):
                file.write(line)
                file.flush()
                done += 1
                advance(done)
        sync(partial)
        if shape == "published":
            replace(path, [published_list(read_puzzles(partial)).encode()])
            partial.unlink()
        else:
            partial.replace(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror}{resume_note()}") from None
    except KeyboardInterrupt:
        raise KeyboardInterrupt(resume_note()) from None


def _cut_torn_line(partial: Path, batch: Batch) -> int:
    """Cut off an incomplete last line, and return the number of puzzles in the file."""
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
            f"{partial} was begun by another command: finish that command, or remove the file"
        )
    if torn:
        os.truncate(partial, partial.stat().st_size - len(torn))
    return len(complete)
