"""What all pictures share: two themes, a sheet to draw on, and SVG files that name their data.

Matplotlib draws; it is imported only here and only when a picture is drawn. Its SVG differs in its
last digits between versions and machines, so two pictures are never compared byte by byte. Each
file begins with two SHA-256 digests instead: one of the data that the picture was drawn from, and
one of the drawing below it, so that a picture that is out of date and one that was edited by hand
are both noticed.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# A change of how pictures look changes this number, and with it every digest.
STYLE = 1
_STAMP = re.compile(rb"<!-- made by tclue \w+: data ([0-9a-f]{64}), drawing ([0-9a-f]{64}) -->\n")


@dataclass(frozen=True)
class Theme:
    """The colours of a picture, on a light or on a dark page."""

    page: str
    ink: str
    # axes, notes and error bars; grid lines
    quiet: str
    grid: str
    # the frontier and curves; other rows; what training did
    best: str
    other: str
    trained: str


LIGHT = Theme("#ffffff", "#1f2328", "#59636e", "#e4e7eb", "#0b62d6", "#7a828c", "#b35900")
DARK = Theme("#0d1117", "#e6edf3", "#9198a1", "#2a313c", "#58a6ff", "#8b949e", "#f0883e")


@contextmanager
def sheet(theme: Theme, width_in: float, height_in: float) -> Iterator[Figure]:
    """A figure in a theme, in inches (a browser shows 96 pixels an inch), to draw on and save."""
    # Only a graphical window needs a backend, and an invalid one would make the import fail.
    backend = os.environ.pop("MPLBACKEND", None)
    import matplotlib
    from matplotlib.figure import Figure

    if backend is not None:
        os.environ["MPLBACKEND"] = backend
    style: dict[Any, Any] = {
        # Text becomes outlines, so that a picture looks the same whatever fonts a reader has. The
        # salt replaces a random one in the names of the outlines.
        "svg.fonttype": "path",
        "svg.hashsalt": "tclue",
        "font.family": "DejaVu Sans",  # comes with matplotlib
        "font.size": 9,
        # A model may be called "$x$": names are text, never formulas.
        "text.parse_math": False,
        "text.color": theme.ink,
        "axes.facecolor": theme.page,
        "axes.edgecolor": theme.quiet,
        "axes.labelcolor": theme.ink,
        "axes.axisbelow": True,
        "axes.grid": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlelocation": "left",
        "axes.titlesize": 10,
        "grid.color": theme.grid,
        "xtick.color": theme.quiet,
        "ytick.color": theme.quiet,
        "legend.frameon": False,
    }
    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()  # not the user's own settings: pictures are the same everywhere
        matplotlib.rcParams.update(style)
        # A name in a script that the font lacks is drawn as boxes.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield Figure((width_in, height_in), facecolor=theme.page, layout="constrained")


def heading(axes: Axes, theme: Theme, title: str, subtitle: str) -> None:
    """A title and a quieter line below it, at the left above the axes."""
    axes.set_title(f"{title}\n", fontsize=13, fontweight="bold")
    axes.annotate(
        subtitle, (0, 1), (0, 7), xycoords="axes fraction", textcoords="offset points",
        color=theme.quiet,
    )  # fmt: skip


def digest(data: Any) -> str:
    """The SHA-256 of what a picture is drawn from: anything that JSON can hold."""
    text = json.dumps([STYLE, data], sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def svg(figure: Figure, data_digest: str, title: str, command: str) -> bytes:
    """The figure as an SVG file that holds the digest of its data, and the command that drew it."""
    file = io.BytesIO()
    figure.savefig(file, format="svg", metadata={"Date": None, "Title": title})
    drawing = file.getvalue()
    stamp = f"<!-- made by tclue {command}: data {data_digest}, drawing {_sha256(drawing)} -->\n"
    return drawing.replace(b"<svg ", stamp.encode() + b"<svg ", 1)


def data_digest(picture: bytes) -> str | None:
    """The digest of the data that a picture was drawn from; None if tclue did not draw it so.

    A picture that was changed after it was drawn has none either.
    """
    stamp = _STAMP.search(picture)
    if not stamp or _sha256(_STAMP.sub(b"", picture, count=1)) != stamp[2].decode():
        return None
    return stamp[1].decode()


def is_of_a_board(picture: bytes) -> bool:
    """Whether `tclue leaderboard` drew a picture, so that it may delete it."""
    return b"<!-- made by tclue leaderboard" in picture


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
