"""One iteration: sample groups, grade them, centre the rewards, pack, compute gradients, update.

    numbers = iterate(state)

It is the loop of Shao et al., 2024 (DeepSeekMath, https://arxiv.org/abs/2402.03300, algorithm 1);
improvements from later papers are options.
"""

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
from tclue.puzzle.puzzle import Puzzle
from tclue_grpo.config import Config, UpdateConfig
from tclue_grpo.data import Puzzles
from tclue_grpo.distributed import all_gather, broadcast_from_rank_zero, full_tensor
from tclue_grpo.engines import Engine
from tclue_grpo.lora import Reference
from tclue_grpo.losses import Scale, aggregate_steps, pack_loss
from tclue_grpo.objectives import OBJECTIVES, mismatch_weights
from tclue_grpo.packing import Pack, pack_groups, packs_of_this_rank
from tclue_grpo.policy import Policy
from tclue_grpo.rewards import advantages, reward_of, shuffle_rewards
from tclue_grpo.rollout import Group, Numbers, describe, grade_samples, requests_for

# A pack's old log-probabilities [target] in the ratio, None for those of its own training forward;
# and the reference's, None without a KL term.
OldAndReference = tuple[Tensor | None, Tensor | None]


class Optimizer:
    """AdamW (Loshchilov and Hutter, https://arxiv.org/abs/1711.05101), with clipped gradients.

    It updates the weights themselves; for a model in bf16 see `master_weights`.
    """

    def __init__(
        self, weights: list[Tensor], update: UpdateConfig, masters: list[Tensor] | None = None
    ) -> None:
        """`masters` are the tensors that AdamW updates, one for each weight; None is `weights`."""
        self.weights, self.masters, self._update = weights, masters or weights, update
        self.reset()

    def reset(self) -> None:
        """Reset AdamW's moments."""
        betas, decay = self._update.betas, self._update.weight_decay
        self.adamw = torch.optim.AdamW(self.masters, betas=betas, weight_decay=decay)

    def backward(self, loss: Tensor) -> None:
        """Add a pack's gradients to the accumulated ones."""
        torch.autograd.backward(loss)

    def step(self, rate: float) -> tuple[float, bool]:
        """Apply and clear the gradients; return their norm and whether it was finite."""
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
    """All that an iteration reads and changes."""

    config: Config
    policy: Policy
    optimizer: Optimizer
    engine: Engine
    puzzles: Puzzles
    tokenizer: Any
    # the reference model of the KL term; None without one
    reference: Reference | None = None
    iteration: int = 0
    # factor on the learning rate: below 1 after a rollback
    rate_factor: float = 1.0
    # seconds of each stage of the iteration
    timings: Numbers = field(default_factory=dict)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the block's seconds to a stage's."""
        start = time.perf_counter()
        yield
        self.timings[stage] = self.timings.get(stage, 0.0) + time.perf_counter() - start


def iterate(state: TrainState) -> Numbers:
    """Run one iteration, and return its numbers."""
    state.timings = {}
    state.engine.sync(state.policy)
    groups, dropped = collect(state)
    numbers = describe([*groups, *dropped]) | {"groups": len(groups), "dropped": len(dropped)}
    # one batch for each optimizer step, all with about the same number of groups
    steps = state.config.update.steps_per_iteration
    with state.timed("pack_s"):
        batches = [make_batch(state, part) for i in range(steps) if (part := groups[i::steps])]
    with state.timed("train_s"):
        numbers |= update(state, batches)
    state.iteration += 1
    return numbers


def collect(state: TrainState) -> tuple[list[Group], list[Group]]:
    """Sample groups until enough have spread or the rounds are used up; those with and without."""
    config, seed = state.config, state.config.train.seed
    kept, dropped = list[Group](), list[Group]()
    # With a fixed set of puzzles, a refill would bring the same puzzles and the same responses.
    for _ in range(1 if config.data.puzzles else 1 + config.rollout.refill_rounds):
        missing = config.data.puzzles_per_iteration - len(kept)
        if missing <= 0:
            break
        with state.timed("puzzles_s"):
            puzzles = broadcast_from_rank_zero(partial(state.puzzles.take, missing))
        size = config.rollout.responses_per_puzzle
        groups = sample(state, puzzles, size, seed, state.iteration)
        if config.reward.shuffle:
            shuffle_rewards(groups, seed + state.iteration)
        for group in groups:
            values = advantages([r.reward for r in group.responses], config.advantage.divide_by_std)
            for response, value in zip(group.responses, values, strict=True):
                response.advantage = value
            # Equal rewards give no gradient.
            (kept if any(values) else dropped).append(group)
    return kept, dropped


def sample(
    state: TrainState, puzzles: Sequence[Puzzle], count: int, seed: int, iteration: int
) -> list[Group]:
    """Sample and grade a group of `count` responses for each puzzle, with rewards."""
    config, tokenizer = state.config, state.tokenizer
    with state.timed("sample_s"):
        requests = requests_for(tokenizer, puzzles, count, seed, iteration)
        samples = state.engine.sample(requests)
    with state.timed("grade_s"):
        limit = config.rollout.max_tokens
        groups = grade_samples(tokenizer, puzzles, requests, samples)
        for group in groups:
            for response in group.responses:
                response.reward = reward_of(group, response, config.reward, limit)
    return groups


def make_batch(state: TrainState, groups: Sequence[Group]) -> list[Pack]:
    """The packs of one optimizer step."""
    config = state.config
    return pack_groups(
        groups,
        config.packing.length,
        pad_to=config.packing.length if state.policy.device.type == "cuda" else None,
        mask_truncated=config.advantage.mask_truncated,
        train_end=config.loss.train_end_token,
    )


def update(state: TrainState, batches: Sequence[Sequence[Pack]]) -> Numbers:
    """Take one optimizer step for each batch of packs, which the processes share."""
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
    fixed_logprobs = old_and_reference_logprobs(state, batches)
    new_logprobs: list[Tensor] = []  # [pack] log-probabilities [target] in the training forward
    numbers: list[list[Numbers]] = []  # [step][pack]
    steps: list[tuple[float, bool]] = []
    for batch, logprobs, scale in zip(batches, fixed_logprobs, scales, strict=True):
        numbers.append([])
        for pack, (old, reference) in zip(batch, logprobs, strict=True):
            stats = policy(pack)
            new = stats.logprobs.detach()
            new_logprobs.append(new)
            old = new if old is None else old
            trust = None
            if options.tis_cap or options.sequence_mask:
                trust = mismatch_weights(old if options.old == "trainer" else new, pack, options)
            objective = OBJECTIVES[options.objective]
            loss, part = pack_loss(objective, stats, pack, old, scale, options, reference, trust)
            optimizer.backward(loss)
            numbers[-1].append(part)
        steps.append(optimizer.step(rate))
    change = mean_abs_logprob_change(policy, batches[0][0], new_logprobs[0])
    totals = {
        "grad_norm": mean(norm for norm, _ in steps),
        "skipped_steps": sum(not finite for _, finite in steps),
        "rate": rate,
        "moved": broadcast_from_rank_zero(lambda: change),
    }
    by_step = zip(*all_gather(numbers), strict=True)
    return aggregate_steps([[*chain(*packs)] for packs in by_step]) | totals


def learning_rate(config: Config, iteration: int) -> float:
    """The learning rate of an iteration, counted from 0: warm-up, constant, decay."""
    update = config.update
    warmup = min(1.0, (iteration + 1) / (update.warmup_iterations + 1))
    responses = config.data.puzzles_per_iteration * config.rollout.responses_per_puzzle
    size_ratio = responses / update.steps_per_iteration / update.scale_responses
    size_factor = min(size_ratio, update.scale_cap) if update.scale_cap else 1.0
    remaining = max(0, config.train.iterations - iteration)
    decay = min(1.0, remaining / (update.decay_iterations + 1))
    return update.learning_rate * warmup * decay * size_factor


@torch.no_grad()
def old_and_reference_logprobs(
    state: TrainState, batches: Sequence[Sequence[Pack]]
) -> list[list[OldAndReference]]:
    """[step][pack] Log-probabilities that stay fixed while the policy is updated."""

    def logprobs(batch: Sequence[Pack]) -> list[Tensor]:
        return [state.policy(pack).logprobs for pack in batch]

    by_step: list[list[OldAndReference]] = []
    for batch in batches:
        old: list[Tensor | None] = [None] * len(batch)
        if state.config.loss.old == "sampler":
            old = [pack.sampler_logprob for pack in batch]
        elif len(batches) > 1:  # with one step, the training forward computes the same
            old = [*logprobs(batch)]
        reference: list[Tensor | None] = [None] * len(batch)
        if state.reference:
            with state.reference.in_place():
                reference = [*logprobs(batch)]
        by_step.append(list(zip(old, reference, strict=True)))
    return by_step


@torch.no_grad()
def mean_abs_logprob_change(policy: Policy, pack: Pack, before: Tensor) -> float:
    """How far an iteration moved the policy, on the trained tokens of the first pack; nats.

    It is known before anything is sampled from the new weights: the first sign of a large step.
    """
    change = (policy(pack).logprobs - before).abs()
    return float((change * pack.mask).sum() / pack.mask.sum().clamp(min=1))
