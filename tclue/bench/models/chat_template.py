"""Code that `hf:` and trainers share: the tokens of a prompt, those that end a text, seeds.

Nothing heavy is imported: tokenizers and configurations are arguments.
"""

from __future__ import annotations

import hashlib
import logging
import os
from pathlib import Path
from typing import Any

from tclue.errors import UserError
from tclue.puzzle.puzzle import Puzzle


def prompt_ids(tokenizer: Any, puzzle: Puzzle) -> list[int]:
    """The tokens of a puzzle's prompt as one user message, ready for the answer."""
    messages = [{"role": "user", "content": puzzle.prompt}]
    text = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    # The template writes the special tokens.
    ids: list[int] = tokenizer(text, add_special_tokens=False).input_ids
    return ids


def seed_of(name: str) -> int:
    """The seed of a response's random draws, from a text that identifies the response."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:7])


def end_tokens(generation_config: Any, tokenizer: Any) -> set[int]:
    """The tokens that end a text, by a generation configuration (or None) and the tokenizer."""
    configured = generation_config.eos_token_id if generation_config else None
    token_ids = configured if isinstance(configured, list) else [configured]
    return {token for token in (*token_ids, tokenizer.eos_token_id) if token is not None}


def check_hub_name(name: str, shown_name: str) -> None:
    """Refuse a name that is no folder's and cannot be a hub model's; errors say `shown_name`."""
    if Path(name).expanduser().is_absolute() or name.startswith(".") or name.count("/") != 1:
        raise UserError(f"{shown_name}: no such folder, and not a hub name such as owner/model")


def missing_template_error(name: str) -> UserError:
    """The error for a checkpoint without a chat template."""
    return UserError(
        f"{name}: its tokenizer has no chat template: expected an instruction-tuned "
        "checkpoint, with chat_template.jinja or chat_template in tokenizer_config.json"
    )


def import_transformers_quietly() -> Any:
    """transformers, without its and its plug-ins' bars and warnings on standard error."""
    # Otherwise a thread has the hub convert weights that are not safetensors.
    os.environ.setdefault("DISABLE_SAFETENSORS_CONVERSION", "1")
    # transformers imports torchao if installed, which warns that its kernels fit another torch.
    logging.getLogger("torchao").setLevel(logging.ERROR)
    import transformers

    logs: Any = transformers.logging
    logs.set_verbosity_error()
    logs.disable_progress_bar()
    return transformers
