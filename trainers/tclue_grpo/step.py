"""One iteration: sample groups, grade them, centre the rewards, pack, take the gradient, update.

The loop of Shao et al., 2024 (DeepSeekMath, https://arxiv.org/abs/2402.03300, algorithm 1), with
what later papers found to matter as options. `Learner` holds what an iteration changes: the policy,
the optimizer, and where it is in the puzzles.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from tclue.bench.intervals import mean
from tclue.puzzle.grade import Grader, grader
from tclue.puzzle.puzzle import Puzzle
from tclue_grpo.config import Config, Update
from tclue_grpo.data import Puzzles
from tclue_grpo.losses import Numbers, Scale, combined, pack_loss
from tclue_grpo.packing import Pack, pack
from tclue_grpo.policy import Policy
from tclue_grpo.rewards import advantages, has_spread, rewards, shuffled
from tclue_grpo.rollout import Engine, Group, Request, Response


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
        for master, weight in zip(self.masters, self.weights, strict=True):
            if master is not weight and weight.grad is not None:
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
                for master, weight in zip(self.masters, self.weights, strict=True):
                    if master is not weight:
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

    @property
    def device(self) -> torch.device:
        """Where the policy is."""
        return self.optimizer.weights[0].device

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the block's seconds to a stage's."""
        start = time.perf_counter()
        yield
        self.timings[stage] = self.timings.get(stage, 0.0) + time.perf_counter() - start

    def rate(self) -> float:
        """The learning rate of this iteration: warm-up, then constant."""
        update = self.config.update
        warm = min(1.0, (self.iteration + 1) / (update.warmup_iterations + 1))
        data, rollout = self.config.data, self.config.rollout
        responses = data.puzzles_per_iteration * rollout.responses_per_puzzle
        share = responses / update.steps_per_iteration / update.scale_responses
        scaled = min(share, update.scale_cap) if update.scale_cap else 1.0
        return update.learning_rate * warm * scaled * self.rate_factor


def iterate(learner: Learner) -> Numbers:
    """Take one iteration; the numbers that describe it."""
    learner.timings = {}
    learner.engine.sync(learner.policy)
    groups, dropped = collect(learner)
    packs = [packed(learner, part) for part in parts(groups, learner.config.update)]
    numbers = describe([*groups, *dropped]) | {"groups": len(groups), "dropped": len(dropped)}
    with learner.timed("train_s"):
        numbers |= update(learner, [part for part in packs if part])
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
            shuffled(groups, learner.config.train.seed + learner.iteration)
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
            responses = []
            for one in several:
                text = tokenizer.decode(one.ids, skip_special_tokens=True)
                responses.append(Response(one, text, learner.grader.grade(puzzle, text)))
            group = Group(puzzle, request.prompt, responses)
            for response, reward in zip(
                responses, rewards(group, config.reward, config.rollout.max_tokens), strict=True
            ):
                response.reward = reward
            groups.append(group)
    return groups


def prompt_ids(tokenizer: Any, puzzle: Puzzle) -> list[int]:
    """The tokens of a puzzle's prompt as one user message, ready for the answer."""
    messages = [{"role": "user", "content": puzzle.prompt}]
    text = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    # The template writes the special tokens.
    ids: list[int] = tokenizer(text, add_special_tokens=False).input_ids
    return ids


def request_seed(seed: int, iteration: int, puzzle: Puzzle) -> int:
    """A seed for a group's responses: another one in each iteration."""
    name = f"{seed}/{iteration}/{puzzle.id}".encode()
    return int.from_bytes(hashlib.sha256(name).digest()[:7])


def parts(groups: Sequence[Group], options: Update) -> list[Sequence[Group]]:
    """The batches of an iteration's optimizer steps, of about as many groups each."""
    return [groups[i :: options.steps_per_iteration] for i in range(options.steps_per_iteration)]


def packed(learner: Learner, groups: Sequence[Group]) -> list[Pack]:
    """The packs of one optimizer step."""
    config, on_cuda = learner.config, learner.device.type == "cuda"
    with learner.timed("pack_s"):
        packs = pack(
            groups,
            config.packing.length,
            pad_to=config.packing.length if on_cuda else None,
            mask_truncated=config.advantage.mask_truncated,
            train_end=config.loss.train_end_token,
        )
        return [one.to(learner.device) for one in packs]


def update(learner: Learner, batches: Sequence[Sequence[Pack]]) -> Numbers:
    """One optimizer step for each batch of packs."""
    config, policy = learner.config, learner.policy
    rate = learner.rate()
    if not batches:  # no group had spread
        return {"grad_norm": 0.0, "moved": 0.0, "skipped_steps": 0, "rate": rate}
    if config.update.reset_adam_each_iteration:
        learner.optimizer.reset()
    policy.train()
    references = [None if not config.loss.kl else reference_logprobs(learner, b) for b in batches]
    olds = [old_logprobs(learner, batch, len(batches)) for batch in batches]
    numbers: list[list[Numbers]] = []
    norms: list[float] = []
    skipped = 0
    first: Tensor | None = None
    for batch, old, reference in zip(batches, olds, references, strict=True):
        scale = Scale.of(batch, config.rollout.max_tokens)
        numbers.append([])
        for i, one in enumerate(batch):
            stats = policy(one)
            first = stats.logprobs.detach() if first is None else first
            before = stats.logprobs.detach() if old is None else old[i]
            held = None if reference is None else reference[i]
            loss, told = pack_loss(stats, one, before, scale, config.loss, held)
            torch.autograd.backward(loss)
            numbers[-1].append(told)
        norm, finite = learner.optimizer.step(rate)
        norms.append(norm)
        skipped += not finite
    # no batch where no group has spread
    totals = {"grad_norm": mean(norms) if norms else 0.0, "skipped_steps": skipped, "rate": rate}
    if first is not None:
        totals["moved"] = moved(policy, batches[0][0], first)
    # Later steps are taken with other weights than were sampled from: that is no gap.
    gap = {name: value for name, value in combined(numbers[:1]).items() if name.startswith("gap")}
    return combined(numbers) | gap | totals


def moved(policy: Policy, one: Pack, before: Tensor) -> float:
    """How far an iteration's steps have moved the policy, by the first pack's learned tokens; nats.

    Told before anything is sampled from the new weights: the first sign of too large a step.
    """
    with torch.no_grad():
        change = (policy(one).logprobs - before).abs()
    return float((change * one.mask).sum() / one.mask.sum().clamp(min=1))


def old_logprobs(learner: Learner, batch: Sequence[Pack], batches: int) -> list[Tensor] | None:
    """What the ratio is taken to, for each pack; None: the first forward's own, as they are."""
    if learner.config.loss.old == "sampler":
        return [one.sampler_logprob for one in batch]
    if batches == 1:
        return None
    with torch.no_grad():
        return [learner.policy(one).logprobs for one in batch]


def reference_logprobs(learner: Learner, batch: Sequence[Pack]) -> list[Tensor]:
    """What the base says of each pack's targets."""
    with torch.no_grad(), learner.policy.reference():
        return [learner.policy(one).logprobs for one in batch]


def describe(groups: Sequence[Group]) -> Numbers:
    """What was sampled, in numbers."""
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
