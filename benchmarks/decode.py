"""The decode loop of `hf:` models and the trainer, compared with transformers' continuous batching.

    OMP_NUM_THREADS=1 python benchmarks/decode.py

Both answer the same prompts greedily with the tiny checkpoint, alternating in rounds; the first
round is not counted. Wall time and processor time of each round are shown, and ratios per round.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Callable, Sequence

import torch

from tclue.bench.models.chat_template import import_transformers_quietly, prompt_ids
from tclue.bench.models.local import TINY, LocalModel
from tclue.bench.models.model import Request
from tclue.bench.options import BenchOptions
from tclue.puzzle.puzzle import Puzzle
from tclue.puzzle.splits import load_set

Run = Callable[[], int]


def shared_loop(puzzles: Sequence[Puzzle], max_tokens: int) -> Run:
    """`hf:` as in `tclue bench`. Returns the number of tokens of all responses."""
    model = LocalModel(str(TINY), BenchOptions(max_tokens=max_tokens))
    model.open()

    async def tokens() -> int:
        total = 0
        for batch in model.batches([Request(puzzle, 0) for puzzle in puzzles]):
            async for _, completion in model.complete(batch):
                total += completion.usage.completion_tokens or 0
        return total

    return lambda: asyncio.run(tokens())


def continuous_batching(puzzles: Sequence[Puzzle], max_tokens: int) -> Run:
    """transformers' `generate_batch`. Returns the number of tokens of all responses."""
    transformers = import_transformers_quietly()
    tokenizer = transformers.AutoTokenizer.from_pretrained(TINY)
    prompts = [prompt_ids(tokenizer, puzzle) for puzzle in puzzles]
    model = transformers.AutoModelForCausalLM.from_pretrained(TINY, dtype=torch.float32).eval()
    settings = transformers.GenerationConfig.from_pretrained(TINY)
    settings.max_new_tokens, settings.do_sample = max_tokens, False

    def run() -> int:
        outputs = model.generate_batch(inputs=prompts, generation_config=settings)
        return sum(len(output.generated_tokens) for output in outputs.values())

    return run


def main() -> None:
    """Run the rounds, and print them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--puzzles", type=int, default=64)
    parser.add_argument("--max-tokens", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    puzzles = load_set("easy-test").puzzles[: options.puzzles]
    contestants = {
        "shared loop": shared_loop(puzzles, options.max_tokens),
        "generate_batch": continuous_batching(puzzles, options.max_tokens),
    }
    for number in range(options.rounds + 1):
        seconds = []
        for name, run in contestants.items():
            wall_s, cpu_s = time.perf_counter(), time.process_time()
            tokens = run()
            wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
            seconds.append((wall_s, cpu_s))
            if number:
                print(f"{name}: {tokens} tokens, {wall_s:.2f} s, processor {cpu_s:.2f} s")
        if number:
            (wall, cpu), (other_wall, other_cpu) = seconds
            print(f"ratio: {other_wall / wall:.1f}, of processor time {other_cpu / cpu:.1f}")


if __name__ == "__main__":
    main()
