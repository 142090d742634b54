"""Write the hashes of the puzzles that the tiny checkpoint was trained on.

    python scripts/tiny/seen.py POOL

POOL is the file of puzzles in the folder of `train.py`. If it does not exist, the same 20,000
puzzles are generated again, which takes some minutes. The hashes are written, sorted, to the file
that the trainer reads, so the result is the same each time.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from examples import make_pool
from safetensors.numpy import save_file
from transformers import Qwen2Tokenizer

from tclue.bench.models.local import TINY
from tclue.puzzle.puzzle import Puzzle
from tclue_grpo.data import TINY_SEEN, nameless_hash

PUZZLES = 20_000


def main() -> None:
    """Hash every puzzle of the pool."""
    tokenizer = Qwen2Tokenizer.from_pretrained(TINY)
    pool = make_pool(Path(sys.argv[1]), PUZZLES, tokenizer)
    prompts = [str(tokenizer.decode(source.prompt)) for source in pool]
    hashes = sorted({nameless_hash(Puzzle.from_prompt(prompt)) for prompt in prompts})
    save_file({"hashes": np.array(hashes, dtype=np.uint64)}, TINY_SEEN)
    print(f"{len(pool)} puzzles, {len(hashes)} that differ by more than names: {TINY_SEEN}")


if __name__ == "__main__":
    main()
