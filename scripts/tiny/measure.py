"""Measure a tiny checkpoint on a split: accuracy, format, tokens, and how often it is careful.

    python scripts/tiny/measure.py --model DIR --split easy-val --samples 8

Choose settings on `easy-val`, and measure `easy-test` only once, at the end. Intervals are 95%
intervals over puzzles. A response is careful unless it begins like the hasty ones, and it is in
format if the default grader finds an answer to every question.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from examples import HASTY_START
from transformers import AutoModelForCausalLM, AutoTokenizer

from tclue.bench.stats.intervals import mean, mean_interval
from tclue.puzzle.grading.grade import grader
from tclue.puzzle.puzzle import Puzzle
from tclue.puzzle.splits import load_set


@dataclass(frozen=True)
class Answered:
    """A graded response."""

    puzzle: Puzzle
    text: str
    accuracy: float
    in_format: bool
    tokens: int

    @property
    def kind(self) -> str:
        """Careful or hasty, and the size of its puzzle."""
        manner = "hasty" if self.text.startswith(HASTY_START) else "careful"
        return f"{manner}, {max(1, len(self.puzzle.world.times))} time(s)"


def respond(
    folder: Path, puzzles: list[Puzzle], samples: int, start: str, seed: int, max_tokens: int
) -> tuple[list[Answered], float]:
    """Responses to each puzzle (one sample is greedy), and the mean number of prompt tokens."""
    torch.manual_seed(seed)
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer: Any = AutoTokenizer.from_pretrained(folder, padding_side="left")
    sound = grader("sound")
    prompts = [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": puzzle.prompt}], tokenize=False, add_generation_prompt=True
        )
        for puzzle in puzzles
    ]
    lengths = [len(tokenizer.encode(prompt)) for prompt in prompts]
    order = [
        i for i in sorted(range(len(puzzles)), key=lengths.__getitem__) for _ in range(samples)
    ]
    done = []
    for first in range(0, len(order), 128):
        rows = order[first : first + 128]
        inputs = tokenizer([prompts[i] + start for i in rows], return_tensors="pt", padding=True)
        inputs.pop("token_type_ids", None)
        with torch.inference_mode():
            out = model.generate(
                **inputs,
                do_sample=samples > 1,
                temperature=1.0 if samples > 1 else None,
                top_k=0 if samples > 1 else None,
                max_new_tokens=max_tokens,
            )
        for i, ids in zip(rows, out[:, inputs["input_ids"].shape[1] :], strict=True):
            text = start + tokenizer.decode(ids, skip_special_tokens=True)
            grade = sound.grade(puzzles[i], text)
            in_format = None not in grade.answers.values()
            tokens = int((ids != tokenizer.pad_token_id).sum())
            done.append(Answered(puzzles[i], text, grade.accuracy, in_format, tokens))
    return done, mean(lengths)


def report(done: list[Answered]) -> str:
    """The figures of a set of responses in one line."""
    by_puzzle: dict[str, list[float]] = defaultdict(list)
    for response in done:
        by_puzzle[response.puzzle.id].append(response.accuracy)
    figures = mean_interval([mean(values) for values in by_puzzle.values()])
    assert figures is not None
    return (
        f"accuracy {figures.value:.4f} [{figures.low:.4f}, {figures.high:.4f}], "
        f"{len(by_puzzle)} puzzles, {len(done)} responses, "
        f"in format {mean(float(response.in_format) for response in done):.4f}, "
        f"{mean(response.tokens for response in done):.1f} tokens"
    )


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--split", default="easy-val")
    parser.add_argument("--limit", type=int, help="number of puzzles, from the first")
    parser.add_argument("--samples", type=int, default=1, help="1 is greedy; more are sampled")
    parser.add_argument("--start", default="", help="text with which every response must begin")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--max-tokens", type=int, default=450)
    parser.add_argument("--show", type=int, default=0, help="responses to print")
    args = parser.parse_args()
    puzzles = list(load_set(args.split).puzzles)[: args.limit]
    start = time.monotonic()
    done, prompt_tokens = respond(
        args.model, puzzles, args.samples, args.start, args.seed, args.max_tokens
    )
    for response in done[: args.show]:
        print(f"{response.text}\n-- accuracy {response.accuracy:.2f}\n")
    seconds = time.monotonic() - start
    speed = sum(response.tokens for response in done) / seconds
    print(f"all: {report(done)}, {prompt_tokens:.1f} prompt tokens, {speed:.0f} tokens/s")
    kinds = defaultdict(list)
    for response in done:
        kinds[response.kind].append(response)
    for kind in sorted(kinds):
        share = len(kinds[kind]) / len(done)
        print(f"{kind}: share {share:.4f}, {report(kinds[kind])}")


if __name__ == "__main__":
    main()
