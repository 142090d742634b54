"""The losses against references in float64, written from the papers' equations with plain loops.

Every token of a batch has an id of its own, so that log-probabilities are looked up by id, whatever
pack a response lies in. Gradients are held against central differences of the references.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from slopes import differences

from tclue.puzzle.grading.grade import Grade
from tclue.puzzle.puzzle import Puzzle

torch = pytest.importorskip("torch")
from tclue_grpo.config import LossConfig  # noqa: E402
from tclue_grpo.losses import (  # noqa: E402
    Scale,
    TokenStats,
    combine,
    pack_loss,
)
from tclue_grpo.objectives import OBJECTIVES, mismatch_weights  # noqa: E402
from tclue_grpo.packing import Pack, pack_groups  # noqa: E402
from tclue_grpo.rollout import (  # noqa: E402
    Finish,
    GradedSample,
    Group,
    Numbers,
    Sample,
)

pytestmark = pytest.mark.model

MAX_TOKENS = 12
NAMES = tuple(OBJECTIVES)
# Ranges that some ratios exceed on both sides; gspo's ratios stay close to 1.
CLIPS = dict.fromkeys(NAMES, (0.2, 0.28)) | {"gspo": (0.03, 0.04)}


@dataclass
class ReferenceResponse:
    """A response in the form that the reference losses use."""

    tokens: list[int]
    advantage: float
    learned: list[int]


class Batch:
    """Groups of responses, and the log-probabilities of their tokens."""

    def __init__(self, seed: int, train_end: bool = True, mask_truncated: bool = True) -> None:
        rng = random.Random(seed)
        self.groups: list[Group] = []
        self.responses: list[ReferenceResponse] = []
        self.mask = {"mask_truncated": mask_truncated, "train_end": train_end}
        self.sampler: list[float] = []
        for size in (4, 3, 5):
            group = Group(Puzzle("", id="p"), [0] * rng.randint(2, 5))
            for _ in range(size):
                finish: Finish = rng.choice(["stop", "stop", "length", "degenerate"])
                tokens = [len(self.sampler) + i for i in range(rng.randint(1, MAX_TOKENS))]
                # exact in float32
                logprobs = [-rng.randint(1, 300) / 128 for _ in tokens]
                self.sampler += logprobs
                advantage = rng.choice([-1.5, -0.75, 0.5, 1.25])
                response = GradedSample(
                    Sample(tokens, logprobs, finish), "", Grade(0, False, {}, (), None)
                )
                response.advantage = advantage
                group.responses.append(response)
                learned = tokens[:-1] if finish == "stop" and not train_end else list(tokens)
                if finish == "length" and mask_truncated:
                    learned = []
                self.responses.append(ReferenceResponse(tokens, advantage, learned))
            self.groups.append(group)
        self.old = [p + rng.gauss(0, 0.1) for p in self.sampler]
        self.new = [p + rng.gauss(0, 0.3) for p in self.old]
        self.reference = [p + rng.gauss(0, 0.5) for p in self.new]
        self.entropy = [rng.random() for _ in self.new]

    @property
    def learned(self) -> list[int]:
        return [t for response in self.responses for t in response.learned]

    def packs(self, length: int = 1000) -> list[Pack]:
        return pack_groups(self.groups, length, **self.mask)

    def loss(
        self, options: LossConfig, length: int = 1000, dtype: Any = torch.float64, kl: bool = False
    ) -> tuple[float, list[float], Numbers]:
        """Loss, gradient for each token's log-probability, and numbers, over all packs."""
        packs = self.packs(length)
        scale = Scale.of(packs, MAX_TOKENS)
        new = torch.tensor(self.new, dtype=dtype, requires_grad=True)
        old = self.old if options.old == "trainer" else self.sampler
        old_logprobs, reference, entropy = (
            torch.tensor(values, dtype=dtype) for values in (old, self.reference, self.entropy)
        )
        total, numbers = 0.0, []
        for pack in packs:
            ids = pack.target_ids
            stats = TokenStats(new[ids], entropy[ids])
            reference_logprobs = reference[ids] if kl else None
            objective = OBJECTIVES[options.objective]
            trainer = old_logprobs[ids] if options.old == "trainer" else stats.logprobs.detach()
            trust = mismatch_weights(trainer, pack, options)
            loss, pack_numbers = pack_loss(
                objective, stats, pack, old_logprobs[ids], scale, options, reference_logprobs, trust
            )
            torch.autograd.backward(loss)
            total += float(loss.detach())
            numbers.append(pack_numbers)
        assert new.grad is not None
        return total, new.grad.tolist(), combine([numbers])


def surrogate(ratio: float, advantage: float, options: LossConfig) -> float:
    clipped = min(max(ratio, 1 - options.clip_low), 1 + options.clip_high)
    return min(ratio * advantage, clipped * advantage)


def reference(
    name: str, b: Batch, new: list[float], stopped: list[float], options: LossConfig
) -> float:
    """The loss; `stopped` [token] are the log-probabilities under a stop gradient."""
    old = b.old if options.old == "trainer" else b.sampler
    total = 0.0
    for response in b.responses:
        if not response.learned:
            continue
        a, count = response.advantage, len(response.learned)
        if name == "gspo":
            s = math.exp(sum(new[t] - old[t] for t in response.learned) / count)
            total += surrogate(s, a, options) / len(b.responses)
            continue
        for t in response.learned:
            ratio = math.exp(new[t] - old[t])
            if name == "grpo":
                total += surrogate(ratio, a, options) / len(response.tokens) / len(b.responses)
            elif name == "dr_grpo":
                total += surrogate(ratio, a, options) / MAX_TOKENS / len(b.responses)
            elif name == "dapo":
                total += surrogate(ratio, a, options) / len(b.learned)
            else:
                weight = math.exp(stopped[t] - old[t])
                weight = min(max(weight, 1 - options.clip_low), 1 + options.clip_high)
                total += weight * a * new[t] / len(b.learned)
    return -total


def loss_options(name: str, **changes: Any) -> LossConfig:
    low, high = CLIPS[name]
    return LossConfig(objective=name, clip_low=low, clip_high=high, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("old", ["sampler", "trainer"])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", range(3))
def test_each_objective_is_its_papers(name: str, old: str, seed: int) -> None:
    b = Batch(seed, train_end=seed != 1)
    options = loss_options(name, old=old)

    def expected_loss(new: list[float]) -> float:
        return reference(name, b, new, b.new, options)

    loss, gradient, numbers = b.loss(options)
    assert loss == pytest.approx(expected_loss(b.new), abs=1e-12)
    assert gradient == pytest.approx(differences(expected_loss, b.new), abs=1e-8)
    assert numbers["loss"] == pytest.approx(loss, abs=1e-12)
    # The same in float32, as in training.
    loss, gradient, _ = b.loss(options, dtype=torch.float32)
    assert loss == pytest.approx(expected_loss(b.new), abs=1e-6)
    assert gradient == pytest.approx(differences(expected_loss, b.new), abs=1e-6)


def clips(name: str, b: Batch, options: LossConfig) -> Iterator[bool]:
    """[trained token] Whether the token's term is clipped."""
    for response in b.responses:
        for t in response.learned:
            ratio = math.exp(b.new[t] - b.sampler[t])
            if name == "gspo":
                logs = [b.new[u] - b.sampler[u] for u in response.learned]
                ratio = math.exp(sum(logs) / len(logs))
            above, below = ratio > 1 + options.clip_high, ratio < 1 - options.clip_low
            rises = response.advantage > 0
            yield (above or below) if name == "cispo" else (above if rises else below)


@pytest.mark.parametrize("name", NAMES)
def test_clip_fraction_counts_the_clipped(name: str) -> None:
    b = Batch(3)
    options = loss_options(name)
    clipped = list(clips(name, b, options))
    assert 0 < sum(clipped) < len(clipped)
    _, gradient, numbers = b.loss(options)
    assert numbers["clip_fraction"] == pytest.approx(sum(clipped) / len(clipped))
    # Clipped terms have no gradient, except in cispo.
    for t, is_clipped in zip(b.learned, clipped, strict=True):
        assert (gradient[t] == 0) == (is_clipped and name != "cispo")


@pytest.mark.parametrize("name", NAMES)
def test_on_policy_all_are_the_policy_gradient(name: str) -> None:
    b = Batch(4)
    b.new = b.sampler.copy()
    _, gradient, numbers = b.loss(loss_options(name))
    expected = [0.0] * len(b.new)
    for response in b.responses:
        per_token = {
            "grpo": len(response.tokens) * len(b.responses),
            "gspo": len(response.learned) * len(b.responses),
            "dr_grpo": MAX_TOKENS * len(b.responses),
        }.get(name, len(b.learned))
        for t in response.learned:
            expected[t] = -response.advantage / per_token
    assert gradient == pytest.approx(expected, abs=1e-12)
    assert numbers["clip_fraction"] == numbers["gap"] == numbers["gap_max"] == 0


@pytest.mark.parametrize("name", NAMES)
def test_splitting_a_batch_changes_nothing(name: str) -> None:
    b = Batch(5)
    options = loss_options(
        name, old="trainer", tis_cap=1.05, sequence_mask=0.12, kl=0.3, entropy=0.2
    )
    assert len(b.packs()) == 1
    assert len(b.packs(24)) >= 4
    loss, gradient, numbers = b.loss(options, kl=True)
    split, split_gradient, split_numbers = b.loss(options, 24, kl=True)
    assert split == pytest.approx(loss, abs=1e-12)
    assert split_gradient == pytest.approx(gradient, abs=1e-12)
    assert split_numbers == pytest.approx(numbers, abs=1e-7)  # shares are float32


def test_scale_counts_all_responses_and_the_learned_tokens() -> None:
    b = Batch(6, train_end=False)
    masked = sum(not response.learned for response in b.responses)
    assert masked > 0
    scale = Scale.of(b.packs(24), MAX_TOKENS)
    assert scale == Scale(len(b.responses), len(b.learned), MAX_TOKENS)
    assert Scale.of([], 9) == Scale(0, 1, 9)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_masked_has_no_part_however_wild(name: str) -> None:
    b = Batch(6, train_end=False)
    options = loss_options(name, old="trainer", kl=0.1, tis_cap=2.0, sequence_mask=0.2)
    before = b.loss(options, kl=True)
    masked = set(range(len(b.new))) - set(b.learned)
    assert masked
    for t in masked:
        b.new[t], b.old[t], b.sampler[t], b.reference[t] = -0.1, -3000.0, -6000.0, -9.0
        b.entropy[t] = 50.0
    for group in b.groups:
        for response in group.responses:
            logprobs = response.sample.logprobs
            logprobs[:] = [b.sampler[t] for t in response.sample.ids]
    after = b.loss(options, kl=True)
    assert after[:2] == before[:2]
    assert after[2] == before[2]
    assert all(before[1][t] == 0 for t in masked)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("wild", [3000.0, -3000.0])
def test_no_ratio_makes_nan(name: str, wild: float) -> None:
    b = Batch(7)
    b.new = [p + wild for p in b.sampler]
    options = loss_options(name, kl=0.1)
    b.reference = [p - wild for p in b.new]
    loss, gradient, numbers = b.loss(options, dtype=torch.float32, kl=True)
    assert all(map(math.isfinite, [loss, *gradient, *numbers.values()]))


def test_a_batch_of_truncated_responses_alone_is_no_loss() -> None:
    b = Batch(8)
    for group in b.groups:
        for r in group.responses:
            r.sample = Sample(r.sample.ids, r.sample.logprobs, "length")
    loss, gradient, numbers = b.loss(loss_options("dapo"))
    assert loss == 0
    assert set(gradient) == {0.0}
    assert numbers["gap_max"] == numbers["entropy"] == 0


@pytest.mark.parametrize("name", NAMES)
def test_truncated_importance_sampling_weighs_each_token(name: str) -> None:
    b, cap = Batch(9), 1.05
    plain, corrected = (b.loss(loss_options(name, old="trainer", tis_cap=c)) for c in (0.0, cap))
    weights = [min(math.exp(b.old[t] - b.sampler[t]), cap) for t in range(len(b.new))]
    assert any(weights[t] == cap for t in b.learned)
    assert any(weights[t] < cap for t in b.learned)
    assert corrected[2]["trust"] == pytest.approx(
        sum(weights[t] for t in b.learned) / len(b.learned)
    )
    assert plain[2]["trust"] == 1
    if name != "gspo":
        expected = [w * slope for w, slope in zip(weights, plain[1], strict=True)]
        assert corrected[1] == pytest.approx(expected, abs=1e-12)
    else:  # the response's single ratio is weighted by the mean over its tokens
        for response in b.responses:
            if response.learned:
                share = sum(weights[t] for t in response.learned) / len(response.learned)
                for t in response.learned:
                    assert corrected[1][t] == pytest.approx(share * plain[1][t], abs=1e-12)
    # If the ratio's denominator is the sampler's, the ratio includes the gap.
    with_sampler = [b.loss(loss_options(name, old="sampler", tis_cap=c)) for c in (0.0, cap)]
    assert with_sampler[0] == with_sampler[1]


@pytest.mark.parametrize("old", ["sampler", "trainer"])
def test_sequence_masking_leaves_out_what_the_trainer_sees_otherwise(old: str) -> None:
    b = Batch(10)
    trainer = b.old if old == "trainer" else b.new
    gaps = {
        i: sum(abs(trainer[t] - b.sampler[t]) for t in response.learned) / len(response.learned)
        for i, response in enumerate(b.responses)
        if response.learned
    }
    limit = sorted(gaps.values())[len(gaps) // 2] + 1e-9
    _, plain, _ = b.loss(loss_options("dr_grpo", old=old))
    _, gradient, numbers = b.loss(loss_options("dr_grpo", old=old, sequence_mask=limit))
    unmasked = [t for i in gaps if gaps[i] <= limit for t in b.responses[i].learned]
    assert 0 < len(unmasked) < len(b.learned)
    assert gradient == [slope if t in unmasked else 0 for t, slope in enumerate(plain)]
    assert numbers["trust"] == pytest.approx(len(unmasked) / len(b.learned))


def test_kl_and_entropy_are_means_over_learned_tokens() -> None:
    b = Batch(11)
    plain = loss_options("dapo")
    options = loss_options("dapo", kl=0.3, entropy=0.2)

    def k3(new: list[float]) -> float:
        return sum(
            math.exp(b.reference[t] - new[t]) - (b.reference[t] - new[t]) - 1 for t in b.learned
        ) / len(b.learned)

    entropy = sum(b.entropy[t] for t in b.learned) / len(b.learned)
    loss, gradient, numbers = b.loss(options, kl=True)
    without, without_gradient, _ = b.loss(plain)
    assert loss == pytest.approx(without + 0.3 * k3(b.new) - 0.2 * entropy, abs=1e-12)
    difference = [a - c for a, c in zip(gradient, without_gradient, strict=True)]
    assert difference == pytest.approx([0.3 * s for s in differences(k3, b.new)], abs=1e-8)
    assert numbers["kl"] == pytest.approx(k3(b.new))
    assert numbers["entropy"] == pytest.approx(entropy)
    assert numbers["kl"] > 0
    assert "kl" not in b.loss(plain)[2]


def test_the_entropy_bonus_raises_entropy() -> None:
    b = Batch(11)
    (pack,) = b.packs()
    entropy = torch.tensor(b.entropy)[pack.target_ids].requires_grad_()
    old = pack.sampler_logprob
    stats = TokenStats(old.clone().requires_grad_(), entropy)
    scale = Scale.of([pack], MAX_TOKENS)
    options = loss_options("grpo", entropy=0.2)
    loss, _ = pack_loss(OBJECTIVES["grpo"], stats, pack, old, scale, options)
    torch.autograd.backward(loss)
    expected = -0.2 * pack.mask / len(b.learned)
    torch.testing.assert_close(entropy.grad, expected)


@pytest.mark.parametrize("old", ["sampler", "trainer"])
def test_the_gap_is_always_told(old: str) -> None:
    b = Batch(12)
    trainer = b.old if old == "trainer" else b.new
    ratios = [trainer[t] - b.sampler[t] for t in b.learned]
    _, _, numbers = b.loss(loss_options("grpo", old=old), 24)

    def mean(values: Iterator[float]) -> float:
        return sum(values) / len(ratios)

    expected = {
        "gap": mean(abs(d) for d in ratios),
        "gap_max": max(abs(d) for d in ratios),
        "gap_k1": mean(-d for d in ratios),
        "gap_k3": mean(math.exp(d) - 1 - d for d in ratios),
        "gap_ratio": mean(math.exp(d) for d in ratios),
    }
    assert {name: numbers[name] for name in expected} == pytest.approx(expected)


def test_numbers_are_summed_over_packs_and_averaged_over_steps() -> None:
    steps = [[{"a": 1.0, "b_max": 3.0}, {"a": 2.0, "b_max": 5.0}], [{"a": 7.0, "b_max": 4.0}]]
    assert combine(steps) == {"a": 5.0, "b_max": 5.0}
