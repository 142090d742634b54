"""Fresh puzzles to train on, in an order that a seed decides.

Puzzle i of a run has a generator seed of its own in the training range of its difficulty. A puzzle
whose prompt is in a shipped split, or among those that the run is measured on, is passed over, and
so is one that the run has no use for: the base was trained on it, or it is too long.
Worker processes make the next ones ahead. With `limit`, the first so many puzzles come again and
again: training on 16 puzzles is a known trial of whether anything is learned at all.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import cached_property

from tclue.errors import UserError
from tclue.puzzle.batch import serve_parent
from tclue.puzzle.generate import generate
from tclue.puzzle.puzzle import Puzzle, prompt_hash
from tclue.puzzle.splits import TRAIN_RANGES, shipped_hashes

# Runs of different seeds begin this far apart; easy puzzles from 50 million on made the tiny base.
SEEDS_APART, RUNS = 1_000_000, 50
# puzzles in a row: far more than are ever held out or seen
MOST_PASSED_OVER = 500


def first_seed(difficulty: str, seed: int) -> int:
    """Where a run's puzzles begin."""
    ranges = dict(TRAIN_RANGES.values())
    # Difficulties without a range of their own share the general one.
    first = ranges.get(difficulty, TRAIN_RANGES["train"][1])
    return first + seed % RUNS * SEEDS_APART


class Puzzles:
    """A run's puzzles, one after another; `position` says how many seeds are used up."""

    def __init__(
        self,
        difficulty: str,
        seed: int,
        *,
        position: int = 0,
        limit: int = 0,
        ahead: int = 32,
        jobs: int = 1,
        held_out: Iterable[Puzzle] = (),
        unwanted: Callable[[Puzzle], bool] = lambda _: False,
    ) -> None:
        self.difficulty, self.position = difficulty, position
        self._seed, self._limit, self._ahead = seed, limit, ahead
        self._unwanted = unwanted
        # Not forked: this process runs torch's threads.
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(jobs, context, initializer=serve_parent)
        self._coming: dict[int, Future[Puzzle]] = {}
        self._held_out = shipped_hashes() | {prompt_hash(puzzle.prompt) for puzzle in held_out}

    def take(self, count: int) -> list[Puzzle]:
        """The next puzzles."""
        if self._limit:
            start, self.position = self.position, self.position + count
            return [self._limited[i % self._limit] for i in range(start, self.position)]
        taken: list[Puzzle] = []
        while len(taken) < count:
            puzzle, self.position = self._fresh(self.position)
            taken.append(puzzle)
        return taken

    def change(self, difficulty: str) -> None:
        """Go on with puzzles of another difficulty."""
        if difficulty != self.difficulty:
            self.difficulty = difficulty
            for future in self._coming.values():
                future.cancel()
            self._coming.clear()
            # made anew, as it is in a run that is taken up here
            vars(self).pop("_limited", None)

    def close(self) -> None:
        """End the workers, which finish the puzzle that they are at."""
        self._pool.shutdown(cancel_futures=True)

    @cached_property
    def _limited(self) -> list[Puzzle]:
        """The puzzles that come again and again."""
        found: list[Puzzle] = []
        number = 0
        while len(found) < self._limit:
            puzzle, number = self._fresh(number)
            found.append(puzzle)
        return found

    def _fresh(self, number: int) -> tuple[Puzzle, int]:
        """The first puzzle from that number on that is not passed over, and the number after it."""
        for i in range(number, number + MOST_PASSED_OVER):
            puzzle = self._made(i)
            if prompt_hash(puzzle.prompt) not in self._held_out and not self._unwanted(puzzle):
                return puzzle, i + 1
        raise UserError(
            f"{MOST_PASSED_OVER} puzzles of {self.difficulty} in a row cannot be trained on: has "
            "packing.length, and has the model, room for their prompts and rollout.max_tokens?"
        )

    def _made(self, number: int) -> Puzzle:
        """The run's puzzle of that number; those after it are begun."""
        first = first_seed(self.difficulty, self._seed)
        try:
            for i in range(number, number + self._ahead):
                if i not in self._coming:
                    self._coming[i] = self._pool.submit(generate, first + i, self.difficulty)
            return self._coming.pop(number).result()
        except BrokenProcessPool:
            raise UserError(
                "a process that makes puzzles was ended from outside (for want of memory?): the "
                "same command goes on from the last checkpoint"
            ) from None
