"""Loads checkpoints with transformers, for `hf:` models and trainers, and refuses bad ones.

transformers makes up each weight that a checkpoint lacks, ignores those that the model does not
have, and says so only in its log. This module imports torch and transformers only to load.
"""

import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tclue.errors import UserError
from tclue.strict import read_json
from tclue.text import counted

_STARTED = datetime.now()
_LAYER = re.compile(r"\.\d+\.")  # the number of a layer, in the name of a weight


@contextmanager
def one_line_errors(name: str) -> Iterator[None]:
    """Turn any error that loading raises into a UserError of one line."""
    try:
        yield
    except Exception as error:  # of many types, such as those of safetensors and tokenizers
        reason = " ".join(str(error).split())[:300]
        raise UserError(f"{name}: cannot be loaded: {reason}") from None


def check_folder(name: str, folder: Path) -> None:
    """Raise UserError if a folder cannot be that of a checkpoint."""
    if (folder / "adapter_config.json").is_file():
        raise UserError(f"{name}: it is an adapter: expected a model that it was merged into")
    if not (folder / "config.json").is_file():
        raise UserError(f"{name}: no config.json: expected a transformers checkpoint's folder")
    if not list(folder.glob("*.safetensors")):
        raise UserError(
            f"{name}: no .safetensors file: expected weights in that format, because a pickled "
            "file can run code"
        )
    # transformers ignores it if it is not JSON, and with it the tokens that end a text.
    if (path := folder / "generation_config.json").exists():
        data = read_json(path)
        ends = data.get("eos_token_id") if isinstance(data, dict) else [None]
        for token in ends if isinstance(ends, list) else [ends or 0]:
            if not isinstance(token, int):
                raise UserError(f"{path}: eos_token_id: expected a number or a list of numbers")


def load_tokenizer(name: str, source: str | Path) -> Any:
    """The tokenizer of a checkpoint. Raises UserError if it has no chat template."""
    import transformers

    # Chat templates write today's date by it, and one run must not have two dates.
    templates: Any = transformers.utils.chat_template_utils
    templates.datetime = SimpleNamespace(now=lambda: _STARTED)
    with one_line_errors(name):
        kind: Any = transformers.AutoTokenizer
        tokenizer = kind.from_pretrained(source, trust_remote_code=False)
    if not tokenizer.chat_template:
        raise UserError(
            f"{name}: its tokenizer has no chat template: expected an instruction-tuned "
            "checkpoint, with chat_template.jinja or chat_template in tokenizer_config.json"
        )
    return tokenizer


def load_model(name: str, source: str | Path, **options: Any) -> Any:
    """The model of a checkpoint (a folder or a hub name), on the CPU; `name` is for messages.

    Raises UserError if its weights are not those of the model; prints one line if some are unused.
    """
    import torch
    import transformers

    with one_line_errors(name):
        _check_index(Path(source))
        kind: Any = transformers.AutoModelForCausalLM
        safe = {"use_safetensors": True, "trust_remote_code": False}
        # Shapes that differ are refused below, by name.
        report = {"output_loading_info": True, "ignore_mismatched_sizes": True}
        model, found = kind.from_pretrained(source, **safe, **report, **options)
    missing, unused = sorted(found["missing_keys"]), sorted(found["unexpected_keys"])
    faults = [f"{weight} is not in its files" for weight in missing]
    faults += [
        f"{weight} has the shape {list(in_file)}, and {list(in_model)} by its config.json"
        for weight, in_file, in_model in sorted(found["mismatched_keys"])
    ]
    # Such as the scales of quantized weights, biases, or one more layer.
    places = {
        _LAYER.sub(".0.", name)
        for name, module in model.named_modules()
        if "." in name or module._parameters  # others may be outside the model's body
    }
    faults += [
        f"{weight} is in its files, and not in the model that its config.json describes"
        for weight in unused
        if _LAYER.sub(".0.", weight).rpartition(".")[0] in places
    ]
    faults += [
        f"{weight} has values that are not finite (NaN or inf)"
        for weight, tensor in model.named_parameters()
        if tensor.dtype in (torch.float32, torch.bfloat16, torch.float16)
        # NaN if any value is
        and not all(map(torch.isfinite, torch.aminmax(tensor.detach())))
    ]
    tied = model.get_expanded_tied_weights_keys(all_submodels=True).keys()
    faults += [
        f"{weight} differs from the weight that config.json ties it to"
        for weight in tied - model.all_tied_weights_keys.keys()
    ]
    if faults:
        others = f" ({counted(len(faults), 'such fault')} in all)" if len(faults) > 1 else ""
        hint = f"; its files have {unused[0]}, for example" if missing and unused else ""
        raise UserError(f"{name}: its weights cannot be used: {faults[0]}{others}{hint}")
    if unused:
        weights = counted(len(unused), "weight")
        print(f"{name}: {weights} in its files not used, such as {unused[0]}", file=sys.stderr)
    return model


def _check_index(folder: Path) -> None:
    """Raise ValueError if two of the files that the index names have the same weight."""
    from safetensors import safe_open

    index = folder / "model.safetensors.index.json"
    if index.exists() and not (folder / "model.safetensors").exists():
        place = json.loads(index.read_bytes())["weight_map"]
        for file in set(place.values()):
            with safe_open(folder / file, "pt") as weights:
                for weight in weights.keys():  # noqa: SIM118  (a file has no `in`)
                    if place.setdefault(weight, file) != file:
                        raise ValueError(f"{weight} is in both {place[weight]} and {file}")
