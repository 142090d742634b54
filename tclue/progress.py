"""Progress of long work: a bar with the time left in a terminal, plain lines elsewhere."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from tclue.text import clean, counted

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

# Plain lines come no more often.
SECONDS_BETWEEN_LINES = 10.0


class Progress:
    """Shows how many of the pieces of some work are done, with a text about them."""

    def __init__(
        self,
        name: str,
        total: int,
        *,
        done: int | None = None,
        text: str = "",
        keep: bool = True,
        out: TextIO | None = None,
    ) -> None:
        """Begin with `done` pieces, by default those of the first report; `keep` the last state."""
        self._name, self._total, self._keep = clean(name), total, keep
        self._out, self._first = out or sys.stderr, done
        self._done, self._text = done or 0, clean(text)
        self._start_s = self._shown_s = time.monotonic()
        self._bar: Bar | None = None
        if self._out.isatty() and os.environ.get("TERM") != "dumb":
            from rich.console import Console
            from rich.markup import escape
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
            from rich.table import Column

            console = Console(file=self._out)
            # The name and the text have a line each; on a narrow screen they wrap.
            self._bar = Progress(
                TextColumn("{task.description}\n{task.fields[text]}", table_column=Column()),
                BarColumn(min(40, max(4, console.width - 72))),
                TimeRemainingColumn(),
                console=console,
                transient=not keep,
            )
            self._task = self._bar.add_task(
                escape(self._name), completed=self._done, total=total, text=escape(self._text)
            )
            self._bar.start()

    def show(self, done: int, text: str, *, at_once: bool = False) -> None:
        """Show the state from now on, if it is time for that or if it must be seen at once."""
        self._done, self._text = done, clean(text)
        if self._first is None:
            self._first = done  # work that an earlier run did says nothing about the pace of this
        if self._bar:
            from rich.markup import escape

            self._bar.update(self._task, completed=done, text=escape(self._text))
        elif at_once or time.monotonic() - self._shown_s >= SECONDS_BETWEEN_LINES:
            self._line()

    def close(self) -> None:
        """Stop; the last state stays on the screen if it is to be kept."""
        if self._bar:
            self._bar.stop()
        elif self._keep:
            self._line()

    def _line(self) -> None:
        self._shown_s = time.monotonic()
        fresh, left = self._done - (self._first or 0), self._total - self._done
        seconds = (self._shown_s - self._start_s) / fresh * left if fresh > 0 else 0.0
        remaining = f", {seconds:.0f} s left" if seconds >= 1 else ""
        print(f"{self._name}: {self._text}{remaining}", file=self._out, flush=True)


@contextmanager
def progress(noun: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show on standard error how many of the `total` pieces of work, each a `noun`, are done."""
    shown = Progress(f"{noun}s", total, keep=False)
    try:
        yield lambda done: shown.show(done, f"{done} of {counted(total, noun)}")
    finally:
        shown.close()
