"""The files of a checkpoint, which transformers loads and the backends read and write.

Weights are in safetensors under their Hugging Face names (with LoRA, merged); everything else is
copied from the base. Nothing is unpickled, and no code from a checkpoint is run.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from safetensors.torch import save_file
from torch import Tensor

from tclue.bench.models.chat_template import check_hub_name
from tclue.errors import UserError

# The files of a checkpoint besides its weights: configurations, tokenizer, chat template.
BESIDE_WEIGHTS = ("*.json", "*.jinja", "*.model", "*.txt")
EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"


def fetch(name: str) -> Path:
    """The folder of a checkpoint; one commit is downloaded from the hub into the hub's cache."""
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    check_hub_name(name, name)
    try:
        return Path(snapshot_download(name, allow_patterns=[*BESIDE_WEIGHTS, "*.safetensors"]))
    except OSError as error:
        raise UserError(f"{name}: cannot be downloaded from the hub: {error}") from error


def write_checkpoint(state: dict[str, Tensor], base: Path, folder: Path) -> None:
    """Write weights under their Hugging Face names, and copy the base's other files."""
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


def write_untied(state: dict[str, Tensor], base: Path, folder: Path) -> None:
    """Write a checkpoint in which a tied head is a separate weight.

    It stays tied if the embedding has another name: the check after each sync then fails.
    """
    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    # Without this key a configuration counts as untied; some versions of transformers would tie.
    if not config.get("tie_word_embeddings", False) or EMBEDDING not in state:
        write_checkpoint(state, base, folder)
        return
    write_checkpoint({**state, HEAD: state[EMBEDDING].clone()}, base, folder)
    text = json.dumps(config | {"tie_word_embeddings": False}, indent=1)
    (folder / "config.json").write_text(text, encoding="utf-8")


def load_weights(module: Any, state: dict[str, Tensor]) -> None:
    """Load weights into a transformers model; RuntimeError if their names do not match."""
    keys = module.load_state_dict(state, strict=False)
    embedding = module.get_input_embeddings().weight
    # A tied head has no separate entry.
    missing = [k for k in keys.missing_keys if module.get_parameter(k) is not embedding]
    if missing or keys.unexpected_keys:
        raise RuntimeError(f"weights do not match: {missing}, {keys.unexpected_keys}")
