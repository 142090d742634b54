"""One iteration: sample groups, grade them, centre the rewards, pack, take the gradient, update.

The loop of Shao et al., 2024 (DeepSeekMath, https://arxiv.org/abs/2402.03300, algorithm 1), with
what later papers found to matter as options.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import chain

import torch
from torch import Tensor, nn

from tclue.bench.stats.intervals import mean
from tclue.puzzle.puzzle import Puzzle
from tclue_grpo.anchors import old_and_reference_logprobs
from tclue_grpo.config import UpdateConfig
from tclue_grpo.distributed import (
    all_gather,
    broadcast_from_rank_zero,
    full_tensor,
    packs_of_this_rank,
)
from tclue_grpo.iteration_metrics import Numbers, aggregate_steps, describe, mean_abs_logprob_change
from tclue_grpo.learner import TrainState
from tclue_grpo.losses import Scale, pack_loss
from tclue_grpo.objectives import OBJECTIVES
from tclue_grpo.packing import pack
from tclue_grpo.policy import Pack, Policy
from tclue_grpo.rewards import advantages, has_spread, rewards
from tclue_grpo.rollout import Group, graded, requests_for
from tclue_grpo.schedule import learning_rate, sampling_rounds
from tclue_grpo.shaping import shuffled


class Optimizer:
    """AdamW on fp32 master weights (Loshchilov and Hutter, https://arxiv.org/abs/1711.05101).

    fp32 weights are their own masters, and gradients add up in fp32. With `bf16_updates` bf16
    weights are too, so that a step smaller than their spacing is lost: the published recipe.
    """

    def __init__(self, policy: Policy, update: UpdateConfig) -> None:
        self.weights = [p for p in policy.parameters() if p.requires_grad]
        own = update.bf16_updates
        self.masters = [
            p if own or p.dtype == torch.float32 else p.detach().float() for p in self.weights
        ]
        pairs = zip(self.masters, self.weights, strict=True)
        self._apart = [(m, w) for m, w in pairs if m is not w]
        self._update = update
        self.reset()

    def reset(self) -> None:
        """Forget the moments."""
        betas, decay = self._update.betas, self._update.weight_decay
        self.adamw = torch.optim.AdamW(self.masters, betas=betas, weight_decay=decay)

    def backward(self, loss: Tensor) -> None:
        """Add a pack's gradients to what there is."""
        torch.autograd.backward(loss)
        for master, weight in self._apart:
            if weight.grad is not None:
                more, weight.grad = weight.grad.float(), None
                master.grad = more if master.grad is None else master.grad.add_(more)

    def step(self, rate: float) -> tuple[float, bool]:
        """Apply the gradients and drop them: their norm, and whether they were finite."""
        norm = full_tensor(
            nn.utils.get_total_norm([m.grad for m in self.masters if m.grad is not None])
        )
        if finite := bool(norm.isfinite()):
            if self._update.clip_norm:
                nn.utils.clip_grads_with_norm_(self.masters, self._update.clip_norm, norm)
            for group in self.adamw.param_groups:
                group["lr"] = rate
            self.adamw.step()
            with torch.no_grad():
                for master, weight in self._apart:
                    weight.copy_(master)
        self.adamw.zero_grad()
        return float(norm), finite


def iterate(learner: TrainState) -> Numbers:
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


def collect(learner: TrainState) -> tuple[list[Group], list[Group]]:
    """Groups with spread, as many as wanted if a few rounds bring them; and those without."""
    config = learner.config
    kept, dropped = list[Group](), list[Group]()
    for _ in range(sampling_rounds(config)):
        missing = config.data.puzzles_per_iteration - len(kept)
        if missing <= 0:
            break
        with learner.timed("puzzles_s"):
            puzzles = broadcast_from_rank_zero(partial(learner.puzzles.take, missing))
        groups = sample(learner, puzzles)
        if config.reward.shuffle:
            shuffled(groups, config.train.seed + learner.iteration)
        for group in groups:
            gains = advantages([r.reward for r in group.responses], config.advantage.divide_by_std)
            for response, gain in zip(group.responses, gains, strict=True):
                response.advantage = gain
            (kept if has_spread(group) else dropped).append(group)
    return kept, dropped


def sample(learner: TrainState, puzzles: Sequence[Puzzle]) -> list[Group]:
    """Groups of graded responses, with their rewards."""
    config, tokenizer = learner.config, learner.tokenizer
    with learner.timed("sample_s"):
        count, seed = config.rollout.responses_per_puzzle, config.train.seed
        requests = requests_for(tokenizer, puzzles, count, seed, learner.iteration)
        samples = learner.engine.sample(requests)
    with learner.timed("grade_s"):
        groups = graded(tokenizer, learner.grader, puzzles, requests, samples)
        for group in groups:
            earned = rewards(group, config.reward, config.rollout.max_tokens)
            for response, reward in zip(group.responses, earned, strict=True):
                response.reward = reward
    return groups


def packed(learner: TrainState, groups: Sequence[Group]) -> list[Pack]:
    """The packs of one optimizer step."""
    config = learner.config
    return pack(
        groups,
        config.packing.length,
        pad_to=config.packing.length if learner.policy.device.type == "cuda" else None,
        mask_truncated=config.advantage.mask_truncated,
        train_end=config.loss.train_end_token,
    )


def update(learner: TrainState, batches: Sequence[Sequence[Pack]]) -> Numbers:
    """One optimizer step for each batch of packs, of which each process takes its share."""
    config, policy, optimizer = learner.config, learner.policy, learner.optimizer
    rate = learning_rate(config, learner.iteration) * learner.rate_factor
    if not batches:  # no group had spread
        return {"grad_norm": 0.0, "moved": 0.0, "skipped_steps": 0, "rate": rate}
    if config.update.reset_adam_each_iteration:
        optimizer.reset()
    policy.train()
    objective = OBJECTIVES[config.loss.objective]
    scales = [Scale.of(batch, config.rollout.max_tokens) for batch in batches]
    batches = [[one.to(policy.device) for one in packs_of_this_rank(batch)] for batch in batches]
    held = old_and_reference_logprobs(policy, batches, config.loss)
    nows: list[Tensor] = []  # [pack] log-probabilities when the pack's turn comes
    numbers: list[list[Numbers]] = []
    taken: list[tuple[float, bool]] = []
    for batch, of_batch, scale in zip(batches, held, scales, strict=True):
        numbers.append([])
        for one, (old, reference) in zip(batch, of_batch, strict=True):
            stats = policy(one)
            now = stats.logprobs.detach()
            nows.append(now)
            before = now if old is None else old
            loss, told = pack_loss(objective, stats, one, before, scale, config.loss, reference)
            optimizer.backward(loss)
            numbers[-1].append(told)
        taken.append(optimizer.step(rate))
    change = mean_abs_logprob_change(policy, batches[0][0], nows[0])
    totals = {
        "grad_norm": mean(norm for norm, _ in taken),
        "skipped_steps": sum(not finite for _, finite in taken),
        "rate": rate,
        "moved": broadcast_from_rank_zero(lambda: change),
    }
    return (
        aggregate_steps([[*chain(*parts)] for parts in zip(*all_gather(numbers), strict=True)])
        | totals
    )
