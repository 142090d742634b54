"""One process of a sharded step.

    torchrun --nproc-per-node 2 tests/scripts/sharded_step.py BACKEND FOLDER

Without torchrun, it is the same step in one process. Process 0 writes the loss, the gradients,
their norm, the weights after an optimizer step, and the log-probabilities that an engine of process
0 gets from the policy to FOLDER.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.distributed as dist
from packs import random_groups
from safetensors.torch import save_file

from tclue.bench.models.local import TINY
from tclue_grpo import distributed, launch, packing
from tclue_grpo.build import build_policy
from tclue_grpo.config import ModelConfig, UpdateConfig
from tclue_grpo.engines import RankZeroEngine
from tclue_grpo.lora import Reference
from tclue_grpo.master_weights import make_optimizer
from tclue_grpo.packing import Pack, pack_groups
from tclue_grpo.policy import Policy
from tclue_grpo.rollout import Sample, SamplingRequest


class Scoring:
    """An engine whose samples are a pack's targets, with the policy's log-probabilities."""

    def __init__(self, pack: Pack) -> None:
        self.pack = pack

    def sync(self, policy: Policy) -> None:
        assert policy.hf_state()
        self.policy = policy

    def sample(self, requests: Sequence[SamplingRequest]) -> list[list[Sample]]:
        scores = [self.policy.score(self.pack) for _ in requests]
        return [[Sample([], score.tolist(), "stop")] for score in scores]

    def close(self) -> None:
        pass


def main(backend: str, folder: Path) -> None:
    torch.set_num_threads(1)
    if "RANK" in os.environ:
        launch.join_process_group()
    model = ModelConfig(
        backend="torchtune" if backend == "torchtune" else "hf",
        lora_rank=4 if backend == "lora" else 0,
        gradient_checkpointing=True,
    )
    policy = build_policy(model, str(TINY), 1.0)
    reference = Reference(policy)
    policy.train()
    # three packs on two processes: one process has a pack less
    batch = pack_groups(random_groups(5, 3, 3, lambda rng: 60, (30, 60)), 300)
    assert len(batch) == 3
    tokens = sum(len(pack.target_ids) for pack in batch)
    optimizer = make_optimizer(policy, UpdateConfig(clip_norm=0.5, betas=(0.9, 0.999)))
    for _ in range(2):  # the second step starts from changed weights
        loss_sum = 0.0
        for pack in packing.packs_of_this_rank(batch):
            stats = policy(pack)
            loss_part = (
                pack.mask * (pack.advantage * stats.logprobs + 0.1 * stats.entropy)
            ).sum() / tokens
            optimizer.backward(loss_part)
            loss_sum += float(loss_part)
        loss = sum(distributed.all_gather(loss_sum))
        local_gradients = {
            name: p.grad for name, p in policy.named_parameters() if p.grad is not None
        }
        gradients = {
            name: distributed.full_tensor(gradient).clone()
            for name, gradient in local_gradients.items()
        }
        norm, finite = optimizer.step(1e-3)
        assert finite
    with torch.no_grad(), reference.in_place():
        base_sums = [
            (policy(pack).logprobs * pack.mask).sum() for pack in packing.packs_of_this_rank(batch)
        ]
        base = sum(distributed.all_gather(float(torch.stack(base_sums).sum())))
    engine = RankZeroEngine(Scoring(batch[0]) if distributed.is_rank_zero() else None)
    engine.sync(policy)
    samples = engine.sample([SamplingRequest([], 1, seed) for seed in range(2)])
    scored = sum(logprob for (sample,) in samples for logprob in sample.logprobs)
    policy.save(folder)
    if distributed.is_rank_zero():
        numbers = {"loss": loss, "norm": norm, "base": base, "scored": scored}
        (folder / "numbers.json").write_text(json.dumps(numbers))
        save_file(gradients, folder / "gradients.tensors")
    if "RANK" in os.environ:
        dist.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
