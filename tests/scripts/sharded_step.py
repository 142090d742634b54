"""One process of a sharded step.

    torchrun --nproc-per-node 2 tests/scripts/sharded_step.py BACKEND FOLDER

Without torchrun, the same step in one process. The first process writes loss, gradients, the
gradients' norm, and the weights after an optimizer step, to FOLDER.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from packs import random_groups
from safetensors.torch import save_file

from tclue.bench.models.local import TINY
from tclue_grpo import build_policy, distributed, launch, packing
from tclue_grpo.config import ModelConfig, UpdateConfig
from tclue_grpo.master_weights import make_optimizer
from tclue_grpo.packing import pack
from tclue_grpo.reference import Reference


def main(backend: str, folder: Path) -> None:
    torch.set_num_threads(1)
    if "RANK" in os.environ:
        launch.join_process_group()
    model = ModelConfig(
        backend="torchtune" if backend == "torchtune" else "hf",
        lora_rank=4 if backend == "lora" else 0,
        gradient_checkpointing=True,
    )
    policy = build_policy.build(model, str(TINY), 1.0)
    reference = Reference(policy)
    policy.train()
    # three packs on two processes: one of them has a pack less
    batch = pack(random_groups(5, 3, 3, lambda dice: 60, (30, 60)), 300)
    assert len(batch) == 3
    tokens = sum(len(one.target_ids) for one in batch)
    optimizer = make_optimizer(policy, UpdateConfig(clip_norm=0.5, betas=(0.9, 0.999)))
    for _ in range(2):  # the second from weights that have moved
        parts = 0.0
        for one in packing.packs_of_this_rank(batch):
            said = policy(one)
            part = (one.mask * (one.advantage * said.logprobs + 0.1 * said.entropy)).sum() / tokens
            optimizer.backward(part)
            parts += float(part)
        loss = sum(distributed.all_gather(parts))
        found = {name: p.grad for name, p in policy.named_parameters() if p.grad is not None}
        gradients = {
            name: distributed.full_tensor(gradient).clone() for name, gradient in found.items()
        }
        norm, finite = optimizer.step(1e-3)
        assert finite
    with torch.no_grad(), reference.in_place():
        said_by_base = [
            (policy(one).logprobs * one.mask).sum() for one in packing.packs_of_this_rank(batch)
        ]
        base = sum(distributed.all_gather(float(torch.stack(said_by_base).sum())))
    policy.save(folder)
    if distributed.is_rank_zero():
        told = {"loss": loss, "norm": norm, "base": base}
        (folder / "told.json").write_text(json.dumps(told))
        save_file(gradients, folder / "gradients.tensors")
    if "RANK" in os.environ:
        dist.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
