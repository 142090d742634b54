"""The pictures: valid SVG that shows every name, labels clear of everything, data with a digest."""

import itertools
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from matplotlib.text import Annotation

from tclue.board.drawing import DARK, LIGHT, data_digest, is_of_a_board, sheet
from tclue.board.figures import Chart, Point, _draw, wrapped
from tclue.board.notes import shorten, shortened
from tclue.text import clean, dollars

HOSTILE = [
    "$\\frac{$",
    "<svg onload=x>",
    "a--b-->",
    "名前モデル",
    "W" * 200,
    "%s {0} {}",
    "\N{ROBOT FACE}" * 30,
    " ",
]
SOME = (
    Point("cheap", 0.5, 0.3, (0.2, 0.4), on_frontier=True),
    Point("good", 40.0, 0.8, (0.7, 0.9), on_frontier=True),
    Point("poor", 20.0, 0.1, (0.0, 0.2)),
)


def texts(picture: bytes) -> list[str]:
    """What the picture says: matplotlib writes each text as a comment above its outlines."""
    return re.findall(r"<!-- (.*?) -->", picture.decode(), re.S)


def boxes(chart: Chart) -> list[tuple[float, float, float, float]]:
    """Where the labels of the points stand, in pixels."""
    with sheet(LIGHT, 10, 6) as figure:
        axes = figure.subplots()
        _draw(axes, LIGHT, chart)
        figure.canvas.draw()
        names = {wrapped(point.label) for point in chart.points}
        found = [text for text in axes.texts if text.get_text() in names]
        return [text.get_window_extent().extents for text in found]


def pixels(chart: Chart) -> list[tuple[float, float]]:
    """Where the points of a chart with prices stand, in pixels."""
    with sheet(LIGHT, 10, 6) as figure:
        axes = figure.subplots()
        _draw(axes, LIGHT, chart)
        figure.canvas.draw()
        return [tuple(axes.transData.transform((p.x, p.accuracy))) for p in chart.points]


@pytest.mark.slow
@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_any_names_give_a_picture_that_shows_them(theme: object) -> None:
    points = tuple(
        Point(clean(name), 10.0**i, i / 10, (i / 10, i / 10 + 0.05), on_frontier=True)
        for i, name in enumerate(HOSTILE)
    )
    chart = Chart("<t> $x$", "s $\\bad{" + "q" * 300, points, levels=(("$r$", 0.2),))
    picture = chart.draw(theme)  # type: ignore[arg-type]
    ElementTree.fromstring(picture)
    shown = " ".join(texts(picture))
    assert "$r$" in shown
    assert "&lt;svg onload=x&gt;" in shown or "<svg onload=x>" in shown


numbers = st.floats(1e-9, 1e6)


@pytest.mark.slow
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.builds(
            Point,
            st.text(max_size=30).map(clean),
            st.sampled_from([0.0, 0.01]) | numbers,
            st.floats(0, 1),
            st.sampled_from([None, (0.0, 1.0)]),
            st.booleans(),
            st.booleans(),
        ),
        max_size=6,
    ),
    st.booleans(),
)
def test_any_points_give_valid_svg(points: list[Point], priced: bool) -> None:
    chart = Chart("t", "s", tuple(points), priced)
    picture = chart.draw(LIGHT)
    ElementTree.fromstring(picture)
    assert data_digest(picture) == chart.digest


@pytest.mark.slow
def test_labels_keep_clear_of_each_other() -> None:
    places = [(10 ** (i % 7 - 3), (i * 37 % 25) / 25) for i in range(25)]
    chart = Chart("t", "s", tuple(Point(f"m{i}", x, y) for i, (x, y) in enumerate(places)))
    found = boxes(chart)
    assert len(found) == 25
    for (left, bottom, right, top), (x, y) in itertools.product(found, pixels(chart)):
        assert not (left < x < right and bottom < y < top)
    for a, b in itertools.combinations(found, 2):
        assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


@pytest.mark.slow
def test_in_a_crowd_only_the_frontier_and_trained_rows_are_named() -> None:
    crowd = tuple(Point(f"m{i}", 1.0 + i, 0.3 + i / 1000) for i in range(60))
    chart = Chart("t", "s", (*SOME, *crowd), paths=((3, 4),))
    assert chart.named == [0, 1, 3, 4]
    shown = texts(chart.draw(LIGHT))
    assert {"cheap", "good"} <= set(shown)
    assert "m30" not in shown


@pytest.mark.slow
def test_the_axis_has_round_ticks_in_dollars_or_tokens() -> None:
    picture = Chart("t", "s", (Point("a", 0.003, 0.2), Point("b", 3000.0, 0.6))).draw(LIGHT)
    assert {"$0.01", "$1", "$100", "0.2", "1.0"} <= set(texts(picture))
    tokens = Chart("t", "s", (Point("a", 90.0, 0.2), Point("b", 30_000.0, 0.6)), priced=False)
    assert {"100", "1,000", "10,000", "output tokens a response"} <= set(texts(tokens.draw(LIGHT)))


@pytest.mark.slow
def test_what_occurs_is_explained_and_nothing_else() -> None:
    half = Chart("t", "s", (Point("half", 0.1, 0.8, complete=False),))
    assert "incomplete" in texts(half.draw(LIGHT))
    whole = texts(Chart("t", "s", SOME).draw(LIGHT))
    assert {"on the frontier", "not on it"} <= set(whole)
    assert not {"incomplete", "training", "free"} & set(whole)
    assert "training" in texts(Chart("t", "s", SOME, paths=((0, 1),)).draw(LIGHT))
    assert "free" in texts(Chart("t", "s", (Point("mine", 0.0, 0.3),)).draw(LIGHT))
    assert "no model to show yet" in texts(Chart("t", "s", ()).draw(LIGHT))


@pytest.mark.slow
def test_a_picture_names_its_data_and_its_drawing() -> None:
    chart = Chart("t", "s", SOME)
    light, dark = chart.draw(LIGHT), chart.draw(DARK)
    assert data_digest(light) == data_digest(dark) == chart.digest
    assert light != dark
    assert is_of_a_board(light)
    assert data_digest(light.replace(b"</svg>", b" </svg>")) is None
    assert data_digest(b"<svg/>") is None
    assert not is_of_a_board(b"<svg/>")
    other = replace(chart, points=(*SOME, Point("more", 1.0, 0.5)))
    assert other.digest != chart.digest
    # The last bits differ between machines.
    near = replace(chart, points=(replace(SOME[0], accuracy=0.3 + 1e-12), *SOME[1:]))
    assert near.digest == chart.digest


@given(st.text(max_size=200))
def test_a_long_name_keeps_its_two_ends(name: str) -> None:
    short = shorten(name)
    assert len(short) <= 90
    if len(name) > 90:
        head, _, tail = short.partition("…")
        assert name.startswith(head)
        assert name.endswith(tail) or "…" in name


@pytest.mark.parametrize(
    "names",
    [
        ["x" * 150 + "A" + "y" * 150, "x" * 150 + "B" + "y" * 150],
        ["x" * 150, "x" * 151],
        [f"{'org/' * 40}model-{i}{' of a long kind' * 20}" for i in range(12)],
        ["a" * 100 + c + "b" * 100 + d + "c" * 100 for c in "12" for d in "34"],
    ],
)
def test_shortened_names_still_differ(names: list[str]) -> None:
    assert len(set(shortened(names))) == len(names)
    assert shortened(["short", "other"]) == ["short", "other"]


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
        (123456.0, "$123,000"),
    ],
)
def test_dollars(cost_usd: float, shown: str) -> None:
    assert dollars(cost_usd) == shown


def test_points_lines_and_arrows_are_where_the_numbers_say() -> None:
    points = (
        Point("base", 1.0, 0.4, on_frontier=True),
        Point("trained", 100.0, 0.8, (0.7, 0.9), on_frontier=True),
        Point("poor", 10.0, 0.1),
        Point("mine", 0.0, 0.5),
    )
    chart = Chart("t", "s", points, paths=((0, 1),), levels=(("random", 0.25),))
    with sheet(LIGHT, 10, 6) as figure:
        axes = figure.subplots()
        _draw(axes, LIGHT, chart)
        figure.canvas.draw()
        drawn = [np.asarray(line.get_xydata()).tolist() for line in axes.lines]
        dots = [
            xy[0] for xy, line in zip(drawn, axes.lines, strict=True) if line.get_marker() == "o"
        ]
        left, right = axes.get_xlim()
        assert dots[:3] == [[1.0, 0.4], [100.0, 0.8], [10.0, 0.1]]
        # What is free stands left of everything that has a price.
        assert left < dots[3][0] < 1.0
        assert dots[3][1] == 0.5
        stairs = next(line for line in drawn if len(line) > 4)
        corners = [*dict.fromkeys(map(tuple, stairs))]
        assert corners == [(1.0, 0.4), (100.0, 0.4), (100.0, 0.8), (right, 0.8)]
        assert [[left, 0.25], [right, 0.25]] in drawn
        (arrow,) = (a for a in axes.texts if isinstance(a, Annotation) and a.arrow_patch)
        assert (arrow.xyann, arrow.xy) == ((1.0, 0.4), (100.0, 0.8))
        (x0, low), (x2, high), (x1, _) = axes.transData.transform(dots[:3])
        assert x1 - x0 == pytest.approx(x2 - x1)
        assert high > low
