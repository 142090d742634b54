"""SVG by hand: a page, and the few marks that pictures are made of. The same bytes each time."""

from __future__ import annotations

import html
from collections.abc import Sequence

from tclue.board.labels import Box, Segment, clean

INK = "#1f2328"


def page(width: int, height: int, title: str, parts: Sequence[str], *, notice: str = "") -> str:
    """A picture on white, as the text of a file; `notice` is a comment at its beginning."""
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img" font-size="12" '
        "font-family=\"Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif\">"
    )
    head = [opening, *([notice] if notice else []), f"<title>{escaped(title)}</title>"]
    ground = f'<rect width="{width}" height="{height}" fill="#ffffff"/>'
    return "\n".join([*head, ground, *parts, "</svg>"]) + "\n"


def frame(box: Box) -> str:
    """The outline of a box."""
    width, height = box.right - box.left, box.bottom - box.top
    place = f'x="{box.left:.1f}" y="{box.top:.1f}" width="{width:.1f}" height="{height:.1f}"'
    return f'<rect {place} fill="none" stroke="#b8bfc7"/>'


def line(segment: Segment, style: str) -> str:
    """A line from end to end."""
    start = f'x1="{segment.x0:.1f}" y1="{segment.y0:.1f}"'
    return f'<line {start} x2="{segment.x1:.1f}" y2="{segment.y1:.1f}" {style}/>'


def text(x: float, y: float, words: str, style: str = "") -> str:
    """Words that begin at a point, in ink unless the style has another colour."""
    fill = "" if "fill=" in style else f' fill="{INK}"'
    return f'<text x="{x:.1f}" y="{y:.1f}"{fill} {style}>{escaped(words)}</text>'.replace(" >", ">")


def escaped(words: str) -> str:
    """Words as markup has them, without control characters."""
    return html.escape(clean(words))
