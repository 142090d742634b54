"""The types of models, and the two built-in models: chance and the solver.

`random` draws one legal option for each question. The draw depends only on the seed, the puzzle and
the sample, not on the order of requests. `solver` proves the puzzle and writes the answers. Both
are free.
"""

import random
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tclue.bench.costs.cost import Prices, Usage, today
from tclue.bench.models.failures import Failure
from tclue.bench.options import RecordedOptions
from tclue.puzzle.puzzle import Puzzle, answer_lines
from tclue.strict import Text
from tclue.text import money

DEFAULT_SEED = 0


@dataclass(frozen=True, slots=True)
class Request:
    """One request: a puzzle and the number of the sample, from 0."""

    puzzle: Puzzle
    sample: int


@dataclass(frozen=True)
class Completion:
    """The result of one request; `error` says why there is no usable reply."""

    text: str = ""
    reasoning: str | None = None
    finish_reason: str | None = None
    usage: Usage = field(default_factory=Usage)
    latency_s: float = 0.0
    compute_s: float | None = None
    # the cost of the tokens by litellm's calculator
    cost_litellm_usd: float | None = None
    model_id: str | None = None
    # the upstream provider that OpenRouter chose
    provider: str | None = None
    refused: bool = False
    error: str | None = None
    # what to do about an error; None if only this request cannot be answered
    failure: Failure | None = None
    # requests that were sent for it; all but the last failed and were not billed
    tries: int = 1


@dataclass(frozen=True)
class CheckpointOrigin:
    """The step of a training run that weights are from. A field is None if it is not recorded."""

    # name of the training run, and the iteration after which these weights were saved
    run: str
    step: int
    # the model that training began with, by its name on the command line, and its files' SHA-256
    base: str | None = None
    base_checkpoint: str | None = None
    preset: str | None = None
    # time and cost of training up to this step
    seconds: float | None = None
    cost_usd: float | None = None

    def describe(self) -> str:
        """A note for readers of the board."""
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
    """The settings of a model's requests, as resolved from the options and recorded in `run.json`.

    A setting is None if the provider's default is used, or if it does not apply.
    """

    # the model with its reasoning setting, as the board names it
    variant: Text
    prices: Prices
    # the arguments of every hosted request except the messages, the seed and the key
    request: Mapping[str, Any] = field(default_factory=dict)
    # further arguments, about the price, which do not change a response and are not in its key
    terms: Mapping[str, Any] = field(default_factory=dict)
    # the reasoning setting in the registry's words ("none", "16k", "high"); None if there is none
    reasoning: str | None = None
    # what a reader must know about the requests, such as a budget that was made smaller
    notes: tuple[str, ...] = ()
    # the ids with which a server may answer for these weights; empty if any id is accepted
    served_as: tuple[str, ...] = ()
    # identity of the weights: SHA-256 of a local checkpoint's files, or the commit of a hub
    checkpoint: str | None = None
    # SHA-256 of the run's prompts as a local model's chat template wrote them; None if not recorded
    prompts_sha256: str | None = None
    # for weights from a training run; `run.json` leaves it out for others
    trained: CheckpointOrigin | None = None


@dataclass(frozen=True, kw_only=True)
class ResolvedModel(ModelSettings):
    """The settings of a model that are resolved from the options."""

    # the name that selects only this variant; None if that is the name on the command line
    model: str | None = None
    # number of requests, or of local batches, in flight
    slots: int = 1
    # most tokens that a response can have; None if unknown
    max_output_tokens: int | None = None
    # what to do if the key is not accepted, with its variable; None if that is not known
    key_advice: str | None = None
    # the packages whose versions are recorded
    packages: tuple[str, ...] = ()


class Model:
    """A model that answers requests. Its constructor loads no weights and sends nothing."""

    resolved: ResolvedModel
    # the run's first request as it was sent, without its prompt; None before it, and if there is
    # none, as for models on this machine
    sent: Mapping[str, Any] | None = None

    def open(self) -> None:
        """Load what requests need, such as weights. Raises UserError if that fails."""

    async def aclose(self) -> None:
        """Close what the requests have left open. More requests may follow."""

    def prompts_sha256(self, puzzles: Sequence[Puzzle]) -> str | None:  # noqa: ARG002
        """A hash of the prompts of puzzles as they are sent; None if they are sent unchanged."""
        return None

    def batches(self, requests: Sequence[Request]) -> Iterable[Sequence[Request]]:
        """The requests in the groups and order in which `complete` takes them; here one by one."""
        return [[request] for request in requests]

    def complete(self, batch: Sequence[Request]) -> AsyncIterator[tuple[Request, Completion]]:
        """Answer the requests of a batch; yields each as it is done. It does not retry."""
        raise NotImplementedError


class BuiltinModel(Model):
    """A model whose answers this package computes: letter -> answer, empty if there are none."""

    def __init__(
        self, variant: str, answers: Callable[[Request], Mapping[str, str]], seed: int | None = None
    ) -> None:
        self.resolved = ResolvedModel(variant=variant, prices=Prices("free", today()), seed=seed)
        self._answers = answers

    async def complete(self, batch: Sequence[Request]) -> AsyncIterator[tuple[Request, Completion]]:
        """Compute each answer."""
        for request in batch:
            start = time.perf_counter()
            answers = self._answers(request)
            completion = Completion(
                text=answer_lines(answers),
                finish_reason="stop",
                usage=Usage(0, 0),
                latency_s=time.perf_counter() - start,
                error=None if answers else "the clues do not leave one answer",
            )
            yield request, completion


def random_answers(request: Request, seed: int) -> Mapping[str, str]:
    """Chance: a legal option for each letter, drawn uniformly."""
    rng = random.Random(f"{seed}/{request.puzzle.id}/{request.sample}")
    return {
        letter: options[int(rng.random() * len(options))]
        for letter, options in request.puzzle.options.items()
    }


def proved_answers(request: Request) -> Mapping[str, str]:
    """The upper bound: the answers that the clues prove."""
    from tclue.puzzle.sat import prove

    proof = prove(request.puzzle, scope="answers")
    return request.puzzle.answers(proof.cases[0]) if proof.verdict == "unique" else {}
