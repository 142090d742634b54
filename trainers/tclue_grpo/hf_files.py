"""A checkpoint as files: what transformers loads, and what the backends read and write.

Weights in safetensors under their Hugging Face names; everything else is copied from the base.
Nothing is unpickled, and no code from a checkpoint is run. With LoRA the weights are the merged
ones.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
import transformers
from huggingface_hub import snapshot_download
from safetensors.torch import load_file, save_file
from torch import Tensor

from tclue.errors import UserError

# What a checkpoint has beside its weights: configurations, tokenizer, chat template.
BESIDE_WEIGHTS = ("*.json", "*.jinja", "*.model", "*.txt")
# Where in a checkpoint's folder the adapters are: not where they would be taken for weights.
ADAPTERS = Path("trainer", "adapters.safetensors")


def fetch(name: str) -> Path:
    """The folder of a checkpoint; from the hub, one commit of it, kept in the hub's own cache."""
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    if folder.is_absolute() or name.startswith(".") or name.count("/") != 1:
        raise UserError(f"{name}: no such folder, and not a hub name such as owner/model")
    try:
        return Path(snapshot_download(name, allow_patterns=[*BESIDE_WEIGHTS, "*.safetensors"]))
    except OSError as error:
        raise UserError(f"{name}: cannot be fetched from the hub: {error}") from error


def write_checkpoint(state: dict[str, Tensor], base: Path, folder: Path) -> None:
    """Weights under their Hugging Face names, and beside them what the base has."""
    folder.mkdir(parents=True, exist_ok=True)
    for pattern in BESIDE_WEIGHTS:
        for file in base.glob(pattern):
            if not file.name.endswith(".index.json"):  # names the base's own shards
                shutil.copyfile(file, folder / file.name)
    save_file(
        {name: weight.contiguous() for name, weight in state.items()},
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )


def read_weights(folder: Path) -> dict[str, Tensor]:
    """All weights of a checkpoint, on the CPU."""
    return {
        name: weight
        for file in sorted(folder.glob("*.safetensors"))
        for name, weight in load_file(file).items()
    }


def causal_model(name: str, base: Path, dtype: torch.dtype, device: str) -> Any:
    """The transformers model in a checkpoint's folder, attending as packs are (`backend_hf`)."""
    module: Any = transformers.AutoModelForCausalLM.from_pretrained(
        base,
        dtype=dtype,
        attn_implementation="sdpa" if torch.device(device).type == "cpu" else "flex_attention",
        use_safetensors=True,
        trust_remote_code=False,
    )
    _check(name, module)
    return module.to(device)


def _check(name: str, module: Any) -> None:
    """Refuse what packing or the chunked head would compute wrongly without a word."""
    config = module.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    head = module.get_output_embeddings()
    odd = [
        ("attention other than full", kinds != {"full_attention"}),
        ("a bias in its head", getattr(head, "bias", None) is not None),
        ("capped logits", bool(getattr(config, "final_logit_softcapping", None))),
        ("scaled logits", bool(getattr(config, "logit_scale", None))),
    ]
    if found := [words for words, has in odd if has]:
        raise UserError(
            f"{name}: has {' and '.join(found)}: expected a model of the Qwen2 or Llama kind"
        )
