"""Write the shipped splits and their manifest into tclue/puzzle/data.

Every puzzle is proved twice: by the SAT solver that generated it, and by the CP-SAT model. A seed
whose prompt is already in a split is skipped.

    python scripts/make_splits.py [--check]

With --check, nothing is written, and the exit code is 1 if the committed files are out of date.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from itertools import count

from tclue.puzzle import cpsat
from tclue.puzzle.draw import settings
from tclue.puzzle.generate import VERSION, make
from tclue.puzzle.puzzle import prompt_hash
from tclue.puzzle.splits import DATA

# Search for this string to find copies of the data, for example in a training set.
CANARY = "tclue-canary-6f1c2b0e-8a57-4d0b-9f6e-3c9d5a7e41b8"

# split: (difficulty, first seed, number of puzzles)
SPLITS = {
    "val": ("published-mix", 1_000_000, 64),
    "test": ("published-mix", 2_000_000, 64),
    "easy-val": ("easy", 3_000_000, 256),
    "easy-test": ("easy", 4_000_000, 256),
}


def main() -> int:
    """Write or check the files. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare with the committed files")
    check = parser.parse_args().check
    written = build()
    if check:
        stale = [
            name
            for name, text in written.items()
            if not (DATA / name).exists() or (DATA / name).read_text(encoding="utf-8") != text
        ]
        print("\n".join(f"{name} is not what its seeds give" for name in stale) or "up to date")
        return 1 if stale else 0
    DATA.mkdir(exist_ok=True)
    for name, text in written.items():
        (DATA / name).write_text(text, encoding="utf-8")
    return 0


def build() -> dict[str, str]:
    """file name -> text, for every split and the manifest."""
    seen: set[str] = set()
    splits: dict[str, object] = {}
    written: dict[str, str] = {}
    for name, (difficulty, first, number) in SPLITS.items():
        lines: list[str] = []
        seeds: list[int] = []
        hashes: list[str] = []
        for seed in count(first):
            made = make(seed, difficulty, settings(difficulty))
            digest = prompt_hash(made.puzzle.prompt)
            if digest in seen:
                continue
            seen.add(digest)
            proof = cpsat.prove(made.puzzle, scope="history")
            if proof.cases != (made.case,):
                raise AssertionError(f"seed {seed}: the CP-SAT model says {proof.verdict}")
            record = {**made.puzzle.to_dict(), "canary": CANARY}
            lines.append(json.dumps(record, ensure_ascii=False) + "\n")
            seeds.append(seed)
            hashes.append(digest)
            if len(lines) == number:
                break
        text = "".join(lines)
        written[f"{name}.jsonl"] = text
        splits[name] = {
            "difficulty": difficulty,
            "puzzles": number,
            "seeds": seeds,
            "sha256": hashlib.sha256(text.encode()).hexdigest(),
            "prompt_sha256": hashes,
        }
        print(f"{name}: {number} puzzles, seeds {seeds[0]} to {seeds[-1]}", file=sys.stderr)
    manifest = {"generator_version": VERSION, "canary": CANARY, "splits": splits}
    written["manifest.json"] = json.dumps(manifest, indent=1) + "\n"
    return written


if __name__ == "__main__":
    sys.exit(main())
