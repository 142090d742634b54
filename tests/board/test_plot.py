"""The picture: labels that keep clear of everything, valid SVG, the same bytes each time."""

import itertools
import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tclue.board.frontier import frontier
from tclue.board.labels import LABEL_PX, Box, Segment, shorten, text_width
from tclue.board.plot import MARKER_PX, Point, dollars, lay_out, svg

SVG = "{http://www.w3.org/2000/svg}"

accuracies = st.sampled_from([0.0, 0.5, 1.0]) | st.floats(0, 1)
costs = st.sampled_from([0.0, 0.01]) | st.floats(0.009, 0.011) | st.floats(1e-9, 1e4)
names = st.text(max_size=50) | st.sampled_from(["random", "openai/o3-mini@high", "W" * 60])


@st.composite
def a_point(draw: st.DrawFn) -> Point:
    accuracy, around = draw(accuracies), draw(st.floats(0, 0.2))
    interval = (max(0.0, accuracy - around), min(1.0, accuracy + around))
    return Point(
        draw(names),
        draw(costs),
        accuracy,
        draw(st.sampled_from([interval, None])),
        complete=draw(st.booleans()),
    )


def with_frontier(points: list[Point]) -> list[Point]:
    priced = [p for p in points if p.cost_usd > 0]
    on = dict(
        zip(map(id, priced), frontier([(p.cost_usd, p.accuracy) for p in priced]), strict=True)
    )
    return [
        Point(p.label, p.cost_usd, p.accuracy, p.interval, on.get(id(p), False), p.complete)
        for p in points
    ]


def check_clear(points: list[Point]) -> None:
    """Every label is there, in its area, and over no other label and no point."""
    layout = lay_out(points)
    areas = [area for area in (layout.axis, layout.strip) if area]
    marks = [Box(x, y, x, y).grown(MARKER_PX) for x, y in layout.centres]
    for mark in marks:
        assert any(mark.within(area) for area in areas)
    boxes = [label.box for label in layout.labels if label]
    assert len(boxes) == len(points)
    for box in boxes:
        assert any(box.within(area) for area in areas)
        assert not any(box.overlaps(mark) for mark in marks)
    assert not any(first.overlaps(second) for first, second in itertools.combinations(boxes, 2))


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(a_point(), max_size=25) | st.lists(a_point(), min_size=20, max_size=25))
def test_labels_keep_clear(points: list[Point]) -> None:
    check_clear(with_frontier(points))


@pytest.mark.slow
@pytest.mark.parametrize("cost_usd", [0.0, 0.01])
@pytest.mark.parametrize("accuracy", [0.0, 0.99])
def test_labels_keep_clear_of_25_identical_points(cost_usd: float, accuracy: float) -> None:
    names = [f"openai/o3-mini@high {i}" for i in range(25)]
    check_clear([Point(name, cost_usd, accuracy, (accuracy, accuracy + 0.01)) for name in names])


@pytest.mark.slow
def test_labels_that_find_no_room_are_left_out_and_the_rest_stand() -> None:
    points = [Point("W" * 60, 0.01, 0.5)] * 50
    assert 25 < sum(label is not None for label in lay_out(points).labels) < 50
    points = [Point("free", 0.0, 0.5)] * 60
    assert 25 < sum(label is not None for label in lay_out(points).labels) < 60


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(a_point(), max_size=6), st.text(), st.text())
def test_any_names_give_valid_svg_that_shows_every_point(
    points: list[Point], title: str, subtitle: str
) -> None:
    text = svg(title, subtitle, points)
    root = ElementTree.fromstring(text.encode())
    assert svg(title, subtitle, points) == text
    centres = {(f"{x:.1f}", f"{y:.1f}") for x, y in lay_out(points).centres}
    assert centres <= {(c.get("cx"), c.get("cy")) for c in root.iter(f"{SVG}circle")}
    shown = [element.text or "" for element in root.iter(f"{SVG}text")]
    assert all(label.text in shown for label in lay_out(points).labels if label)


def test_the_axis_is_logarithmic_and_higher_is_better() -> None:
    points = [Point("a", 0.01, 0.2), Point("b", 0.1, 0.4), Point("c", 1.0, 0.6)]
    (x0, y0), (x1, y1), (x2, y2) = lay_out(points).centres
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2)
    assert y0 - y1 == pytest.approx(y1 - y2, abs=0.2)
    assert x0 < x1
    assert y0 > y1


def test_decades_are_labelled_in_dollars() -> None:
    text = svg("t", "s", [Point("a", 0.003, 0.2), Point("b", 3.0, 0.6)])
    shown = [element.text for element in ElementTree.fromstring(text).iter(f"{SVG}text")]
    assert [label for label in shown if label and label[0] == "$"] == ["$0.01", "$0.1", "$1"]


def test_a_free_model_stands_in_the_strip_and_a_priced_one_on_the_axis() -> None:
    layout = lay_out([Point("random", 0.0, 0.3), Point("model", 0.01, 0.4)])
    assert layout.strip is not None
    assert layout.strip.right < layout.axis.left
    (free_x, _), (priced_x, _) = layout.centres
    assert layout.strip.left < free_x < layout.strip.right
    assert layout.axis.left < priced_x < layout.axis.right
    assert lay_out([Point("model", 0.01, 0.4)]).strip is None


def test_a_picture_without_priced_models_says_so() -> None:
    message = "no model here has a known cost above zero"
    assert message in svg("t", "s", [Point("random", 0.0, 0.3)])
    assert message in svg("t", "s", [])
    assert message not in svg("t", "s", [Point("model", 0.01, 0.3)])


def test_the_frontier_climbs_from_its_cheapest_point_to_the_right_side() -> None:
    points = [
        Point("good", 0.1, 0.8, on_frontier=True),
        Point("poor", 0.05, 0.1),
        Point("cheap", 0.01, 0.3, on_frontier=True),
    ]
    layout = lay_out(points)
    (good_x, good_y), _, (cheap_x, cheap_y) = layout.centres
    assert layout.steps == (
        Segment(cheap_x, cheap_y, good_x, cheap_y),
        Segment(good_x, cheap_y, good_x, good_y),
        Segment(good_x, good_y, layout.axis.right, good_y),
    )


def test_an_incomplete_run_is_drawn_hollow_and_explained() -> None:
    text = svg("t", "s", [Point("half", 0.1, 0.8, complete=False)])
    assert "incomplete" in text
    assert "incomplete" not in svg("t", "s", [Point("whole", 0.1, 0.8)])


@pytest.mark.slow
@settings(deadline=None)
@given(st.text(max_size=80))
def test_a_long_name_keeps_its_two_ends(name: str) -> None:
    short = shorten(name)
    assert text_width(short) <= LABEL_PX
    head, dots, tail = short.partition("…")
    if dots and "…" not in name:
        assert len(short) < len(name)
        assert abs(len(head) - len(tail)) <= 1


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (Segment(0, 0, 10, 10), True),
        (Segment(0, 5, 10, 5), True),
        (Segment(4.5, 4.5, 5, 5), True),
        (Segment(0, 4, 10, 4), False),  # along the edge
        (Segment(0, 0, 3, 3), False),
        (Segment(0, 7, 7, 14), False),
        (Segment(5, 0, 5, 3), False),
        (Segment(5, 5, 5, 5), True),
    ],
)
def test_lines_and_boxes(line: Segment, expected: bool) -> None:
    assert line.crosses(Box(4, 4, 6, 6)) is expected
    assert Segment(line.x1, line.y1, line.x0, line.y0).crosses(Box(4, 4, 6, 6)) is expected


@pytest.mark.parametrize(
    ("cost_usd", "shown"),
    [
        (0.0, "$0"),
        (1.0, "$1"),
        (0.1, "$0.1"),
        (0.00123456, "$0.00123"),
        (1e-7, "$0.0000001"),
        (12.345, "$12.3"),
        (100.0, "$100"),
        (123456.0, "$123000"),
    ],
)
def test_dollars(cost_usd: float, shown: str) -> None:
    assert dollars(cost_usd) == shown


def test_arrows_lead_along_what_training_did() -> None:
    points = [
        Point("base", 0.01, 0.4),
        Point("step 20", 0.02, 0.6),
        Point("step 40", 0.02, 0.8),
        Point("like it", 0.02, 0.8),
        Point("free", 0.0, 0.5),
    ]
    layout = lay_out(points, [[0, 1, 2, 3]])
    # None between two markers that touch.
    assert len(layout.arrows) == 2
    for arrow, (start, end) in zip(layout.arrows, [(0, 1), (1, 2)], strict=True):
        for (x, y), (to_x, to_y) in (
            (layout.centres[start], arrow[:2]),
            (layout.centres[end], arrow[2:]),
        ):
            gap = ((x - to_x) ** 2 + (y - to_y) ** 2) ** 0.5
            assert gap == pytest.approx(MARKER_PX, abs=0.2)
    picture = svg("t", "s", points, [[0, 1, 2, 3]])
    root = ElementTree.fromstring(picture)
    assert len(root.findall(f"{SVG}polygon")) == 3  # and one in the legend
    assert "training" in {text.text for text in root.findall(f"{SVG}text")}
    assert "polygon" not in svg("t", "s", points)
