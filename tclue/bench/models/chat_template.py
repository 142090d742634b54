"""Code that `hf:` models and trainers share: prompt tokens, reasoning, end tokens, common errors.

This module imports neither torch nor transformers: tokenizers and configurations are arguments.

`Thinking` separates reasoning from the answer in a response's tokens, by its tokenizer's marks.
Marks are often special tokens, which decoding drops, and many chat templates write the opening mark
themselves. So the prompt's end and the response's tokens are read, not a decoded text.

* Reasoning that is never closed leaves no answer, whether the prompt or the response opened it.
* A closing mark without an opening one ends reasoning that began with the response.
* A tokenizer's marks are its tokens and what its chat template contains. Without any in prompt and
  response, the text is what decoding gives.
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
from tclue.puzzle.grading.reasoning import marks_of
from tclue.puzzle.puzzle import Puzzle

# Not shown, because `loading` reports weights itself, and torchao's kernels are not used.
_HIDDEN = re.compile(" LOAD REPORT|^Skipping import of cpp extensions")
_seen: set[str] = set()  # the warnings since the last call of `import_transformers_quietly`


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
                f"{tokenizer.name_or_path}: its tokenizer cannot encode the puzzle: expected the "
                "files of its tokenizer, such as tokenizer.json"
            )
        if (largest := max(ids)) >= size:
            raise UserError(
                f"{tokenizer.name_or_path}: a prompt has the token {largest}, and vocab_size in "
                f"config.json is {size}: expected the tokenizer of the same checkpoint"
            )
    return digest.hexdigest()


class Thinking:
    """The marks of one tokenizer."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        own = "\n".join((str(tokenizer.chat_template), *tokenizer.get_added_vocab()))
        self._marks = marks_of(own)
        added = tokenizer.added_tokens_decoder.values()
        special = sorted((token.content for token in added if token.special), reverse=True)
        self._special = re.compile("|".join(map(re.escape, special)) or "(?!)")

    def begins_inside(self, puzzle: Puzzle) -> bool:
        """Whether the end of a puzzle's prompt, after the user's message, opens reasoning."""
        return self._parts(prompt_parts(self._tokenizer, puzzle)[1], inside=False)[2]

    def split(self, ids: Sequence[int], *, inside: bool) -> tuple[str, str | None]:
        """The text and the reasoning (None if there is none) of a response's tokens."""
        raw = self._tokenizer.decode(ids, skip_special_tokens=False)
        if not inside and not (self._marks and self._marks.search(raw)):
            return self._tokenizer.decode(ids, skip_special_tokens=True), None
        text, reasoning, _ = self._parts(raw, inside=inside)
        return text, reasoning or None

    def _parts(self, raw: str, *, inside: bool) -> tuple[str, str, bool]:
        """Answer and reasoning without special tokens, and whether `raw` ends inside reasoning."""
        parts, start = {False: "", True: ""}, 0  # by whether it is reasoning
        for mark in self._marks.finditer(raw) if self._marks else ():
            parts[inside] += f"{raw[start : mark.start()]}\n"
            if not inside and not mark["opening"]:
                parts = {False: "", True: parts[True] + parts[False]}
            inside, start = bool(mark["opening"]), mark.end()
        parts[inside] += raw[start:]
        text, reasoning = (self._special.sub("", part).strip() for part in parts.values())
        return text, reasoning, inside


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


def _is_new(record: logging.LogRecord) -> bool:
    text, before = record.getMessage(), len(_seen)
    _seen.add(text)
    return len(_seen) > before and not _HIDDEN.search(text)


def import_transformers_quietly() -> Any:
    """Import transformers, without its progress bars, and with each of its warnings once."""
    # Otherwise a thread asks the hub to convert weights that are not safetensors.
    os.environ.setdefault("DISABLE_SAFETENSORS_CONVERSION", "1")
    logging.getLogger("torchao").addFilter(_is_new)  # transformers imports it if it is installed
    import transformers

    logs: Any = transformers.logging
    logs.set_verbosity_warning()
    _seen.clear()
    for handler in logs.get_logger("transformers").handlers:
        handler.addFilter(_is_new)
    logs.disable_progress_bar()
    return transformers
