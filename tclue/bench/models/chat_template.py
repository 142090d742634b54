"""Code that `hf:` models and trainers share: prompt tokens, end tokens, seeds, common errors.

This module imports neither torch nor transformers: tokenizers and configurations are arguments.
"""

import hashlib
import logging
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tclue.errors import UserError
from tclue.puzzle.puzzle import Puzzle

# transformers' warnings that a checkpoint may be read wrongly; `loading` checks its weights.
_TOLD = re.compile("incorrect regex pattern|rope_parameters|quantization type")


def prompt_parts(tokenizer: Any, puzzle: Puzzle) -> tuple[str, str]:
    """A puzzle's prompt as one user message: the text to the message's end, and the rest.

    Raises UserError if the chat template fails, or leaves the message out.
    """
    name = getattr(tokenizer, "name_or_path", "the tokenizer")
    messages = [{"role": "user", "content": puzzle.prompt}]
    try:
        text = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    except Exception as error:  # a template can raise anything
        reason = " ".join(str(error).split())[:300]
        raise UserError(f"{name}: its chat template fails: {reason}") from None
    end = _end(puzzle, text)
    if not end:
        raise UserError(
            f"{name}: its chat template leaves out the puzzle: expected one that writes the "
            "content of a user message"
        )
    return text[:end], text[end:]


def _end(puzzle: Puzzle, text: str) -> int:
    """Where the last words of a puzzle's prompt end in a text, for the last time; 0 if nowhere."""
    # A template may change the spaces of a message, or quote it.
    last_words = map(re.escape, "".join(puzzle.prompt.split())[-60:])
    return max((m.end() for m in re.finditer(r"(?:\s|\\n)*".join(last_words), text)), default=0)


def prompt_ids(tokenizer: Any, puzzle: Puzzle) -> list[int]:
    """The token ids of a puzzle's prompt as one user message, up to the start of the answer."""
    text = "".join(prompt_parts(tokenizer, puzzle))
    # The template has written the special tokens already.
    ids: list[int] = tokenizer(text, add_special_tokens=False).input_ids
    return ids


def prompts_sha256(tokenizer: Any, puzzles: Sequence[Puzzle], config: Any) -> str:
    """Hex SHA-256 of the rendered prompts of puzzles.

    `config` is the configuration of a text model. Raises UserError if its vocabulary is too small,
    or if the tokenizer does not know the words of the puzzles.
    """
    digest, size = hashlib.sha256(), getattr(config, "vocab_size", None) or sys.maxsize
    for puzzle in puzzles:
        digest.update("".join(prompt_parts(tokenizer, puzzle)).encode() + b"\0")
        ids = prompt_ids(tokenizer, puzzle)
        # transformers makes a tokenizer without words if its files are missing.
        if not _end(puzzle, tokenizer.decode(ids)):
            raise UserError(
                f"{tokenizer.name_or_path}: its tokenizer cannot write the puzzle: expected the "
                "files of its tokenizer, such as tokenizer.json"
            )
        if (largest := max(ids)) >= size:
            raise UserError(
                f"{tokenizer.name_or_path}: a prompt has the token {largest}, and vocab_size in "
                f"config.json is {size}: expected the tokenizer of the same checkpoint"
            )
    return digest.hexdigest()


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


def import_transformers_quietly() -> Any:
    """Import transformers, without its progress bars and most of its warnings."""
    # Otherwise a thread asks the hub to convert weights that are not safetensors.
    os.environ.setdefault("DISABLE_SAFETENSORS_CONVERSION", "1")
    # transformers imports torchao if it is installed, which warns if its kernels do not fit torch.
    logging.getLogger("torchao").setLevel(logging.ERROR)
    import transformers

    logs: Any = transformers.logging
    logs.set_verbosity_warning()
    for handler in logs.get_logger("transformers").handlers:
        handler.filters = [lambda record: bool(_TOLD.search(record.getMessage()))]
    logs.disable_progress_bar()
    return transformers
