"""Where the labels of a picture go: near their points, and never over each other or a point.

Greedy: each label in turn takes the best free place of a few around its point, and where all of
those are taken, the nearest free place in the frame, tied to its point by a leader line. Text is
measured generously (a little wider than DejaVu Sans, the widest of the fonts a reader is likely
to have), so that what is apart here is apart on every screen. Only sums, products and comparisons
of coordinates are used: the same points give the same places on any machine.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal, NamedTuple

FONT_PX = 12.0
LINE_PX = 15.0
# the widest label; a longer one loses its middle
LABEL_PX = 270.0
# kept free between a label and what is beside it
GAP_PX = 2.0

_NARROW = frozenset(" ijlIftr.,:;'|!()[]/\\-\"")
_WIDE = frozenset("mwMW@%&+=<>~#^…")
_UNSHOWABLE = re.compile("[^\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

# Directions from a point to its label, best first, and the distances tried in each.
_DIRECTIONS = (
    *((1, 0), (-1, 0), (0, -1), (0, 1)),
    *((1, -0.6), (1, 0.6), (-1, -0.6), (-1, 0.6)),
    *((0.4, -1), (0.4, 1), (-0.4, -1), (-0.4, 1)),
)
_DISTANCES_PX = (10.0, 16.0, 24.0, 34.0, 46.0, 60.0, 76.0, 95.0)
# beyond this a leader line ties a label to its point
_BESIDE_PX = 18.0
# how far a label goes to keep a leader line and a text from crossing
_LEADER_OVER_TEXT = 250.0


class Box(NamedTuple):
    """A rectangle in pixels, y downwards."""

    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: Box) -> bool:
        """Whether the two share any area."""
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )

    def within(self, other: Box) -> bool:
        """Whether this box lies inside another."""
        return (
            other.left <= self.left
            and self.right <= other.right
            and other.top <= self.top
            and self.bottom <= other.bottom
        )

    def grown(self, by: float) -> Box:
        """The box with so much more on each side."""
        return Box(self.left - by, self.top - by, self.right + by, self.bottom + by)


class Segment(NamedTuple):
    """A straight line in pixels."""

    x0: float
    y0: float
    x1: float
    y1: float

    def crosses(self, box: Box) -> bool:
        """Whether any of the line lies inside the box (Liang and Barsky, 1984)."""
        start, end = 0.0, 1.0
        for origin, run, low, high in (
            (self.x0, self.x1 - self.x0, box.left, box.right),
            (self.y0, self.y1 - self.y0, box.top, box.bottom),
        ):
            if run == 0:
                if not low < origin < high:
                    return False
                continue
            enter, leave = sorted(((low - origin) / run, (high - origin) / run))
            start, end = max(start, enter), min(end, leave)
        return start < end


@dataclass(frozen=True)
class Anchor:
    """A point to be labelled."""

    x: float
    y: float
    text: str


@dataclass(frozen=True)
class Label:
    """A label in its place."""

    text: str
    box: Box
    # which end of the box the text is held at: fonts differ, and most are narrower than the box
    side: Literal["start", "middle", "end"]
    # from the label to its point, where the two are not side by side
    leader: Segment | None


def clean(text: str) -> str:
    """The text on one line, with what no screen or file format can show replaced."""
    return _UNSHOWABLE.sub("\ufffd", text)


def text_width(text: str, font_px: float = FONT_PX) -> float:
    """An upper estimate of a text's width, in pixels."""
    return font_px * sum(map(_char_width, text))


def _char_width(char: str) -> float:
    if char in _NARROW:
        return 0.46
    if char in _WIDE or ord(char) > 126:
        return 1.02
    return 0.8 if char.isupper() else 0.66


def shorten(text: str, width: float = LABEL_PX) -> str:
    """The text, or as much of its two ends as fits in a width."""
    text = clean(text)
    if text_width(text) <= width:
        return text
    length = len(text) - 1
    while length and text_width(_without_middle(text, length)) > width:
        length -= 1
    return _without_middle(text, length)


def _without_middle(text: str, length: int) -> str:
    tail = length // 2
    return text[: length - tail] + "…" + text[len(text) - tail :]


def place(
    anchors: Sequence[Anchor], frame: Box, markers: Sequence[Box], lines: Sequence[Segment] = ()
) -> list[Label | None]:
    """A place for each anchor's label, in the anchors' order; earlier ones choose first.

    Labels stay inside the frame and clear of each other and of all markers; lines are avoided
    where that is cheap. None where there is no room left.
    """
    markers = list(dict.fromkeys(markers))
    placed: list[Label | None] = []
    for anchor in anchors:
        taken = [label for label in placed if label]
        placed.append(_best(anchor, frame, markers, lines, taken))
    # So far a label saw only those before it. Now each may move again, seeing all.
    for i in [i for i, label in enumerate(placed) if label]:
        others = [label for label in placed[:i] + placed[i + 1 :] if label]
        placed[i] = _best(anchors[i], frame, markers, lines, others)
    return placed


def column(anchors: Sequence[Anchor], frame: Box) -> list[Label | None]:
    """The labels one under another at the frame's left side, as near their points' heights as fit.

    In the anchors' order; None for those beyond what the frame is high enough for.
    """
    capacity = int((frame.bottom - frame.top) / LINE_PX)
    order = sorted(range(min(capacity, len(anchors))), key=lambda i: anchors[i].y)
    tops: list[float] = []
    for i in order:
        tops.append(max(anchors[i].y - LINE_PX / 2, tops[-1] + LINE_PX if tops else frame.top))
    lowest = frame.bottom
    for index in reversed(range(len(tops))):
        lowest = tops[index] = min(tops[index], lowest - LINE_PX)
    placed: list[Label | None] = [None] * len(anchors)
    for i, top in zip(order, tops, strict=True):
        text = shorten(anchors[i].text, frame.right - frame.left)
        box = Box(frame.left, top, frame.left + text_width(text), top + LINE_PX)
        middle = top + LINE_PX / 2
        moved = abs(middle - anchors[i].y) > 6
        leader = Segment(anchors[i].x, anchors[i].y, frame.left, middle) if moved else None
        placed[i] = Label(text, box, "start", leader)
    return placed


def _best(
    anchor: Anchor,
    frame: Box,
    markers: Sequence[Box],
    lines: Sequence[Segment],
    taken: Sequence[Label],
) -> Label | None:
    text = shorten(anchor.text)
    width = text_width(text)
    solid = [*markers, *(label.box for label in taken)]

    def best_of(boxes: Iterable[Box], limit: int) -> tuple[float, Label | None]:
        lowest, chosen = math.inf, None
        for box in islice(filter(is_free, boxes), limit):
            label = Label(text, box, _side(anchor, box), _leader(anchor, box))
            if (badness := _badness(anchor, label, markers, lines, taken)) < lowest:
                lowest, chosen = badness, label
        return lowest, chosen

    def is_free(box: Box) -> bool:
        needed = box.grown(GAP_PX)
        return needed.within(frame) and not any(needed.overlaps(other) for other in solid)

    near = best_of(_around(anchor, width), 1000)
    if near[0] < _LEADER_OVER_TEXT:
        return near[1]
    return min(near, best_of(_everywhere(anchor, width, frame), 60), key=lambda pair: pair[0])[1]


def _around(anchor: Anchor, width: float) -> Iterator[Box]:
    for distance in _DISTANCES_PX:
        for right, down in _DIRECTIONS:
            x, y = anchor.x + right * distance, anchor.y + down * distance
            left = x if right > 0 else x - width if right < 0 else x - width / 2
            top = y - LINE_PX if down == -1 else y if down == 1 else y - LINE_PX / 2
            yield Box(left, top, left + width, top + LINE_PX)


def _everywhere(anchor: Anchor, width: float, frame: Box) -> list[Box]:
    """Places all over the frame, nearest first."""
    boxes = [
        Box(left, top, left + width, top + LINE_PX)
        for top in _steps(frame.top + GAP_PX, frame.bottom - GAP_PX - LINE_PX, LINE_PX / 3)
        for left in _steps(frame.left + GAP_PX, frame.right - GAP_PX - width, 20.0)
    ]
    return sorted(boxes, key=lambda box: _distance(anchor, box))


def _steps(low: float, high: float, step: float) -> Iterator[float]:
    position = low
    while position <= high:
        yield position
        position += step


def _side(anchor: Anchor, box: Box) -> Literal["start", "middle", "end"]:
    if anchor.x <= box.left:
        return "start"
    return "end" if anchor.x >= box.right else "middle"


def _nearest(anchor: Anchor, box: Box) -> tuple[float, float]:
    """The point of the box, where there is sure to be text, that is nearest to the anchor."""
    inset = (box.right - box.left) / 6 if _side(anchor, box) == "middle" else 0.0
    x = min(max(anchor.x, box.left + inset), box.right - inset)
    y = min(max(anchor.y, box.top + 3), box.bottom - 3)
    return x, y


def _distance(anchor: Anchor, box: Box) -> float:
    x, y = _nearest(anchor, box)
    # A step up or down costs more than one to the side: a label reads best at its point's height.
    return abs(x - anchor.x) + 1.5 * abs(y - anchor.y)


def _leader(anchor: Anchor, box: Box) -> Segment | None:
    x, y = _nearest(anchor, box)
    if max(abs(x - anchor.x), abs(y - anchor.y)) <= _BESIDE_PX:
        return None
    return Segment(anchor.x, anchor.y, x, y)


def _badness(
    anchor: Anchor,
    label: Label,
    markers: Sequence[Box],
    lines: Sequence[Segment],
    taken: Sequence[Label],
) -> float:
    """How bad a free place is, in pixels of distance."""
    badness = _distance(anchor, label.box) + 30 * sum(line.crosses(label.box) for line in lines)
    crossings = sum(bool(other.leader and other.leader.crosses(label.box)) for other in taken)
    if leader := label.leader:
        crossings += sum(leader.crosses(other.box) for other in taken)
        at = Box(anchor.x, anchor.y, anchor.x, anchor.y)
        badness += 20 + 30 * sum(leader.crosses(m) for m in markers if not at.within(m))
    return badness + _LEADER_OVER_TEXT * crossings
