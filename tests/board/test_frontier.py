"""The frontier against its definition, tried pair by pair."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tclue.board.rows import frontier

# Few values, so that equal costs, equal accuracies and equal points are common.
points = st.lists(
    st.tuples(
        st.sampled_from([0.001, 0.01, 0.1, 1.0]) | st.floats(1e-9, 1e3),
        st.sampled_from([0.0, 0.25, 0.5, 1.0]) | st.floats(0, 1),
    ),
    max_size=12,
)


def beats(first: tuple[float, float], second: tuple[float, float]) -> bool:
    return first[0] <= second[0] and first[1] >= second[1] and first != second


@settings(deadline=None)
@given(points)
def test_on_it_is_what_nothing_beats(pairs: list[tuple[float, float]]) -> None:
    expected = [not any(beats(other, pair) for other in pairs) for pair in pairs]
    assert frontier(pairs) == expected


def test_equal_points_do_not_beat_each_other() -> None:
    assert frontier([(1.0, 0.5), (1.0, 0.5), (1.0, 0.4), (2.0, 0.5)]) == [True, True, False, False]


def test_nothing_has_no_frontier() -> None:
    assert frontier([]) == []
