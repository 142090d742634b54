"""Rollouts: what an engine is asked for, and what it gives back.

Two engines stand behind `Engine`: `engine_hf` (transformers, in this process) and `engine_vllm` (a
server that the trainer starts and owns). Token ids and log-probabilities are the sampler's own;
nothing is tokenized again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from tclue.bench.models.chat_template import prompt_ids
from tclue.puzzle.grading.grade import Grade, Grader
from tclue.puzzle.puzzle import Puzzle

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from tclue_grpo.policy import Pack

# How a response ended: with its end token, at the token limit, or broken off as degenerate.
Finish = Literal["stop", "length", "degenerate"]


@dataclass(frozen=True)
class Degeneration:
    """When a response is given up: its moving average of log-probability has sunk too low.

    The average starts at 0, so a response has some hundred tokens to show what it is.
    """

    # weight of what was before, at each token
    alpha: float = 0.992
    # nats
    threshold: float = -3.0

    def after(self, average: float, logprob: float) -> float:
        """The moving average after another token."""
        return self.alpha * average + (1 - self.alpha) * logprob

    def set_in(self, logprobs: Sequence[float]) -> int | None:
        """The number of tokens at which the average first lies below the threshold, or None."""
        average = 0.0
        for count, logprob in enumerate(logprobs, 1):
            average = self.after(average, logprob)
            if average < self.threshold:
                return count
        return None


@dataclass(frozen=True)
class SamplingRequest:
    """Several responses wanted to one prompt."""

    # token ids, chat template applied, ready for the answer
    prompt: list[int]
    n: int
    # the responses are a function of this, the prompt, and the weights (but for rounding)
    seed: int


def requests_for(
    tokenizer: Any, puzzles: Sequence[Puzzle], n: int, seed: int, iteration: int
) -> list[SamplingRequest]:
    """So many responses to each puzzle."""
    return [
        SamplingRequest(prompt_ids(tokenizer, puzzle), n, request_seed(seed, iteration, puzzle))
        for puzzle in puzzles
    ]


def request_seed(seed: int, iteration: int, puzzle: Puzzle) -> int:
    """A seed for a group's responses: another one in each iteration."""
    name = f"{seed}/{iteration}/{puzzle.id}".encode()
    return int.from_bytes(hashlib.sha256(name).digest()[:7])


@dataclass(frozen=True)
class Sample:
    """One response as the sampler made it."""

    # token ids; the end token is the last where finish is "stop"
    ids: list[int]
    # [token] nats, of the distribution that was sampled from: after temperature, no top-p, no top-k
    logprobs: list[float]
    finish: Finish


class SampledPolicy(Protocol):
    """What an engine takes of a policy."""

    # the checkpoint's folder that it was built from
    base: Path

    @property
    def dtype(self) -> torch.dtype:
        """What its weights are kept in."""

    def hf_state(self) -> dict[str, Tensor]:
        """Its weights under their Hugging Face names."""

    def scored(self, pack: Pack) -> Tensor:
        """Its log-probabilities [target] of a pack's targets, on the CPU; nats."""


class Engine(Protocol):
    """Samples responses from the policy's weights."""

    def sync(self, policy: SampledPolicy) -> None:
        """Sample from these weights from now on."""

    def sample(
        self, requests: Sequence[SamplingRequest], tick: Callable[[int], None] = ...
    ) -> list[list[Sample]]:
        """`n` samples for each request, in order; `tick` is told of responses that ended."""

    def close(self) -> None:
        """Free what the engine holds: memory, or its server."""


@dataclass
class GradedSample:
    """A sample, graded."""

    sample: Sample
    text: str
    grade: Grade
    reward: float = 0.0
    advantage: float = 0.0


@dataclass
class Group:
    """The responses to one puzzle."""

    puzzle: Puzzle
    prompt: list[int]
    responses: list[GradedSample] = field(default_factory=list)


def graded(
    tokenizer: Any,
    grader: Grader,
    puzzles: Sequence[Puzzle],
    requests: Sequence[SamplingRequest],
    samples: Sequence[Sequence[Sample]],
) -> list[Group]:
    """The groups of some puzzles: what was sampled for each, as text and with its grade."""
    groups = []
    for puzzle, request, several in zip(puzzles, requests, samples, strict=True):
        groups.append(group := Group(puzzle, request.prompt))
        for one in several:
            text = tokenizer.decode(one.ids, skip_special_tokens=True)
            group.responses.append(GradedSample(one, text, grader.grade(puzzle, text)))
    return groups
