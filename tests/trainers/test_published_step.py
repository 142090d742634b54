"""Iterations of the published recipe on the tiny model, against a float64 reference.

The reference is written from what is known of the published run, with plain loops: each response
by itself behind its own copy of the prompt, the full logits, Adam by hand. The trainer runs on its
own path, in float64 too: packed, chunked, torch's AdamW. The sampler is the real one, in float32,
and it is asked once: each run learns from the same responses. Sizes and rate are the test's; every
other knob is the preset's. A second iteration, on the responses of the first, has ratios that
leave the clip range, and shows whether Adam forgets.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import pytest

from tclue.bench.models.chat_template import prompt_ids
from tclue.bench.models.local import TINY
from tclue.puzzle.grading.grade import grader
from tclue.puzzle.puzzle import Puzzle
from tclue.puzzle.splits import load_set

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
from torch import Tensor  # noqa: E402

from tclue_grpo import build_policy, step  # noqa: E402
from tclue_grpo.config import Config  # noqa: E402
from tclue_grpo.config_file import load  # noqa: E402
from tclue_grpo.engine_hf import HFEngine  # noqa: E402
from tclue_grpo.master_weights import make_optimizer  # noqa: E402
from tclue_grpo.rollout import (  # noqa: E402
    Numbers,
    Sample,
    SamplingRequest,
)
from tclue_grpo.step import TrainState  # noqa: E402

pytestmark = pytest.mark.model

PUZZLES, RESPONSES, STEPS, ITERATIONS = 2, 5, 2, 2
MAX_TOKENS = 80  # some responses of the tiny model take more
RATE, DECAY, BETAS, CLIP = 2e-3, 0.1, (0.9, 0.99), 0.2
TOLERANCE = 1e-6  # of the rate
SIZES = {
    "model.base": "tiny",  # the weights are loaded in float64 here
    "model.gradient_checkpointing": "false",
    "model.head_chunk": "50",
    "data.puzzles_per_iteration": str(PUZZLES),
    "rollout.responses_per_puzzle": str(RESPONSES),
    "rollout.max_tokens": str(MAX_TOKENS),
    "packing.length": "250",  # two packs a step
    "update.learning_rate": str(RATE),
    "update.steps_per_iteration": str(STEPS),
}

Weights = dict[str, Tensor]


class Asked:
    """Puzzles, and the responses that were sampled to them."""

    def __init__(self) -> None:
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(TINY)
        by_length = sorted(load_set("easy-val").puzzles, key=lambda puzzle: len(puzzle.prompt))
        self.puzzles = by_length[:PUZZLES]
        self.prompts = [prompt_ids(self.tokenizer, puzzle) for puzzle in self.puzzles]
        engine = HFEngine(
            transformers.AutoModelForCausalLM.from_pretrained(TINY),
            {self.tokenizer.eos_token_id},
            max_tokens=MAX_TOKENS,
        )
        requests = [SamplingRequest(ids, RESPONSES, i) for i, ids in enumerate(self.prompts)]
        self.samples = engine.sample(requests)

    # As puzzles, and as an engine.

    def take(self, count: int) -> list[Puzzle]:
        assert count == PUZZLES
        return self.puzzles

    def sync(self, policy: Any) -> None:
        """The responses stay those of the first weights."""

    def sample(self, requests: Sequence[SamplingRequest], tick: Any = None) -> list[list[Sample]]:
        assert [request.prompt for request in requests] == self.prompts
        return self.samples

    def close(self) -> None:
        """Nothing to close."""


@cache
def asked() -> Asked:
    return Asked()


@pytest.fixture(autouse=True)
def _exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """transformers rounds to float32 in its norm; in float64, a step shows no rounding."""

    def forward(self: Any, hidden: Tensor) -> Tensor:
        mean_square = hidden.pow(2).mean(-1, keepdim=True)
        scaled: Tensor = self.weight * hidden * torch.rsqrt(mean_square + self.variance_epsilon)
        return scaled

    norm = transformers.models.qwen2.modeling_qwen2.Qwen2RMSNorm
    monkeypatch.setattr(norm, "forward", forward)


def learner(config: Config, dtype: Any) -> TrainState:
    policy = build_policy.load(str(TINY), dtype=dtype, chunk=config.model.head_chunk)
    optimizer = make_optimizer(policy, config.update)
    everything: Any = asked()
    return TrainState(config, policy, optimizer, everything, everything, everything.tokenizer)


def trained(config: Config) -> tuple[Weights, list[Numbers]]:
    """The weights after the trainer's iterations, and their numbers."""
    one = learner(config, torch.float64)
    numbers = [step.iterate(one) for _ in range(ITERATIONS)]
    return one.policy.hf_state(), numbers


def gains(number: int) -> list[float]:
    """[response] A puzzle's rewards, less their mean, through their deviation."""
    puzzle = asked().puzzles[number]
    texts = [
        asked().tokenizer.decode(s.ids[:-1] if s.finish == "stop" else s.ids)
        for s in asked().samples[number]
    ]
    earned = [grader("sound").grade(puzzle, text).accuracy for text in texts]
    middle = sum(earned) / len(earned)
    deviation = math.sqrt(sum((r - middle) ** 2 for r in earned) / len(earned))
    # float32 is what a batch holds them in
    return [float(torch.tensor((r - middle) / (deviation + 1e-6))) for r in earned]


def batch_loss(model: Any, numbers: Sequence[int]) -> Tensor:
    """The loss of some puzzles' responses."""
    total: Tensor = torch.zeros((), dtype=torch.float64)
    for number in numbers:
        prompt = asked().prompts[number]
        for sample, gain in zip(asked().samples[number], gains(number), strict=True):
            ids = torch.tensor([prompt + sample.ids])
            logprobs = torch.log_softmax(model(ids).logits[0], -1)
            count = len(sample.ids)
            for t in range(count):
                if sample.finish == "stop" and t == count - 1:
                    continue  # the end token
                new = logprobs[len(prompt) + t - 1, sample.ids[t]]
                raw = float(torch.tensor(sample.logprobs[t]))
                ratio = torch.exp(new - raw)
                clipped = torch.clamp(ratio, 1 - CLIP, 1 + CLIP)
                total = total - torch.minimum(ratio * gain, clipped * gain) / count
    return total / (len(numbers) * RESPONSES)


@cache
def reference() -> Weights:
    """The weights after the published iterations."""
    model = transformers.AutoModelForCausalLM.from_pretrained(TINY, dtype=torch.float64)
    weights = dict(model.named_parameters())
    for _ in range(ITERATIONS):
        first = {name: torch.zeros_like(weight) for name, weight in weights.items()}
        second = {name: torch.zeros_like(weight) for name, weight in weights.items()}
        for k in range(STEPS):
            loss = batch_loss(model, range(k, PUZZLES, STEPS))
            slopes = torch.autograd.grad(loss, list(weights.values()))
            with torch.no_grad():
                for (name, weight), slope in zip(weights.items(), slopes, strict=True):
                    first[name] = BETAS[0] * first[name] + (1 - BETAS[0]) * slope
                    second[name] = BETAS[1] * second[name] + (1 - BETAS[1]) * slope**2
                    mean = first[name] / (1 - BETAS[0] ** (k + 1))
                    square = second[name] / (1 - BETAS[1] ** (k + 1))
                    weight -= RATE * DECAY * weight + RATE * mean / (square.sqrt() + 1e-8)
    return {name: weight.detach() for name, weight in weights.items()}


def furthest(one: Weights, other: Weights) -> float:
    """The greatest difference of a weight, in units of the learning rate."""
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max()) for name in one) / RATE


def config(**changes: str) -> Config:
    """The preset at this test's sizes."""
    settings = SIZES | {name.replace("__", "."): value for name, value in changes.items()}
    return load("published-14b", settings=[f"{key}={value}" for key, value in settings.items()])


@pytest.mark.slow
def test_the_responses_have_all_that_the_recipe_treats_apart() -> None:
    for number, samples in enumerate(asked().samples):
        assert max(gains(number)) > 0
        assert {s.finish for s in samples} <= {"stop", "length"}
    finishes = [s.finish for samples in asked().samples for s in samples]
    assert {"stop", "length"} == set(finishes)


@pytest.mark.slow
def test_published_iterations_are_the_references() -> None:
    weights, numbers = trained(config())
    assert furthest(weights, reference()) < TOLERANCE
    # The weights have moved, ratios are clipped, and nothing was clipped, skipped or dropped.
    start = build_policy.load(str(TINY), dtype=torch.float64).hf_state()
    assert furthest(weights, start) > 1
    assert numbers[1]["clip_fraction"] > 0.01
    assert [n["skipped_steps"] + n["dropped"] for n in numbers] == [0, 0]
    assert numbers[0]["truncated"] > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        {"update__reset_adam_each_iteration": "false"},
        {"advantage__divide_by_std": "false"},
        {"update__clip_norm": "0.01"},
        {"advantage__mask_truncated": "true"},
        {"loss__train_end_token": "true"},
        {"update__steps_per_iteration": "1"},
        {"loss__clip_low": "0.002"},
        {"loss__clip_high": "0.01"},
        {"loss__old": "trainer"},
        {"loss__objective": "dr_grpo"},
        {"update__weight_decay": "0"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_each_departure_shows(change: dict[str, str]) -> None:
    weights, _ = trained(config(**change))
    assert furthest(weights, reference()) > 100 * TOLERANCE


def test_bf16_weights_are_updated_in_bf16() -> None:
    """AdamW by hand, rounded after each operation, from the gradients that the trainer took.

    At the published rate, most weights lie too far apart in bf16 to move at all.
    """
    one = learner(config(update__learning_rate="6e-6"), torch.bfloat16)
    assert [id(m) for m in one.optimizer.masters] == [id(w) for w in one.optimizer.weights]
    weights = [weight.detach().clone() for weight in one.optimizer.weights]
    taken: list[list[Tensor]] = []
    update = one.optimizer.step

    def noted(rate: float) -> tuple[float, bool]:
        assert rate == 6e-6
        taken.append([w.grad.clone() for w in one.optimizer.weights if w.grad is not None])
        return update(rate)

    one.optimizer.step = noted  # type: ignore[method-assign]
    step.iterate(one)
    assert len(taken) == STEPS

    def rounded(exact: Tensor) -> Tensor:
        return exact.to(torch.bfloat16).to(torch.float64)

    moved = same = total = 0
    for i, start in enumerate(weights):
        w = start.double()
        m = v = torch.zeros_like(w)
        for k, slopes in enumerate(taken, 1):
            g = slopes[i].double()
            w = rounded(w * (1 - 6e-6 * DECAY))
            m = rounded(m + (1 - BETAS[0]) * (g - m))
            v = rounded(rounded(v * BETAS[1]) + (1 - BETAS[1]) * g * g)
            root = rounded(rounded(v.sqrt()) / math.sqrt(1 - BETAS[1] ** k))
            w = rounded(w - 6e-6 / (1 - BETAS[0] ** k) * m / rounded(root + 1e-8))
        told = one.optimizer.weights[i].detach()
        # A rounding may fall to the other side: by one bf16 step, in few places.
        torch.testing.assert_close(told.double(), w, rtol=2**-7, atol=1e-7)
        same += int((told == w.bfloat16()).sum())
        moved += int((told != start).sum())
        total += w.numel()
    assert same > 0.999 * total
    assert 0 < moved < 0.5 * total


def test_with_masters_no_step_is_lost() -> None:
    one = learner(
        config(update__learning_rate="6e-6", update__bf16_updates="false"), torch.bfloat16
    )
    before = [master.detach().clone() for master in one.optimizer.masters]
    step.iterate(one)
    assert {master.dtype for master in one.optimizer.masters} == {torch.float32}
    for master, start, weight in zip(
        one.optimizer.masters, before, one.optimizer.weights, strict=True
    ):
        used = start.abs() > 1e-4  # decay moves these, if nothing else does
        assert float((master != start)[used].double().mean()) > 0.99
        assert torch.equal(weight, master.bfloat16())
