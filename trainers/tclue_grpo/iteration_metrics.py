"""What is told of an iteration, in numbers; nothing of it is learned from."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tclue.bench.stats.intervals import mean
from tclue_grpo.policy import Pack, Policy
from tclue_grpo.rollout import Group

Numbers = dict[str, float]


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


def aggregate_steps(steps: Sequence[Sequence[Numbers]]) -> Numbers:
    """The numbers of an iteration's optimizer steps, each the numbers of its packs.

    Later steps are taken with other weights than were sampled from: that is no gap.
    """
    first = combined(steps[:1])
    return combined(steps) | {name: first[name] for name in first if name.startswith("gap")}


def combined(steps: Sequence[Sequence[Numbers]]) -> Numbers:
    """The numbers of several steps' packs: summed over a step's packs, then the mean over steps."""
    totals: Numbers = {}
    for name in {name: None for packs in steps for numbers in packs for name in numbers}:
        of_steps = [[numbers[name] for numbers in packs] for packs in steps]
        if name.endswith("_max"):
            totals[name] = max(value for values in of_steps for value in values)
        else:
            totals[name] = sum(map(sum, of_steps)) / len(steps)
    return totals


def mean_abs_logprob_change(policy: Policy, one: Pack, before: Tensor) -> float:
    """How far an iteration's steps have moved the policy, by the first pack's learned tokens; nats.

    Told before anything is sampled from the new weights: the first sign of too large a step.
    """
    with torch.no_grad():
        change = (policy(one).logprobs - before).abs()
    return float((change * one.mask).sum() / one.mask.sum().clamp(min=1))
