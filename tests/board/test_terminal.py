"""What a person sees of runs and of the board, on a screen of 80 columns and in a pipe."""

from pathlib import Path

import pytest
from board_runs import Answer, write_run
from commands import call

NAME = "claude@64k (effort xhigh)"


@pytest.mark.parametrize("columns", ["80", "100", None])
def test_a_row_of_the_board_stays_readable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, columns: str | None
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns:
        monkeypatch.setenv("COLUMNS", columns)
    write_run(tmp_path / "results", NAME, [Answer(0.5), Answer(1.0), Answer(0.75)] * 20)
    shown = call(tmp_path, "leaderboard").stdout.splitlines()
    at = next(n for n, line in enumerate(shown) if line.startswith(NAME))
    # On a narrow screen the intervals stand below; the name is whole on every one.
    assert "0.750" in shown[at]
    assert "[0.6" in shown[at + (columns == "80")]
    assert max(map(len, shown)) <= int(columns or 200)


def test_a_name_is_no_markup(tmp_path: Path) -> None:
    write_run(tmp_path / "results", "model [bold]x[/]")
    assert "model [bold]x[/]" in call(tmp_path, "leaderboard").stdout
