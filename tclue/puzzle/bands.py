"""Puzzles by size: three bands of the number of clues.

The bounds are fixed, so that a band means the same in every set. They cut the published mix of
sizes, which has no difficulty of its own, in about three: 17, 21 and 26 of the 64 puzzles of
`test`.
"""

from __future__ import annotations

# name -> the fewest clues of the band, in order
BANDS = {"1 to 9 clues": 1, "10 to 29 clues": 10, "30 clues or more": 30}


def band(num_clues: int) -> str:
    """The name of the band that a puzzle with so many clues is in."""
    return [name for name, fewest in BANDS.items() if fewest <= max(1, num_clues)][-1]
