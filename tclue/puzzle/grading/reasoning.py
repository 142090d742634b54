"""The marks between which models reason, and a text without its reasoning.

One table serves all who read a model's text: the graders, `hf:` models and the trainer (which look
for the marks of a tokenizer among its tokens) and hosted models. These are the rules:

- The text between an opening mark and the next closing mark is reasoning, and so is everything
  after a mark that is never closed.
- A closing mark without an opening mark ends reasoning that began with the text.
- Some opening marks are plain words, which any text may have. They count only in a text with their
  closing mark, and there the closing mark says all.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Mark:
    """Patterns of the marks that open and close reasoning; upper and lower case mean the same."""

    opening: str
    closing: str
    # whether the opening mark is words that other texts have too
    words: bool = False


_TAG_NAME = (
    r"[\w:.-]{0,24}(?:think|thought|reason|reflect|scratchpad|analysis|monologue)"
    r"(?::(?!end)\w{1,16}|[\w.-]{0,24})"
)
_CHANNEL = r"(?:<\|start\|>assistant)?<\|channel\|>"

MARKS = (
    # DeepSeek, Qwen, GLM, Nemotron, Olmo, Cohere, EXAONE, OpenThinker, Seed, MiniMax, Hunyuan, and
    # what prompts ask for
    Mark(
        rf"<\s{{0,3}}\|?(?!/|end_){_TAG_NAME}(?:\s[^<>]{{0,80}})?(?<!/)\|?>",
        rf"<\s{{0,3}}\|?(?:/\s{{0,3}}(?:end_)?|end_){_TAG_NAME}\s{{0,3}}\|?>",
    ),
    Mark(r"\[THINK\]", r"\[/THINK\]"),  # Mistral
    Mark("◁think▷", "◁/think▷"),  # Kimi
    Mark(r"<\|open\|>think<\|sep\|>", r"<\|close\|>think<\|sep\|>"),  # Kimi K3
    Mark(r"<\|think:start\|>", r"<\|think:end\|>"),  # Solar
    Mark(r"<\|inner_prefix\|>", r"<\|inner_suffix\|>"),  # Apertus
    Mark("Here are my reasoning steps:", r"\[BEGIN FINAL RESPONSE\]", words=True),  # Apriel
    # Granite
    Mark("Here(?: is|['’]s) my thought process:", "Here(?: is|['’]s) my response:", words=True),
    Mark(r"\[unused16\]", r"\[unused17\]"),  # openPangu
    Mark(r"<\|content_thinking\|>", r"<\|end_message\|>"),  # Inkling
    Mark(r"assistant to=self<\|message\|>", r"assistant to=user<\|message\|>"),  # Muse
    Mark(r"<\|channel>(?:thought\n)?|<unused94>thought\b", r"<channel\|>|<unused95>"),  # Gemma
    # gpt-oss: every channel other than `final` is reasoning
    Mark(
        rf"{_CHANNEL}(?!final)(?:[^<]*<\|message\|>)?",
        rf"{_CHANNEL}final(?:[^<]{{0,80}}(?:<\|constrain\|>[^<]{{0,80}})?<\|message\|>)?",
    ),
    # gpt-oss, decoded without its special tokens
    Mark(r"\A\s*analysis(?=[a-z])|assistant(?:analysis|commentary)(?=\S)", "assistantfinal"),
    Mark(r"^thinking\.\.\.$", r"^\.\.\.done thinking\.$", words=True),  # Ollama's terminal
)
_FLAGS = re.IGNORECASE | re.MULTILINE
_CLOSING = "|".join(mark.closing for mark in MARKS)
_OPENING = "|".join(mark.opening for mark in MARKS if not mark.words)
_ANY = re.compile(f"(?P<opening>{_OPENING})|{_CLOSING}", _FLAGS)
_LEADING = re.compile(rf"\s*(?:{_OPENING})(.*?)(?:{_CLOSING})(.*)", _FLAGS | re.DOTALL)


def marks_of(text: str) -> re.Pattern[str] | None:
    """A pattern of the marks of which a text (a chat template) has one; the group is `opening`."""
    own = [m for m in MARKS if re.search(f"{m.opening}|{m.closing}", text, _FLAGS)]
    opening, closing = "|".join(m.opening for m in own), "|".join(m.closing for m in own)
    return re.compile(f"(?P<opening>{opening})|{closing}", _FLAGS) if own else None


def leading_reasoning(text: str) -> tuple[str, str] | None:
    """The reasoning at the start of a text and what follows it; None without a closed one."""
    found = _LEADING.match(text)
    return (found[1], found[2]) if found else None


def without_reasoning(text: str) -> tuple[list[tuple[int, str]], bool]:
    """The parts of a text that are no reasoning, each with where it starts.

    The second value is whether the text ends inside reasoning. The time is linear in the length.
    """
    kept: list[tuple[int, str]] = []
    start: int | None = 0  # where the part being kept began; None inside reasoning
    for mark in _ANY.finditer(text):
        if not mark["opening"]:
            if start is not None:
                kept.clear()
            start = mark.end()
        elif start is not None:
            kept.append((start, text[start : mark.start()]))
            start = None
    if start is not None:
        kept.append((start, text[start:]))
    return kept, start is None
