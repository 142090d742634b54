"""The model behind the server: the right answers, some of them made wrong, with token counts.

A reply depends only on the model's seed, the puzzle and the request's seed. A request without a
seed (Anthropic accepts none) gets the same answer each time.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from tclue.bench.records import Outcome
from tclue.puzzle.puzzle import Puzzle

THOUGHT = "Where was everybody? Étienne says: “not there” … so it follows. "


@dataclass(frozen=True)
class Reply:
    """The model's reply to a prompt, independent of a provider's format."""

    text: str
    # the outcome that a run must record
    outcome: Outcome
    reasoning: str | None = None
    finish: Literal["stop", "length", "refusal"] = "stop"
    # the whole prompt, with tokens read from a cache and written to one
    prompt_tokens: int = 0
    cached_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    reasoning_tokens: int = 0
    # without reasoning tokens
    answer_tokens: int = 0
    # whether the provider reports the tokens
    tells_usage: bool = True

    @property
    def completion_tokens(self) -> int:
        """All output tokens, with reasoning."""
        return self.reasoning_tokens + self.answer_tokens


# Fixed replies for tests, by name. `TEXT` stands for the model's own answer.
TEXT = "{answer}"
_TOKENS = Reply(TEXT, "answered", prompt_tokens=1200, answer_tokens=40)
SHAPES: Mapping[str, Reply] = {
    "plain": _TOKENS,
    "reasoning": replace(_TOKENS, reasoning=THOUGHT * 9, reasoning_tokens=700),
    "cached": replace(_TOKENS, cached_tokens=1024),
    "cache-writes": replace(
        _TOKENS, cached_tokens=256, cache_write_5m_tokens=512, cache_write_1h_tokens=128
    ),
    "all": replace(
        _TOKENS, reasoning=THOUGHT, reasoning_tokens=64, cached_tokens=512, prompt_tokens=1300
    ),
    "truncated": Reply("I think that", "truncated", None, "length", 1200, answer_tokens=3),
    "truncated-thought": Reply(
        "", "truncated", THOUGHT, "length", 1200, reasoning_tokens=30, answer_tokens=0
    ),
    "refused": Reply("I will not.", "refused", None, "refusal", 1200, answer_tokens=4),
    "unparsed": Reply("Nobody knows.", "unparsed", None, "stop", 1200, answer_tokens=4),
    "no-usage": replace(_TOKENS, tells_usage=False),
}


class Model:
    """Answers puzzles, with shares of wrong and unusable replies that depend on the seed."""

    def __init__(
        self,
        puzzles: Iterable[Puzzle],
        seed: int = 0,
        wrong: float = 0.0,
        unusable: float = 0.0,
        shape: str | None = None,
    ) -> None:
        """`wrong` is the share of answers with one letter wrong.

        `odd` is the share of replies that are truncated, refused or unparsed; with a `shape`, all
        replies are of that one.
        """
        self._by_prompt = {puzzle.prompt: puzzle for puzzle in puzzles}
        self._seed, self._wrong, self._unusable, self._shape = seed, wrong, unusable, shape

    def puzzle(self, prompt: str) -> str:
        """The id of a prompt's puzzle; "?" for any other prompt."""
        known = self._by_prompt.get(prompt)
        return known.id if known else "?"

    def reply(self, prompt: str, seed: int | None) -> Reply:
        """The reply to a prompt and a request's seed."""
        puzzle = self._by_prompt.get(prompt)
        rng = random.Random(f"{self._seed}/{puzzle.id if puzzle else prompt}/{seed}")
        text = self._answer(puzzle, rng) if puzzle else "I see no puzzle."
        if self._shape:
            fixed = SHAPES[self._shape]
            return replace(fixed, text=fixed.text.replace(TEXT, text))
        if rng.random() < self._unusable:
            return SHAPES[rng.choice(["truncated", "truncated-thought", "refused", "unparsed"])]
        prompt_tokens = len(prompt) // 4 + 1
        return Reply(
            text,
            "answered" if puzzle else "unparsed",
            reasoning=THOUGHT * rng.randint(1, 20),
            prompt_tokens=prompt_tokens,
            cached_tokens=prompt_tokens // 2 if rng.random() < 0.5 else 0,
            reasoning_tokens=rng.randint(20, 900),
            answer_tokens=len(text) // 4 + 1,
        )

    def _answer(self, puzzle: Puzzle, rng: random.Random) -> str:
        answers = dict(puzzle.solution)
        if rng.random() < self._wrong:
            letter = rng.choice(list(answers))
            others = [option for option in puzzle.options[letter] if option != answers[letter]]
            answers[letter] = rng.choice(others)
        return "\n".join(f"{letter}. {answer}" for letter, answer in answers.items())
