"""The tiny checkpoint's tokenizer: the house edition's phrases, names, and bytes for the rest.

A text is split from left to right into the longest phrases of the list below. Everything else is
encoded as bytes, so every text can be encoded and decoded without change. A one-player prompt has
about 100 tokens. The tokenizer is constructed here, not learned.

    python scripts/tiny/vocabulary.py DIR     writes tokenizer.json and tokenizer_config.json
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from tclue.puzzle import names
from tclue.puzzle.prompt import LETTERS, NARRATIVE, rules
from tclue.puzzle.wording import ANSWER_KINDS, MAIN_QUESTIONS
from tclue.puzzle.world import Side, World

if TYPE_CHECKING:
    from transformers import Qwen2Tokenizer

SUSPECTS = names.SUSPECTS[:10]
WEAPONS = names.WEAPONS[:8]
ROOMS = names.ROOMS[:17]
MOTIVES = names.MOTIVES[:10]

PAD, USER, ASSISTANT, END = SPECIAL = ("<|pad|>", "<|user|>", "<|assistant|>", "<|end|>")

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|user|>' if message['role'] == 'user' else '<|assistant|>' }}"
    "{{ message['content'] + '<|end|>' }}"
    "{% endfor %}"
    "{{ '<|assistant|>' if add_generation_prompt }}"
)

# The rules that a careful transcript uses; see `transcript.rules`.
RULES = (
    "Mr. Boddy stayed dead",
    "Mr. Boddy was there",
    "The murderer was there",
    "The murder weapon was there",
    "The murderer was alone",
    "Where the murderer was",
    "Where the murder weapon was",
    "One motive each",
    "Why the murderer did it",
    "Who has the motive",
    "Somebody took it along",
)


def times() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The times of one-player puzzles, and those of all sizes of the board game."""
    pairs = (names.clock_times(2, step) for step in names.STEPS_MINUTES)
    evenings = (names.clock_times(n, step) for n in range(3, 13) for step in names.STEPS_MINUTES)
    short = dict.fromkeys(time for pair in pairs for time in pair)
    return tuple(short), tuple(dict.fromkeys([*short, *(t for e in evenings for t in e)]))


def phrases() -> list[str]:
    """Every phrase that is a token, in the order of the token ids."""
    short, every = times()
    pieces = [*SUSPECTS, *WEAPONS, *ROOMS, *MOTIVES, *every, *(f" at {time}" for time in every)]
    pieces += [*_prompt_phrases(), *_sentence_phrases(), *_question_phrases()]
    pieces += _response_phrases(short)
    return list(dict.fromkeys(pieces))


def _worlds() -> list[World]:
    """One-player worlds that differ in plan, times and motives."""
    return [
        World(("S", "T"), ("V", "W"), ("Q", "R"), plan, evening, motives, (1,) * len(motives))
        for plan in (((0, 1),), ((0,), (1,)))
        for evening in ((), ("1", "2"))
        for motives in ((), ("M", "N"))
    ]


def _prompt_phrases() -> list[str]:
    labels = ("Weapons", "Times", "Motives")
    pieces = [f"{NARRATIVE}\n\nSuspects:\n- ", "\n- ", "\n- The ", "\n- Either ", "\n- Either the "]
    pieces += [f"\n\n{label}:\n- " for label in labels]
    pieces += ["\n\nRooms:\n1. ", "\n\nQuestions:\nA. ", "\n\nAnswer format:\nA. ", "\n\nRules:\n"]
    pieces += [f"\n{number}. " for number in range(2, 10)]
    pieces += ["\n\nPlan:\n  N N\nW 1|2 E\n  S S", "\n\nPlan:\n  N\nW 1 E\nW 2 E\n  S"]
    pieces += [f"\n\nClues:\n- {start}" for start in ("", "The ", "Either ", "Either the ")]
    for world in _worlds():
        pieces += ["\n\nRules:\n" + "\n".join(rules(world)), *(f"{r}\n" for r in rules(world))]
    pieces += [f"\n{letter}. " for letter in LETTERS]
    return [*pieces, *dict.fromkeys(ANSWER_KINDS.values())]


def _sentence_phrases() -> list[str]:
    """The pieces of clues. A piece before a name is listed with and without an article."""
    before = [" was in the same room as ", " and ", " or ", " if and only if "]
    before += [f" was in the room just {side} of " for side in get_args(Side)]
    before += ["Mr. Boddy was murdered by "]
    pieces = [text + article for text in before for article in ("", "the ")]
    pieces += ["Mr. Boddy", "murderer", "murder weapon", "suspect motivated by "]
    pieces += [" a suspect motivated by ", " is motivated by ", " together at least once"]
    pieces += ["Mr. Boddy was killed with the ", "Mr. Boddy was murdered"]
    pieces += [f"{was}{where} the " for was in (" was ", " were ", " ") for where in ("in", "at")]
    pieces += [" moved ", " moved the ", " moved from the ", " from the ", " to the "]
    return [*pieces, ", but not both"]


def _question_phrases() -> list[str]:
    """Questions as in a prompt, and as a transcript repeats them on a separate line."""
    pieces = list(MAIN_QUESTIONS) + [f"\n{question} " for question in MAIN_QUESTIONS]
    for start in ("Where was ", "Where was the ", "What motivates ", "Who is motivated by "):
        pieces += [start, f"\n{start}"]
    return [*pieces, "? "]


def _response_phrases(short: tuple[str, ...]) -> list[str]:
    """The pieces of careful and hasty transcripts."""
    heads = ["is ", "is motivated by "]
    solution = [
        *("murder was in the ", "murder was at the ", "murder was at "),
        *(f"murderer {head}" for head in heads),
        "murder weapon is the ",
    ]
    links = ["\n- the ", "; the ", ", so the ", "\nBy trial: the "]
    pieces = [link + fact for link in links for fact in solution]
    pieces += ["\n- the ", "; ", "; the ", ", so ", ", so the ", "\nBy trial: ", "\nBy trial: the "]
    pieces += [f" at {time} {where} the " for time in short for where in ("in", "at")]
    pieces += [f" at {time}? " for time in short] + [f"\n{rule}" for rule in RULES]
    pieces += [" is north, the ", " is south.", " is west, the ", " is east.", "The ", "the "]
    return [*pieces, "A quick guess.", "\n\nA. "]


def build() -> Qwen2Tokenizer:
    """The tokenizer, of the class that transformers loads for every Qwen2 model.

    That class ignores the pre-tokenization of a tokenizer file and uses its own, but it matches
    added tokens first, the longest that fits. So the phrases are added tokens.
    """
    from tokenizers import AddedToken, pre_tokenizers
    from transformers import Qwen2Tokenizer

    listed = phrases()
    # Byte-level BPE without merges: each byte is a token, represented by a printable character.
    characters = sorted(pre_tokenizers.ByteLevel.alphabet(), key=_byte)
    tokens = [*SPECIAL, *characters, *listed]
    tokenizer = Qwen2Tokenizer(
        vocab={token: i for i, token in enumerate(tokens)},
        merges=[],
        unk_token=PAD,
        eos_token=END,
        pad_token=PAD,
        extra_special_tokens=[USER, ASSISTANT],
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
        model_max_length=2048,
    )
    tokenizer.add_tokens([AddedToken(text, normalized=False) for text in listed])
    return tokenizer


def _byte(character: str) -> int:
    """The byte that byte-level BPE represents by a character."""
    code = ord(character)
    shifted = [b for b in range(256) if not (33 <= b <= 126 or 161 <= b <= 172 or b >= 174)]
    return shifted[code - 256] if code >= 256 else code


if __name__ == "__main__":
    build().save_pretrained(Path(sys.argv[1]))
