"""One iteration: sample groups, grade them, centre the rewards, pack, take the gradient, update.

The loop of Shao et al., 2024 (DeepSeekMath, https://arxiv.org/abs/2402.03300, algorithm 1), with
what later papers found to matter as options. `Learner` holds what an iteration changes: the policy,
the optimizer, and where it is in the puzzles.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from tclue.bench.chat import prompt_ids
from tclue.bench.intervals import mean
from tclue.puzzle.grade import Grader, grader
from tclue.puzzle.puzzle import Puzzle
from tclue_grpo.anchors import anchors
from tclue_grpo.config import Config, Update
from tclue_grpo.data import Puzzles
from tclue_grpo.losses import Scale, pack_loss
from tclue_grpo.measures import Numbers, combined, describe, moved
from tclue_grpo.objectives import OBJECTIVES
from tclue_grpo.packing import pack
from tclue_grpo.policy import Pack, Policy
from tclue_grpo.rewards import advantages, has_spread, rewards
from tclue_grpo.rollout import Engine, Group, Request, Response, request_seed
from tclue_grpo.schedule import learning_rate
from tclue_grpo.shaping import shuffled


class Optimizer:
    """AdamW on fp32 master weights (Loshchilov and Hutter, https://arxiv.org/abs/1711.05101).

    fp32 weights are their own masters. With `bf16_updates` bf16 weights are too, so that a step
    smaller than their spacing is lost: the published recipe.
    """

    def __init__(self, policy: Policy, update: Update) -> None:
        self.weights = [p for p in policy.parameters() if p.requires_grad]
        own = update.bf16_updates
        self.masters = [
            p if own or p.dtype == torch.float32 else p.detach().float() for p in self.weights
        ]
        self._update = update
        self.reset()

    def reset(self) -> None:
        """Forget the moments."""
        betas, decay = self._update.betas, self._update.weight_decay
        self.adamw = torch.optim.AdamW(self.masters, betas=betas, weight_decay=decay)

    def step(self, rate: float) -> tuple[float, bool]:
        """Apply the gradients and drop them: their norm, and whether they were finite."""
        apart = [(m, w) for m, w in zip(self.masters, self.weights, strict=True) if m is not w]
        for master, weight in apart:
            if weight.grad is not None:
                master.grad, weight.grad = weight.grad.float(), None
        norm = nn.utils.get_total_norm([m.grad for m in self.masters if m.grad is not None])
        finite = bool(norm.isfinite())
        if finite:
            if self._update.clip_norm:
                nn.utils.clip_grads_with_norm_(self.masters, self._update.clip_norm, norm)
            for group in self.adamw.param_groups:
                group["lr"] = rate
            self.adamw.step()
            with torch.no_grad():
                for master, weight in apart:
                    weight.copy_(master)
        self.adamw.zero_grad()
        return float(norm), finite


@dataclass
class Learner:
    """What an iteration changes."""

    config: Config
    policy: Policy
    optimizer: Optimizer
    engine: Engine
    puzzles: Puzzles
    tokenizer: Any
    iteration: int = 0
    # what the learning rate is multiplied with: less than 1 after a roll-back
    rate_factor: float = 1.0
    grader: Grader = field(default_factory=lambda: grader("sound"))
    timings: Numbers = field(default_factory=dict)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the block's seconds to a stage's."""
        start = time.perf_counter()
        yield
        self.timings[stage] = self.timings.get(stage, 0.0) + time.perf_counter() - start


def iterate(learner: Learner) -> Numbers:
    """Take one iteration; the numbers that describe it."""
    learner.timings = {}
    learner.engine.sync(learner.policy)
    groups, dropped = collect(learner)
    numbers = describe([*groups, *dropped]) | {"groups": len(groups), "dropped": len(dropped)}
    # an optimizer step each, of about as many groups
    steps = learner.config.update.steps_per_iteration
    with learner.timed("pack_s"):
        batches = [packed(learner, part) for i in range(steps) if (part := groups[i::steps])]
    with learner.timed("train_s"):
        numbers |= update(learner, batches)
    learner.iteration += 1
    return numbers


def collect(learner: Learner) -> tuple[list[Group], list[Group]]:
    """Groups with spread, as many as wanted if a few rounds bring them; and those without."""
    config = learner.config
    kept: list[Group] = []
    dropped: list[Group] = []
    for _ in range(1 + config.rollout.refill_rounds):
        missing = config.data.puzzles_per_iteration - len(kept)
        if missing <= 0:
            break
        with learner.timed("puzzles_s"):
            puzzles = learner.puzzles.take(missing)
        groups = sample(learner, puzzles)
        if config.reward.shuffle:
            shuffled(groups, config.train.seed + learner.iteration)
        for group in groups:
            gains = advantages([r.reward for r in group.responses], config.advantage.divide_by_std)
            for response, gain in zip(group.responses, gains, strict=True):
                response.advantage = gain
            (kept if has_spread(group) else dropped).append(group)
    return kept, dropped


def sample(learner: Learner, puzzles: Sequence[Puzzle]) -> list[Group]:
    """Groups of graded responses, with their rewards."""
    config, tokenizer = learner.config, learner.tokenizer
    with learner.timed("sample_s"):
        requests = [
            Request(
                prompt_ids(tokenizer, puzzle),
                config.rollout.responses_per_puzzle,
                request_seed(config.train.seed, learner.iteration, puzzle),
            )
            for puzzle in puzzles
        ]
        samples = learner.engine.sample(requests)
    groups = []
    with learner.timed("grade_s"):
        for puzzle, request, several in zip(puzzles, requests, samples, strict=True):
            group = Group(puzzle, request.prompt)
            for one in several:
                text = tokenizer.decode(one.ids, skip_special_tokens=True)
                group.responses.append(Response(one, text, learner.grader.grade(puzzle, text)))
            earned = rewards(group, config.reward, config.rollout.max_tokens)
            for response, reward in zip(group.responses, earned, strict=True):
                response.reward = reward
            groups.append(group)
    return groups


def packed(learner: Learner, groups: Sequence[Group]) -> list[Pack]:
    """The packs of one optimizer step."""
    config, device = learner.config, learner.optimizer.weights[0].device
    packs = pack(
        groups,
        config.packing.length,
        pad_to=config.packing.length if device.type == "cuda" else None,
        mask_truncated=config.advantage.mask_truncated,
        train_end=config.loss.train_end_token,
    )
    return [one.to(device) for one in packs]


def update(learner: Learner, batches: Sequence[Sequence[Pack]]) -> Numbers:
    """One optimizer step for each batch of packs."""
    config, policy, optimizer = learner.config, learner.policy, learner.optimizer
    rate = learning_rate(config, learner.iteration) * learner.rate_factor
    if not batches:  # no group had spread
        return {"grad_norm": 0.0, "moved": 0.0, "skipped_steps": 0, "rate": rate}
    if config.update.reset_adam_each_iteration:
        optimizer.reset()
    policy.train()
    objective = OBJECTIVES[config.loss.objective]
    held = anchors(policy, batches, config.loss)
    first: Tensor | None = None  # the log-probabilities of the first pack before any step
    numbers: list[list[Numbers]] = []
    taken: list[tuple[float, bool]] = []
    for batch, of_batch in zip(batches, held, strict=True):
        scale = Scale.of(batch, config.rollout.max_tokens)
        numbers.append([])
        for one, (old, reference) in zip(batch, of_batch, strict=True):
            stats = policy(one)
            now = stats.logprobs.detach()
            first = now if first is None else first
            before = now if old is None else old
            loss, told = pack_loss(objective, stats, one, before, scale, config.loss, reference)
            torch.autograd.backward(loss)
            numbers[-1].append(told)
        taken.append(optimizer.step(rate))
    # Later steps are taken with other weights than were sampled from: that is no gap.
    gap = {name: value for name, value in combined(numbers[:1]).items() if name.startswith("gap")}
    totals = {
        "grad_norm": mean(norm for norm, _ in taken),
        "skipped_steps": sum(not finite for _, finite in taken),
        "rate": rate,
        "moved": moved(policy, batches[0][0], first),
    }
    return combined(numbers) | gap | totals
