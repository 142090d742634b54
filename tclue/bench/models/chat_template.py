"""Code that `hf:` models and trainers share: prompt tokens, end tokens, seeds, common errors.

This module imports neither torch nor transformers: tokenizers and configurations are arguments.
"""

import hashlib
import logging
import os
from pathlib import Path
from typing import Any

from tclue.errors import UserError
from tclue.puzzle.puzzle import Puzzle


def prompt_ids(tokenizer: Any, puzzle: Puzzle) -> list[int]:
    """The token ids of a puzzle's prompt as one user message, up to the start of the answer."""
    messages = [{"role": "user", "content": puzzle.prompt}]
    text = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    # The template has written the special tokens already.
    ids: list[int] = tokenizer(text, add_special_tokens=False).input_ids
    return ids


def seed_of(name: str) -> int:
    """The seed for a response's random draws, from a text that identifies the response."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:7])


def end_tokens(generation_config: Any, tokenizer: Any) -> set[int]:
    """The ids of the tokens that end a text; `generation_config` may be None."""
    configured = generation_config.eos_token_id if generation_config else None
    token_ids = configured if isinstance(configured, list) else [configured]
    return {token for token in (*token_ids, tokenizer.eos_token_id) if token is not None}


def check_hub_name(name: str, shown_name: str) -> None:
    """Raise UserError, beginning with `shown_name`, if a name cannot be that of a hub model."""
    if Path(name).expanduser().is_absolute() or name.startswith(".") or name.count("/") != 1:
        raise UserError(
            f"{shown_name}: no such folder: expected a folder, or a hub name such as owner/model"
        )


def missing_template_error(name: str) -> UserError:
    """The error for a checkpoint without a chat template."""
    return UserError(
        f"{name}: its tokenizer has no chat template: expected an instruction-tuned "
        "checkpoint, with chat_template.jinja or chat_template in tokenizer_config.json"
    )


def import_transformers_quietly() -> Any:
    """Import transformers, without its progress bars and warnings on standard error."""
    # Otherwise a thread asks the hub to convert weights that are not safetensors.
    os.environ.setdefault("DISABLE_SAFETENSORS_CONVERSION", "1")
    # transformers imports torchao if it is installed, which warns if its kernels do not fit torch.
    logging.getLogger("torchao").setLevel(logging.ERROR)
    import transformers

    logs: Any = transformers.logging
    logs.set_verbosity_error()
    logs.disable_progress_bar()
    return transformers
