"""CPU time of the grader `sound` on texts of 10 kB to 10 MB, in twenty shapes.

    python benchmarks/grader_time.py [--most 10_000_000]

Each shape is repeated until the text has the size. If the time is linear, ten times the size takes
ten times as long; the last column is the largest such factor among sizes that take 50 ms or more.
"""

import argparse
import sys
import time
from itertools import pairwise
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from grading import GOLD, PUZZLE

from tclue.puzzle.grading.grade import grader

SIZES = (10_000, 100_000, 1_000_000, 10_000_000)
SHAPES = {
    "prose": "The murderer was in the Hall at 11:30 PM, and Mr. Green was not there. ",
    "prose, a line a sentence": "Mr. Green moved from the Hall to the Library.\n",
    "answers": f"{GOLD}\n",
    "blocks with words between": f"{GOLD}\nWait, clue 3 contradicts that.\n",
    "one letter again and again": "A. Miss Scarlet\n",
    "letters on one line": "A. Miss Scarlet, B. Rope; ",
    "remarks on one line": "A. Miss Scarlet because Mr. Green was in the Hall, and ",
    "a remark without end": " (not Mr. Green, not Mrs. White)",
    "doubts": "I withdraw my answer to A, and B could also be the Knife.\n",
    "tables": "| A | Miss Scarlet | Mr. Green was in the Hall |\n",
    "JSON": '{"A": {"answer": "Miss Scarlet", "ruled_out": ["Mr. Green"]}},',
    "XML": '<answer letter="A">Miss Scarlet</answer>',
    "LaTeX": r"\boxed{\text{A. Miss Scarlet}} \\ ",
    "HTML entities": "A&#46;&nbsp;Miss&nbsp;Scarlet&quot;\n",
    "thinking": "<think>A. Mr. Green</think>",
    "open tags": "<think <answer {",
    "Chinese": "答案：A. 凶手是 Miss Scarlet。",
    "combining marks": "a\u0301\u0336",
    "line breaks": "\n",
    "blanks": " ",
}


def seconds(text: str) -> float:
    """CPU time of one grading, in seconds."""
    start = time.process_time()
    grader("sound").grade(PUZZLE, text)
    return time.process_time() - start


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--most", type=int, default=SIZES[-1], help="largest size in bytes")
    sizes = [size for size in SIZES if size <= parser.parse_args().most]
    print(f"{'shape':28}" + "".join(f"{f'{size:,} B':>15}" for size in sizes) + "   x10")
    for name, unit in SHAPES.items():
        times = []
        for size in sizes:
            text = unit * (size // len(unit.encode()) + 1)
            times.append(min(seconds(text) for _ in range(3 if size <= 100_000 else 1)))
        growth = [after / before for before, after in pairwise(times) if before >= 0.05]
        largest = f"{max(growth):6.1f}" if growth else "     -"
        print(f"{name:28}" + "".join(f"{took:13.3f} s" for took in times) + largest)


if __name__ == "__main__":
    main()
