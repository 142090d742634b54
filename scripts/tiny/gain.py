"""The gain of a training run of the tiny checkpoint, and the parts that it consists of.

    python scripts/tiny/gain.py BASE_RUN TRAINED_RUN     # run folders with the same puzzles

A response is careful unless it begins like the hasty ones. For the puzzles with one time and those
with two, let s be the share of careful responses, and c and h the accuracies of careful and hasty
ones, with 0 for the base and 1 for the trained model. Then the gain is exactly

    (s1 - s0) (c0 - h0)  habit: more responses deduce before they answer
  + s1 (c1 - c0)         deduction: responses that deduce are right more often
  + (1 - s1) (h1 - h0)   guessing: responses that do not deduce are right more often

There are no intervals. The few careful responses of the base determine c0; their number is printed.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

from examples import HASTY_START

from tclue.bench.records import read_run
from tclue.bench.stats.intervals import mean
from tclue.puzzle.splits import load_set

Scores = dict[tuple[int, bool], list[float]]


def scores(folder: Path) -> tuple[Scores, float]:
    """(number of times, careful) -> accuracies, and the share of responses that are complete."""
    run = read_run(folder)
    puzzles = {p.id: p for p in load_set(run.config.puzzle_set).puzzles}
    accuracies: Scores = defaultdict(list)
    complete = []
    for response in run.responses:
        grade = response.grade
        if grade is None:
            continue
        times = max(1, len(puzzles[response.puzzle].world.times))
        accuracies[times, not response.text.startswith(HASTY_START)].append(grade.accuracy)
        complete.append(None not in grade.answers.values())
    return accuracies, mean(complete)


def share(accuracies: Scores, times: int) -> float:
    """The share of careful responses."""
    careful, hasty = len(accuracies[times, True]), len(accuracies[times, False])
    return careful / (careful + hasty)


def main() -> None:
    """Print the table and the parts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path, nargs=2, metavar="RUN")
    (before, format_before), (after, format_after) = map(scores, parser.parse_args().runs)
    total = sum(map(len, before.values()))
    parts = dict.fromkeys(("habit", "deduction", "guessing"), 0.0)
    for times in sorted({times for times, _ in before}):
        s0, s1 = share(before, times), share(after, times)
        # If no response was careful, or none was hasty, that accuracy cannot change.
        c0, c1, h0, h1 = (
            mean(accuracies[times, careful]) if accuracies[times, careful] else None
            for careful in (True, False)
            for accuracies in (before, after)
        )
        weight = sum(len(before[times, careful]) for careful in (True, False)) / total
        for name, accuracies, s, c, h in (
            ("base", before, s0, c0, h0),
            ("trained", after, s1, c1, h1),
        ):
            manners = " ".join(
                f"{manner} {accuracy:.3f} ({len(accuracies[times, manner == 'careful'])})"
                for manner, accuracy in (("careful", c), ("hasty", h))
                if accuracy is not None
            )
            print(f"{times} time(s), {name}: {s:.1%} careful; {manners}")
        if c0 is not None and h0 is not None:
            parts["habit"] += weight * (s1 - s0) * (c0 - h0)
            parts["deduction"] += weight * s1 * ((c0 if c1 is None else c1) - c0)
            parts["guessing"] += weight * (1 - s1) * ((h0 if h1 is None else h1) - h0)
    print(f"answers to every question: {format_before:.1%}, then {format_after:.1%}")
    print(", ".join(f"{name} {gain:+.3f}" for name, gain in parts.items()))


if __name__ == "__main__":
    main()
