"""`make soak`: runs that are killed hundreds of times, and their counts, for docs/log.md.

python tests/scripts/soak.py --kills 300 --seed 1             `tclue bench`
python tests/scripts/soak.py --kills 300 --seed 1 --stream    the same with streamed replies
python tests/scripts/soak.py --kills 300 --seed 1 --train     `tclue train` with a vLLM server
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from killing import Killer, Plan


def main() -> None:
    """Kill the run, print the counts, and fail if they do not balance."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=300, help="how often, of a benchmark at most")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--train", action="store_true", help="kill a training run")
    parser.add_argument("--iterations", type=int, default=4, help="of a training run")
    parser.add_argument("--stream", action="store_true", help="stream the replies of a benchmark")
    parser.add_argument("--puzzles", type=int, default=96)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--faults", type=float, default=0.1)
    options = vars(parser.parse_args())
    iterations = options.pop("iterations")
    with tempfile.TemporaryDirectory() as folder:
        if options.pop("train"):
            kills, seed = options["kills"], options["seed"]
            sys.exit(0 if train(Path(folder), kills, seed, iterations) else 1)
        plan = Plan(**options)
        books = Killer(Path(folder), plan).run()
    streamed = ", streamed" if plan.stream else ""
    print(f"seed {plan.seed}, {plan.asked} responses{streamed}, {plan.slots} slots: {books}")
    for line in [*books.wrong, *map(str, books.asked_again)]:
        print(line, file=sys.stderr)
    balanced = books.most_lost_at_once <= plan.slots and books.recorded == plan.asked
    sys.exit(0 if balanced and not books.wrong and not books.asked_again else 1)


def train(folder: Path, kills: int, seed: int, iterations: int) -> bool:
    """Kill a training run and print the counts. Returns whether nothing was wrong."""
    from killing_training import TrainKiller, TrainPlan

    books = TrainKiller(folder, TrainPlan(kills, seed, iterations)).run()
    print(f"seed {seed}, {iterations} iterations: {books}")
    for line in [*books.wrong, *books.left]:
        print(line, file=sys.stderr)
    return not books.wrong and not books.left


if __name__ == "__main__":
    main()
