"""The path of a training step stays short enough to be read in one sitting."""

from __future__ import annotations

from places import ROOT

PATH = ("step", "engine_hf", "rewards", "packing", "backend_hf", "losses")
MOST_LINES = 600


def test_the_path_of_a_step_is_read_in_one_sitting() -> None:
    lines = {
        name: sum(map(bool, map(str.strip, text.splitlines())))
        for name in PATH
        for text in [(ROOT / "trainers" / "tclue_grpo" / f"{name}.py").read_text()]
    }
    assert len(PATH) <= 6
    assert sum(lines.values()) <= MOST_LINES, lines
