"""Separates reasoning from the answer in a response's tokens, by the marks of its tokenizer.

Marks are often special tokens, which decoding drops, and many chat templates write the opening mark
themselves. So the prompt's end and the response's tokens are read, not a decoded text.

* Reasoning that is never closed leaves no answer, whether the prompt or the response opened it.
* A closing mark without an opening one ends reasoning that began with the response.
* A tokenizer's marks are its tokens and what its chat template contains. Without any in prompt and
  response, the text is what decoding gives.
"""

import re
from collections.abc import Sequence
from typing import Any

from tclue.bench.models.chat_template import prompt_parts
from tclue.puzzle.puzzle import Puzzle

_TAGS = "(?i:(?:seed:|mm:|longcat_)?think(?:ing|:opensource)?|thought|reasoning)"
_CHANNEL = r"(?:<\|start\|>assistant)?<\|channel\|>"
# Patterns of the marks that open and close reasoning.
_MARKS = (
    (rf"<{_TAGS}>", rf"</{_TAGS}>"),  # DeepSeek, EXAONE, GLM, Nemotron, Olmo, Qwen and many more
    (r"\[THINK\]", r"\[/THINK\]"),  # Mistral
    ("◁think▷", "◁/think▷"),  # Kimi
    (r"<\|START_THINKING\|>", r"<\|END_THINKING\|>"),  # Cohere
    (r"<\|think:start\|>", r"<\|think:end\|>"),  # Solar
    (r"<\|inner_prefix\|>", r"<\|inner_suffix\|>"),  # Apertus
    (r"<\|begin_of_thought\|>", r"<\|end_of_thought\|>"),  # OpenThinker
    ("Here are my reasoning steps:", r"\[BEGIN FINAL RESPONSE\]"),  # Apriel
    (r"<\|channel>(?:thought\n)?", r"<channel\|>"),  # Gemma
    # gpt-oss: every channel other than `final` is reasoning.
    (
        rf"{_CHANNEL}(?!final)(?:[^<]*<\|message\|>)?",
        rf"{_CHANNEL}final[^<]*(?:<\|constrain\|>[^<]*)?<\|message\|>",
    ),
)


class Thinking:
    """The marks of one tokenizer."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        own = "\n".join((str(tokenizer.chat_template), *tokenizer.get_added_vocab()))
        marks = [pair for pair in _MARKS if re.search("|".join(pair), own)] or [("(?!)", "(?!)")]
        opening, closing = map("|".join, zip(*marks, strict=True))
        self._marks = re.compile(f"(?P<opening>{opening})|{closing}")
        added = tokenizer.added_tokens_decoder.values()
        special = sorted((token.content for token in added if token.special), reverse=True)
        self._special = re.compile("|".join(map(re.escape, special)) or "(?!)")

    def begins_inside(self, puzzle: Puzzle) -> bool:
        """Whether the end of a puzzle's prompt, after the user's message, opens reasoning."""
        return self._parts(prompt_parts(self._tokenizer, puzzle)[1], inside=False)[2]

    def split(self, ids: Sequence[int], *, inside: bool) -> tuple[str, str | None]:
        """The text and the reasoning (None if there is none) of a response's tokens."""
        raw = self._tokenizer.decode(ids, skip_special_tokens=False)
        if not inside and not self._marks.search(raw):
            return self._tokenizer.decode(ids, skip_special_tokens=True), None
        text, reasoning, _ = self._parts(raw, inside=inside)
        return text, reasoning or None

    def _parts(self, raw: str, *, inside: bool) -> tuple[str, str, bool]:
        """Answer and reasoning without special tokens, and whether `raw` ends inside reasoning."""
        parts, start = {False: "", True: ""}, 0  # by whether it is reasoning
        for mark in self._marks.finditer(raw):
            parts[inside] += f"{raw[start : mark.start()]}\n"
            if not inside and not mark["opening"]:
                parts = {False: "", True: parts[True] + parts[False]}
            inside, start = bool(mark["opening"]), mark.end()
        parts[inside] += raw[start:]
        text, reasoning = (self._special.sub("", part).strip() for part in parts.values())
        return text, reasoning, inside
