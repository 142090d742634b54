"""Rollouts: the requests to an engine, its samples, and their grades.

Token ids and log-probabilities are the sampler's own; nothing is tokenized again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from tclue.bench.models.chat_template import Thinking, prompt_ids, seed_of
from tclue.bench.stats.intervals import mean
from tclue.puzzle.grading.grade import Grade, grader
from tclue.puzzle.puzzle import Puzzle

# Numbers that describe an iteration, by name: a line of metrics.jsonl.
Numbers = dict[str, float]
# How a response ended: with its end token, at the token limit, or stopped as degenerate.
Finish = Literal["stop", "length", "degenerate"]


@dataclass(frozen=True)
class SamplingRequest:
    """A request for `n` responses to one prompt."""

    # token ids with the chat template applied, up to where the response begins
    prompt: list[int]
    n: int
    # seed, prompt and weights determine the responses (except for rounding)
    seed: int


def requests_for(
    tokenizer: Any, puzzles: Sequence[Puzzle], n: int, seed: int, iteration: int
) -> list[SamplingRequest]:
    """Requests for `n` responses to each puzzle; the seeds differ in each iteration."""
    return [
        SamplingRequest(prompt_ids(tokenizer, p), n, seed_of(f"{seed}/{iteration}/{p.id}"))
        for p in puzzles
    ]


@dataclass(frozen=True)
class Sample:
    """One response as the sampler made it."""

    # token ids; if finish is "stop", the last one is the end token
    ids: list[int]
    # [token] nats, under the sampling distribution: with temperature, without top-p and top-k
    logprobs: list[float]
    finish: Finish


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


def grade_samples(
    tokenizer: Any,
    puzzles: Sequence[Puzzle],
    requests: Sequence[SamplingRequest],
    samples: Sequence[Sequence[Sample]],
) -> list[Group]:
    """The groups of some puzzles: each sample decoded to text, without reasoning, and graded."""
    groups, thinking, sound = [], Thinking(tokenizer), grader("sound")
    for puzzle, request, group_samples in zip(puzzles, requests, samples, strict=True):
        groups.append(group := Group(puzzle, request.prompt))
        inside = thinking.begins_inside(puzzle)
        for sample in group_samples:
            text, _ = thinking.split(sample.ids, inside=inside)
            group.responses.append(GradedSample(sample, text, sound.grade(puzzle, text)))
    return groups


def describe(groups: Sequence[Group]) -> Numbers:
    """Summarize graded groups in numbers."""
    responses = [response for group in groups for response in group.responses]
    complete = [None not in r.grade.answers.values() for r in responses]
    lengths = [len(r.sample.ids) for r in responses]
    return {
        "reward": mean(r.reward for r in responses),
        "accuracy": mean(r.grade.accuracy for r in responses),
        "solved": mean(r.grade.solved for r in responses),
        "in_format": mean(complete),
        "unparsed": mean(not r.grade.answered for r in responses),
        "length": mean(lengths),
        "truncated": mean(r.sample.finish == "length" for r in responses),
        "degenerate": mean(r.sample.finish == "degenerate" for r in responses),
        "responses": len(responses),
        "sampled_tokens": sum(lengths),
        "prompt_tokens": sum(len(group.prompt) for group in groups),
    }
