"""The real command, killed dozens of times: nothing paid for is lost or asked for twice."""

from pathlib import Path

import pytest
from killing import Killer, Plan

pytestmark = [pytest.mark.server, pytest.mark.slow]


@pytest.mark.parametrize(
    "plan",
    [
        Plan(kills=36, puzzles=20, samples=4, seed=11),
        Plan(kills=24, puzzles=16, samples=4, seed=12, stream=True),
    ],
    ids=["whole", "streamed"],
)
def test_killed_dozens_of_times_no_response_is_lost_or_asked_for_twice(
    tmp_path: Path, plan: Plan
) -> None:
    books = Killer(tmp_path, plan).run()
    assert books.asked_again == ()
    assert books.wrong == ()
    assert books.recorded == plan.asked
    assert books.most_lost_at_once <= plan.slots
    assert books.asked_twice <= plan.slots * books.kills + books.torn
    # It was really killed at work, and lines were really torn.
    assert books.kills >= plan.kills * 2 / 3
    assert books.torn > 0
    assert books.faults > 0
