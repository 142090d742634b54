"""One process of a sharded step:  torchrun --nproc-per-node 2 tests/sharded_step.py BACKEND FOLDER.

Without torchrun, the same step in one process. The first process writes loss, gradients, the
gradients' norm, and the weights after an optimizer step, to FOLDER.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import torch
from packs import random_groups
from safetensors.torch import save_file
from torch import nn

from tclue.bench.models import TINY
from tclue_grpo import backend_hf, hf_load, sharded
from tclue_grpo.packing import pack


def main(backend: str, folder: Path) -> None:
    torch.set_num_threads(1)
    if "RANK" in os.environ:
        sharded.start()
    if backend == "torchtune":
        from tclue_grpo import backend_torchtune

        policy: backend_torchtune.TorchtunePolicy | backend_hf.HfPolicy
        policy = backend_torchtune.load(str(TINY), recompute=True)
    else:
        rank = 4 if backend == "lora" else 0
        policy = hf_load.load(str(TINY), recompute=True, lora_rank=rank)
    if "RANK" in os.environ:
        sharded.shard(policy)
    policy.train()
    policy.keep_reference()
    # three packs on two processes: one of them has a pack less
    batch = pack(random_groups(5, 3, 3, lambda dice: 60, (30, 60)), 300)
    assert len(batch) == 3
    tokens = sum(len(one.target_ids) for one in batch)
    adam = torch.optim.AdamW([p for p in policy.parameters() if p.requires_grad], lr=1e-3)
    for _ in range(2):  # the second from weights that have moved
        loss = torch.zeros(())
        adam.zero_grad()
        for one in sharded.mine(batch):
            said = policy(one)
            part = (one.mask * (one.advantage * said.logprobs + 0.1 * said.entropy)).sum() / tokens
            part.backward()
            loss += part.detach()
        loss = sharded.total(loss)
        found = {name: p.grad for name, p in policy.named_parameters() if p.grad is not None}
        norm = sharded.full(nn.utils.get_total_norm(list(found.values())))
        gradients = {name: sharded.full(gradient) for name, gradient in found.items()}
        adam.step()
    with torch.no_grad(), policy.reference():
        said_by_base = [(policy(one).logprobs * one.mask).sum() for one in sharded.mine(batch)]
        base = sharded.total(torch.stack(said_by_base).sum())
    policy.save(folder)
    if sharded.is_first():
        assert norm is not None
        told = {"loss": float(loss), "norm": float(norm), "base": float(base)}
        (folder / "told.json").write_text(json.dumps(told))
        whole = {name: value for name, value in gradients.items() if value is not None}
        save_file(whole, folder / "gradients.tensors")
    if "RANK" in os.environ:
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
