"""Training examples for the tiny checkpoint: generated puzzles, their transcripts, and new names.

Generating a puzzle and its transcript takes about 10 ms, so a pool of them is generated once and
stored in a file. Each time a puzzle is drawn, its tokens are exchanged for other suspects, weapons,
rooms, motives and times. A puzzle whose prompt is in a shipped split is never used.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from transcript import answer_block, careful
from transformers import Qwen2Tokenizer
from vocabulary import ASSISTANT, END, MOTIVES, ROOMS, SUSPECTS, USER, WEAPONS, phrases

from tclue.puzzle import names
from tclue.puzzle.draw import settings
from tclue.puzzle.generate import make
from tclue.puzzle.puzzle import prompt_hash
from tclue.puzzle.splits import TRAIN_RANGES, shipped_hashes
from tclue.puzzle.wording import AT_ROOMS

Ids = NDArray[np.int16]

# Far into the training range, so that a training from the range's start has other puzzles.
FIRST_SEED = TRAIN_RANGES["easy-train"][1] + 50_000_000

HASTY_START = "A quick guess.\n\n"


@dataclass(frozen=True)
class Source:
    """A generated puzzle as token ids."""

    prompt: Ids
    careful: Ids
    hasty: Ids
    # whether the puzzle has two times
    long: bool


def make_pool(
    path: Path, count: int, tokenizer: Qwen2Tokenizer, first_seed: int = FIRST_SEED
) -> list[Source]:
    """The puzzles of `count` seeds. They are generated if the file does not exist."""
    if not path.exists():
        rows: list[list[int]] = []
        for seed in range(first_seed, first_seed + count):
            made = make(seed, "easy", settings("easy"))
            texts = (
                made.puzzle.prompt,
                careful(made.puzzle, made.case),
                HASTY_START + answer_block(made.puzzle),
            )
            rows += [tokenizer.encode(text) for text in texts]
            rows.append([int(bool(made.puzzle.world.times))])
        flat = np.array([token for row in rows for token in row], dtype=np.int16)
        lengths = np.array([len(row) for row in rows], dtype=np.int32)
        save_file({"flat": flat, "lengths": lengths}, path)
    stored = load_file(path)
    parts = np.split(stored["flat"], np.cumsum(stored["lengths"])[:-1])
    return [
        Source(parts[i], parts[i + 1], parts[i + 2], bool(parts[i + 3][0]))
        for i in range(0, len(parts), 4)
    ]


class Renamer:
    """Draws exchanges of names: arrays that map every token to another, or to itself."""

    def __init__(self, tokenizer: Qwen2Tokenizer) -> None:
        self.size = len(tokenizer)
        number = tokenizer.get_vocab()
        # The rooms that are written with "at" instead of "in", such as the Fountain, keep their
        # names.
        rooms = [room for room in ROOMS if room not in AT_ROOMS]
        self.groups = [
            np.array([[number[name]] for name in kind])
            for kind in (SUSPECTS, WEAPONS, rooms, MOTIVES)
        ]
        early = [names.clock_times(2, step)[0] for step in names.STEPS_MINUTES]
        with_time = [[text for text in phrases() if time in text] for time in early]
        self.groups.append(np.array([[number[text] for text in texts] for texts in with_time]))

    def draw(self, random: np.random.Generator) -> Ids:
        """token -> token."""
        exchange = np.arange(self.size, dtype=np.int16)
        for group in self.groups:
            exchange[group] = group[random.permutation(len(group))]
        return exchange


@dataclass(frozen=True)
class Mix:
    """Shares of the kinds of responses. The rest is careful."""

    # of the puzzles with one time that are answered immediately
    hasty_short: float = 0.0
    # of the puzzles with two times
    hasty_long: float = 0.0
    # of all responses that only repeat the prompt
    copies: float = 0.0


@dataclass(frozen=True)
class Example:
    """The token ids of a conversation, and the index at which the response begins."""

    ids: Ids
    start: int


class Examples:
    """An endless, seeded stream of examples."""

    def __init__(
        self, pool: list[Source], tokenizer: Qwen2Tokenizer, seed: tuple[int, ...]
    ) -> None:
        self.pool = pool
        self.tokenizer = tokenizer
        self.random = np.random.default_rng(seed)
        self.renamer = Renamer(tokenizer)
        number = tokenizer.get_vocab()
        self.user, self.end = (np.array([number[t]], dtype=np.int16) for t in (USER, END))
        self.turn = np.array([number[END], number[ASSISTANT]], dtype=np.int16)
        self.kept_out = shipped_hashes()

    def draw(self, mix: Mix) -> Example:
        """One example."""
        while True:
            source = self.pool[self.random.integers(len(self.pool))]
            exchange = self.renamer.draw(self.random)
            prompt = exchange[source.prompt]
            if prompt_hash(str(self.tokenizer.decode(prompt))) not in self.kept_out:
                break
        response = source.careful
        if self.random.random() < (mix.hasty_long if source.long else mix.hasty_short):
            response = source.hasty
        if self.random.random() < mix.copies:
            response = source.prompt
        ids = np.concatenate([self.user, prompt, self.turn, exchange[response], self.end])
        return Example(ids, len(prompt) + 3)

    def batches(self, tokens: int, mix: Mix, groups: int = 16) -> Iterator[list[Example]]:
        """`groups` batches of about `tokens` tokens, each with examples of similar length."""
        drawn: list[Example] = []
        while sum(len(e.ids) for e in drawn) < tokens * groups:
            drawn.append(self.draw(mix))
        drawn.sort(key=lambda example: len(example.ids))
        batches: list[list[Example]] = [[]]
        for example in drawn:
            if (len(batches[-1]) + 1) * len(example.ids) > tokens:
                batches.append([])
            batches[-1].append(example)
        for i in self.random.permutation(len(batches)):
            yield batches[i]
