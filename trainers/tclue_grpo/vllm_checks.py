"""What lies between a policy and a vLLM server: weights that it reloads rightly, and a pack to ask.

Pure but for the checkpoint's files.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from tclue_grpo.policy import PROMPT, Pack
from tclue_grpo.rollout import Sample

EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"


def untied(folder: Path) -> bool:
    """Write a tied head as a weight of its own; whether there was one.

    Left as it is where the embedding has another name: the check after each sync then finds out.
    """
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    # transformers ties where a configuration of Llama or Qwen does not say, for some versions.
    if not config.get("tie_word_embeddings", False):
        return False
    weights = load_file(folder / "model.safetensors")
    if EMBEDDING not in weights:
        return False
    weights[HEAD] = weights[EMBEDDING].clone()
    # Read before written, into another file: what is loaded is mapped, not copied.
    save_file(weights, folder / "untied.safetensors", metadata={"format": "pt"})
    (folder / "untied.safetensors").replace(folder / "model.safetensors")
    config["tie_word_embeddings"] = False
    path.write_text(json.dumps(config, indent=1), encoding="utf-8")
    return True


def check_pack(prompt: list[int], sample: Sample) -> Pack:
    """A pack of one prompt with one response."""
    before, after = len(prompt), len(sample.ids)
    length = before + after
    return Pack(
        ids=torch.tensor([*prompt, *sample.ids]),
        positions=torch.arange(length),
        group=torch.zeros(length, dtype=torch.long),
        response=torch.tensor([PROMPT] * before + [0] * after),
        source=torch.arange(before - 1, length - 1),
        target_ids=torch.tensor(sample.ids),
        target_response=torch.zeros(after, dtype=torch.long),
        advantage=torch.zeros(after),
        sampler_logprob=torch.tensor(sample.logprobs),
        mask=torch.ones(after),
        lengths=torch.tensor([after]),
    )
