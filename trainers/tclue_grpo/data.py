"""Fresh puzzles to train on, in an order that a seed determines.

Puzzle i of a run has its own generator seed in the training range of its difficulty. A puzzle is
skipped if its prompt is in a shipped split or in a set that the run is evaluated on, if the base
was trained on it (docs/method/training.md), or if it is too long. Of those on which the tiny base
was trained, `scripts/tiny/seen.py` made the file of hashes. The Fountain keeps its name there: the
text says "at the Fountain" and "in the" for any other room, so training never replaced it.

Worker processes generate the next puzzles in advance. With `limit`, the first `limit` puzzles are
repeated: training on 16 puzzles is a common test of whether anything is learned at all.
"""

import hashlib
import multiprocessing
import re
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import cache, cached_property
from pathlib import Path

from tclue.errors import UserError
from tclue.puzzle.batch import serve_parent
from tclue.puzzle.generate import generate
from tclue.puzzle.puzzle import Puzzle, prompt_hash
from tclue.puzzle.splits import TRAIN_RANGES, shipped_hashes
from tclue.puzzle.wording import AT_ROOMS

# Runs of different seeds begin this far apart; the tiny base used easy puzzles from 50 million on.
SEED_SPACING, RUNS = 1_000_000, 50
# skipped puzzles in a row before an error: far more than are ever held out or trained on
MAX_SKIPPED = 500
TINY_SEEN = Path(__file__).parent / "tiny_seen.safetensors"


def first_seed(difficulty: str, seed: int) -> int:
    """The generator seed of a run's first puzzle."""
    ranges = dict(TRAIN_RANGES.values())
    # Difficulties without their own range share the general one.
    first = ranges.get(difficulty, TRAIN_RANGES["train"][1])
    return first + seed % RUNS * SEED_SPACING


class Puzzles:
    """A run's puzzles, one after another; `position` is the number of seeds used so far."""

    def __init__(
        self,
        difficulty: str,
        seed: int,
        *,
        limit: int = 0,
        ahead: int = 32,
        jobs: int = 1,
        held_out: Iterable[Puzzle] = (),
        unwanted: Callable[[Puzzle], bool] = lambda _: False,
    ) -> None:
        self.difficulty, self.position = difficulty, 0
        self._seed, self._limit, self._ahead = seed, limit, ahead
        self._unwanted = unwanted
        # Spawned, not forked: this process runs torch's threads.
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(jobs, context, initializer=serve_parent)
        self._pending: dict[int, Future[Puzzle]] = {}
        self._held_out = shipped_hashes() | {prompt_hash(puzzle.prompt) for puzzle in held_out}

    def take(self, count: int) -> list[Puzzle]:
        """The next puzzles."""
        if self._limit:
            start, self.position = self.position, self.position + count
            return [self._repeated[i % self._limit] for i in range(start, self.position)]
        puzzles, self.position = self._fresh(count, self.position)
        return puzzles

    def set_difficulty(self, difficulty: str) -> None:
        """Continue with puzzles of another difficulty."""
        if difficulty != self.difficulty:
            self.difficulty = difficulty
            for future in self._pending.values():
                future.cancel()
            self._pending.clear()
            # The fixed set is generated again, as it is when a run resumes here.
            vars(self).pop("_repeated", None)

    def close(self) -> None:
        """Stop the workers once they have finished their current puzzle."""
        self._pool.shutdown(cancel_futures=True)

    @cached_property
    def _repeated(self) -> list[Puzzle]:
        """The fixed set of puzzles that is repeated."""
        return self._fresh(self._limit, 0)[0]

    def _fresh(self, count: int, number: int) -> tuple[list[Puzzle], int]:
        """`count` puzzles from `number` on, without the skipped ones, and the number after them."""
        puzzles: list[Puzzle] = []
        skipped = 0
        while len(puzzles) < count:
            puzzle, number = self._generated(number), number + 1
            if prompt_hash(puzzle.prompt) in self._held_out or self._unwanted(puzzle):
                skipped += 1
            else:
                puzzles.append(puzzle)
                skipped = 0
            if skipped == MAX_SKIPPED:
                raise UserError(
                    f"{MAX_SKIPPED} puzzles of {self.difficulty} in a row cannot be trained on: "
                    "are packing.length and the model's context long enough for their prompts and "
                    "rollout.max_tokens?"
                )
        return puzzles, number

    def _generated(self, number: int) -> Puzzle:
        """The run's puzzle `number`; the ones after it are submitted to the workers."""
        first = first_seed(self.difficulty, self._seed)
        try:
            for i in range(number, number + self._ahead):
                if i not in self._pending:
                    self._pending[i] = self._pool.submit(generate, first + i, self.difficulty)
            return self._pending.pop(number).result()
        except BrokenProcessPool:
            raise UserError(
                "a process that generates puzzles was killed (out of memory?): the same command "
                "resumes from the last checkpoint"
            ) from None


def nameless(puzzle: Puzzle) -> str:
    """The prompt, with each name replaced by its kind and its index in the prompt's list."""
    world = puzzle.world
    kinds = {"S": world.suspects, "W": world.weapons, "R": world.rooms, "M": world.motives}
    names = {
        name: f"<{kind}{index}>"
        for kind, entries in (kinds | {"T": world.times}).items()
        for index, name in enumerate(entries)
        if name not in AT_ROOMS
    }
    longest_first = sorted(names, key=len, reverse=True)
    pattern = "|".join(rf"(?<!\w){re.escape(name)}(?!\w)" for name in longest_first)
    return re.sub(pattern, lambda match: names[match[0]], puzzle.prompt)


def nameless_hash(puzzle: Puzzle) -> int:
    """The first 64 bits of the SHA-256 of the nameless prompt."""
    return int.from_bytes(hashlib.sha256(nameless(puzzle).encode()).digest()[:8])


@cache
def tiny_hashes() -> frozenset[int]:
    """The hashes of the puzzles that the tiny base was trained on."""
    from safetensors.numpy import load_file

    return frozenset(load_file(TINY_SEEN)["hashes"].tolist())


def in_tiny_training_set(puzzle: Puzzle) -> bool:
    """Whether the tiny base was trained on this puzzle, with any names."""
    return nameless_hash(puzzle) in tiny_hashes()
