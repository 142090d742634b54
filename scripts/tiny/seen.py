"""Write the hashes of the puzzles that the tiny checkpoint was trained on.

    python scripts/tiny/seen.py POOL

POOL is the file of puzzles that `train.py` keeps in its folder; where it is not there, the same
20,000 puzzles are made again, which takes some minutes. The hashes go where the trainer looks for
them, sorted: the same file each time.
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
from tclue_grpo.contamination import TINY_SEEN, nameless_hash

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
