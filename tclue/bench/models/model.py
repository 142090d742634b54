"""The types of models, and the two built-in models: chance and the ceiling.

`random` draws one legal option for each question; what it draws hangs on the seed, the puzzle and
the sample alone, not on the order of asking. `solver` proves the puzzle and writes the answers.
Both are free.
"""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from tclue.bench.costs.cost import Prices, Usage, today
from tclue.bench.models.failures import Failure
from tclue.bench.options import RecordedOptions
from tclue.puzzle.puzzle import Puzzle
from tclue.strict import Positive, Text
from tclue.text import money

DEFAULT_SEED = 0


@dataclass(frozen=True, slots=True)
class Request:
    """One request: a puzzle, and which of its samples this is."""

    puzzle: Puzzle
    sample: int


@dataclass(frozen=True)
class Completion:
    """What came of one request; `error` says why there is no usable reply."""

    text: str = ""
    reasoning: str | None = None
    finish_reason: str | None = None
    usage: Usage = field(default_factory=Usage)
    latency_s: float = 0.0
    compute_s: float | None = None
    # what litellm makes the tokens cost, by its own list and its own reading of them
    litellm_usd: float | None = None
    model_id: str | None = None
    refused: bool = False
    error: str | None = None
    # what is to be done about an error; None: that request alone cannot be answered
    failure: Failure | None = None
    # requests that were sent for it; all but the last failed in a way that nobody is paid for
    tries: int = 1


@dataclass(frozen=True)
class CheckpointOrigin:
    """A step of a training run. None where the run does not say."""

    # name of the training run, and the iteration after which these weights were kept
    run: str
    step: int
    # the model that it began with, as the command line names it, and the SHA-256 of its files
    base: str | None = None
    base_checkpoint: str | None = None
    preset: str | None = None
    # what training took up to this step
    seconds: float | None = None
    cost_usd: float | None = None

    def describe(self) -> str:
        """A sentence for a reader of the board."""
        words = [f"step {self.step} of training run {self.run}"]
        if self.base:
            words.append(f"from {self.base}")
        if self.preset:
            words.append(f"preset {self.preset}")
        if self.seconds is not None:
            words.append(f"{self.seconds / 60:.1f} minutes of training")
        if self.cost_usd is not None:
            words.append(f"{money(self.cost_usd)} of training")
        return ", ".join(words)


@dataclass(frozen=True, kw_only=True)
class ModelSettings(RecordedOptions):
    """How a model is asked, as it was resolved of the options and as `run.json` records it.

    The options are None where the provider's own default holds, or where they say nothing of it.
    """

    # the model at its reasoning setting, as the board names it
    variant: Text
    prices: Prices
    # seconds after which a hosted request is given up
    timeout_s: Positive | None = None
    # what every hosted request held, but for the messages, the seed and the key
    request: Mapping[str, Any] = field(default_factory=dict)
    # the reasoning setting, in the registry's words ("none", "16k", "high"); None where it has none
    reasoning: str | None = None
    # what a reader must know of how it was asked: a budget that was made smaller, say
    notes: tuple[str, ...] = ()
    # the model ids under which the weights that were asked for answer; empty where any will do
    served_as: tuple[str, ...] = ()
    # what the weights are: SHA-256 over a local checkpoint's files, or a hub commit
    checkpoint: str | None = None
    # of weights that a training run kept; not in `run.json` where there is nothing to say
    trained: CheckpointOrigin | None = None


@dataclass(frozen=True, kw_only=True)
class ResolvedModel(ModelSettings):
    """What a model resolved of the options."""

    # what asks for this variant alone; None where the command line's name does
    model: str | None = None
    # requests, or local batches, in flight
    slots: int = 1
    # most tokens that a response can have, where anything says so
    max_output_tokens: int | None = None
    # the packages whose versions are recorded
    packages: tuple[str, ...] = ()


class Model(Protocol):
    """A model that can be asked. Making one loads no weights and asks nothing."""

    @property
    def resolved(self) -> ResolvedModel:
        """What shapes its answers."""

    def open(self) -> None:
        """Load what asking needs. Raises UserError where that cannot be."""

    def batches(self, requests: Sequence[Request]) -> Iterable[Sequence[Request]]:
        """The requests in the groups and order in which `complete` takes them."""

    def complete(self, batch: Sequence[Request]) -> AsyncIterator[tuple[Request, Completion]]:
        """Answer each request of a batch, as each is done; the executor tries again, not it."""


def answer_lines(answers: Mapping[str, str]) -> str:
    """Answers in the format that a prompt asks for."""
    return "\n".join(f"{letter}. {answer}" for letter, answer in answers.items())


class BuiltinModel:
    """Answers that this package works out itself."""

    def __init__(self, variant: str, seed: int | None) -> None:
        self.resolved = ResolvedModel(variant=variant, prices=Prices("free", today()), seed=seed)

    def open(self) -> None:
        """Nothing to load."""

    def batches(self, requests: Sequence[Request]) -> Iterable[Sequence[Request]]:
        """Each request by itself."""
        return [[request] for request in requests]

    async def complete(self, batch: Sequence[Request]) -> AsyncIterator[tuple[Request, Completion]]:
        """Work out each answer."""
        for request in batch:
            start = time.perf_counter()
            answers = self.answers(request)
            yield (
                request,
                Completion(
                    text=answer_lines(answers),
                    finish_reason="stop",
                    usage=Usage(0, 0),
                    latency_s=time.perf_counter() - start,
                    error=None if answers else "the clues do not leave one answer",
                ),
            )

    def answers(self, request: Request) -> Mapping[str, str]:
        """Letter to answer; empty where there is none."""
        raise NotImplementedError


class RandomModel(BuiltinModel):
    """Chance: a legal option for each letter, drawn uniformly."""

    def __init__(self, seed: int | None = None) -> None:
        super().__init__("random", DEFAULT_SEED if seed is None else seed)

    def answers(self, request: Request) -> Mapping[str, str]:
        """Draw each answer."""
        rng = random.Random(f"{self.resolved.seed}/{request.puzzle.id}/{request.sample}")
        return {
            letter: options[int(rng.random() * len(options))]
            for letter, options in request.puzzle.options.items()
        }


class SolverModel(BuiltinModel):
    """The ceiling: what the clues prove."""

    def __init__(self) -> None:
        super().__init__("solver", None)

    def answers(self, request: Request) -> Mapping[str, str]:
        """Prove each answer."""
        from tclue.puzzle.sat import prove

        proof = prove(request.puzzle, scope="answers")
        return request.puzzle.answers(proof.cases[0]) if proof.verdict == "unique" else {}
