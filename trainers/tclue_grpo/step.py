"""One iteration: sample groups, grade them, centre the rewards, pack, take the gradient, update.

    numbers = iterate(state)

The loop of Shao et al., 2024 (DeepSeekMath, https://arxiv.org/abs/2402.03300, algorithm 1), with
what later papers found to matter as options.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from tclue.bench.stats.intervals import mean
from tclue.puzzle.grading.grade import Grader, grader
from tclue.puzzle.puzzle import Puzzle
from tclue_grpo.config import Config, UpdateConfig
from tclue_grpo.data import Puzzles
from tclue_grpo.distributed import all_gather, broadcast_from_rank_zero, full_tensor
from tclue_grpo.engines import Engine
from tclue_grpo.losses import Scale, aggregate_steps, pack_loss
from tclue_grpo.objectives import OBJECTIVES, mismatch_weights
from tclue_grpo.packing import Pack, pack, packs_of_this_rank
from tclue_grpo.policy import Policy
from tclue_grpo.reference import Reference
from tclue_grpo.rewards import advantages, has_spread, rewards
from tclue_grpo.rollout import Group, Numbers, describe, graded, requests_for
from tclue_grpo.shaping import shuffled

# The log-probabilities [target] that a pack's ratio is taken to, None for those of its own first
# forward; and those of the reference, None without a KL term.
OldAndReference = tuple[Tensor | None, Tensor | None]


class Optimizer:
    """AdamW (Loshchilov and Hutter, https://arxiv.org/abs/1711.05101), with clipped gradients.

    It updates the weights as they are; for a model in bf16 see `master_weights`.
    """

    def __init__(
        self, weights: list[Tensor], update: UpdateConfig, masters: list[Tensor] | None = None
    ) -> None:
        """`masters` are what AdamW updates, in the order of the weights; themselves if None."""
        self.weights, self.masters, self._update = weights, masters or weights, update
        self.reset()

    def reset(self) -> None:
        """Forget the moments."""
        betas, decay = self._update.betas, self._update.weight_decay
        self.adamw = torch.optim.AdamW(self.masters, betas=betas, weight_decay=decay)

    def backward(self, loss: Tensor) -> None:
        """Add a pack's gradients to what there is."""
        torch.autograd.backward(loss)

    def step(self, rate: float) -> tuple[float, bool]:
        """Apply the gradients and drop them: their norm, and whether they were finite."""
        gradients = [m.grad for m in self.masters if m.grad is not None]
        norm = full_tensor(nn.utils.get_total_norm(gradients))
        if finite := bool(norm.isfinite()):
            if self._update.clip_norm:
                nn.utils.clip_grads_with_norm_(self.masters, self._update.clip_norm, norm)
            for group in self.adamw.param_groups:
                group["lr"] = rate
            self.adamw.step()
        self.adamw.zero_grad()
        return float(norm), finite


@dataclass
class TrainState:
    """What an iteration changes, and what it needs for that."""

    config: Config
    policy: Policy
    optimizer: Optimizer
    engine: Engine
    puzzles: Puzzles
    tokenizer: Any
    # what a KL term refers to; None without one
    reference: Reference | None = None
    iteration: int = 0
    # what the learning rate is multiplied with: less than 1 after a roll-back
    rate_factor: float = 1.0
    grader: Grader = field(default_factory=lambda: grader("sound"))
    # seconds of each stage of the iteration
    timings: Numbers = field(default_factory=dict)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the block's seconds to a stage's."""
        start = time.perf_counter()
        yield
        self.timings[stage] = self.timings.get(stage, 0.0) + time.perf_counter() - start


def iterate(state: TrainState) -> Numbers:
    """Take one iteration; the numbers that describe it."""
    state.timings = {}
    state.engine.sync(state.policy)
    groups, dropped = collect(state)
    numbers = describe([*groups, *dropped]) | {"groups": len(groups), "dropped": len(dropped)}
    # an optimizer step each, of about as many groups
    steps = state.config.update.steps_per_iteration
    with state.timed("pack_s"):
        batches = [packed(state, part) for i in range(steps) if (part := groups[i::steps])]
    with state.timed("train_s"):
        numbers |= update(state, batches)
    state.iteration += 1
    return numbers


def collect(state: TrainState) -> tuple[list[Group], list[Group]]:
    """Groups with spread, as many as wanted if a few rounds bring them; and those without."""
    config = state.config
    kept, dropped = list[Group](), list[Group]()
    # Of puzzles that come again, a refill would bring the same ones, with the same responses.
    for _ in range(1 if config.data.puzzles else 1 + config.rollout.refill_rounds):
        missing = config.data.puzzles_per_iteration - len(kept)
        if missing <= 0:
            break
        with state.timed("puzzles_s"):
            puzzles = broadcast_from_rank_zero(partial(state.puzzles.take, missing))
        groups = sample(state, puzzles)
        if config.reward.shuffle:
            shuffled(groups, config.train.seed + state.iteration)
        for group in groups:
            gains = advantages([r.reward for r in group.responses], config.advantage.divide_by_std)
            for response, gain in zip(group.responses, gains, strict=True):
                response.advantage = gain
            (kept if has_spread(group) else dropped).append(group)
    return kept, dropped


def sample(state: TrainState, puzzles: Sequence[Puzzle]) -> list[Group]:
    """Groups of graded responses, with their rewards."""
    config, tokenizer = state.config, state.tokenizer
    with state.timed("sample_s"):
        count, seed = config.rollout.responses_per_puzzle, config.train.seed
        requests = requests_for(tokenizer, puzzles, count, seed, state.iteration)
        samples = state.engine.sample(requests)
    with state.timed("grade_s"):
        groups = graded(tokenizer, state.grader, puzzles, requests, samples)
        for group in groups:
            earned = rewards(group, config.reward, config.rollout.max_tokens)
            for response, reward in zip(group.responses, earned, strict=True):
                response.reward = reward
    return groups


def packed(state: TrainState, groups: Sequence[Group]) -> list[Pack]:
    """The packs of one optimizer step."""
    config = state.config
    return pack(
        groups,
        config.packing.length,
        pad_to=config.packing.length if state.policy.device.type == "cuda" else None,
        mask_truncated=config.advantage.mask_truncated,
        train_end=config.loss.train_end_token,
    )


def update(state: TrainState, batches: Sequence[Sequence[Pack]]) -> Numbers:
    """One optimizer step for each batch of packs, of which each process takes its share."""
    config, policy, optimizer = state.config, state.policy, state.optimizer
    options = config.loss
    rate = learning_rate(config, state.iteration) * state.rate_factor
    if not batches:  # no group had spread
        return {"grad_norm": 0.0, "moved": 0.0, "skipped_steps": 0, "rate": rate}
    if config.update.reset_adam_each_iteration:
        optimizer.reset()
    policy.train()
    scales = [Scale.of(batch, config.rollout.max_tokens) for batch in batches]
    batches = [[pack.to(policy.device) for pack in packs_of_this_rank(b)] for b in batches]
    fixed = old_and_reference_logprobs(state, batches)
    nows: list[Tensor] = []  # [pack] log-probabilities [target] when the pack's turn comes
    numbers: list[list[Numbers]] = []  # [step][pack]
    steps: list[tuple[float, bool]] = []
    for batch, of_batch, scale in zip(batches, fixed, scales, strict=True):
        numbers.append([])
        for part, (old, reference) in zip(batch, of_batch, strict=True):
            stats = policy(part)
            now = stats.logprobs.detach()
            nows.append(now)
            before = now if old is None else old
            trust = None
            if options.tis_cap or options.sequence_mask:
                trust = mismatch_weights(before if options.old == "trainer" else now, part, options)
            objective = OBJECTIVES[options.objective]
            loss, of_pack = pack_loss(
                objective, stats, part, before, scale, options, reference, trust
            )
            optimizer.backward(loss)
            numbers[-1].append(of_pack)
        steps.append(optimizer.step(rate))
    change = mean_abs_logprob_change(policy, batches[0][0], nows[0])
    totals = {
        "grad_norm": mean(norm for norm, _ in steps),
        "skipped_steps": sum(not finite for _, finite in steps),
        "rate": rate,
        "moved": broadcast_from_rank_zero(lambda: change),
    }
    of_all = zip(*all_gather(numbers), strict=True)
    return aggregate_steps([[*chain(*parts)] for parts in of_all]) | totals


def learning_rate(config: Config, iteration: int) -> float:
    """The rate of an iteration, counted from 0: it rises, stays, and falls."""
    update = config.update
    warm = min(1.0, (iteration + 1) / (update.warmup_iterations + 1))
    responses = config.data.puzzles_per_iteration * config.rollout.responses_per_puzzle
    share = responses / update.steps_per_iteration / update.scale_responses
    scaled = min(share, update.scale_cap) if update.scale_cap else 1.0
    left = max(0, config.train.iterations - iteration)
    cool = min(1.0, left / (update.decay_iterations + 1))
    return update.learning_rate * warm * cool * scaled


@torch.no_grad()
def old_and_reference_logprobs(
    state: TrainState, batches: Sequence[Sequence[Pack]]
) -> list[list[OldAndReference]]:
    """[step][pack] Log-probabilities that stay as they are while the policy moves."""

    def logprobs(batch: Sequence[Pack]) -> list[Tensor]:
        return [state.policy(part).logprobs for part in batch]

    fixed: list[list[OldAndReference]] = []
    for batch in batches:
        olds: list[Tensor | None] = [None] * len(batch)
        if state.config.loss.old == "sampler":
            olds = [part.sampler_logprob for part in batch]
        elif len(batches) > 1:  # else the forward that is learned from says it, too
            olds = [*logprobs(batch)]
        references: list[Tensor | None] = [None] * len(batch)
        if state.reference:
            with state.reference.in_place():
                references = [*logprobs(batch)]
        fixed.append(list(zip(olds, references, strict=True)))
    return fixed


@torch.no_grad()
def mean_abs_logprob_change(policy: Policy, part: Pack, before: Tensor) -> float:
    """How far an iteration's steps have moved the policy, by the first pack's learned tokens; nats.

    It is known before anything is sampled from the new weights: the first sign of too large a step.
    """
    change = (policy(part).logprobs - before).abs()
    return float((change * part.mask).sum() / part.mask.sum().clamp(min=1))
