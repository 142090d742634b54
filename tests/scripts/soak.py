"""`make soak`: a run that is killed hundreds of times, and its counts, for docs/log.md.

python tests/scripts/soak.py --kills 300 --seed 1
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from killing import Killer, Plan


def main() -> None:
    """Kill the run, print the counts, and fail if they do not balance."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=300, help="how often at most")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--puzzles", type=int, default=96)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--faults", type=float, default=0.1)
    plan = Plan(**vars(parser.parse_args()))
    with tempfile.TemporaryDirectory() as folder:
        books = Killer(Path(folder), plan).run()
    print(f"seed {plan.seed}, {plan.asked} responses, {plan.slots} slots: {books}")
    for line in [*books.wrong, *map(str, books.asked_again)]:
        print(line, file=sys.stderr)
    balanced = books.most_lost_at_once <= plan.slots and books.recorded == plan.asked
    sys.exit(0 if balanced and not books.wrong and not books.asked_again else 1)


if __name__ == "__main__":
    main()
