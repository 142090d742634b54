"""An append-only file of lines that a crash or a full disk leaves intact.

* A line is on the disk (written whole, then fsync) when `append` returns or `add` ends.
* Lines that are added while the disk is busy share the next fsync (group commit: DeWitt et al.,
  "Implementation Techniques for Main Memory Database Systems", 1984), so their number a second is
  not bound by it.
* What a killed process left of its last line is cut off when the file is opened again. Where a
  write fails, the lines before it are kept and the file ends with the last of them. Where an fsync
  fails, none of its lines is taken to be written: the system may have dropped them, and another
  fsync would not say so (Rebello et al., "Can Applications Recover from fsync Failures?", 2020).
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from tclue.errors import UserError

_BLOCK = 1 << 16


class Journal:
    """The file, opened for appending. Raises OSError if it cannot be opened."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        self._end = _last_line_end(self._descriptor)
        os.ftruncate(self._descriptor, self._end)
        self._lock = threading.Lock()
        # an executor of its own, so that `close` can wait for writes that have not begun
        self._writer = ThreadPoolExecutor(1)
        self._queue: list[tuple[bytes, asyncio.Future[None]]] = []
        self._flushing: asyncio.Task[None] | None = None

    def append(self, lines: Sequence[bytes]) -> tuple[int, OSError | None]:
        """Write lines, each with its line end; return how many are on disk, and any error."""
        data = b"".join(lines)
        with self._lock:
            written, failed = 0, None
            try:
                while written < len(data):
                    written += os.write(self._descriptor, data[written:])
            except OSError as error:
                failed = error
                # The line ends that were written are those of whole lines.
                written = data.rfind(b"\n", 0, written) + 1
            try:
                if failed:
                    os.ftruncate(self._descriptor, self._end + written)
                os.fsync(self._descriptor)
            except OSError as error:
                failed, written = failed or error, 0
                with suppress(OSError):  # the first error is the one reported
                    os.ftruncate(self._descriptor, self._end)
            self._end += written
        return data.count(b"\n", 0, written), failed

    async def add(self, line: bytes) -> None:
        """Write a line together with those that others add. Raises OSError if that fails."""
        future = asyncio.get_running_loop().create_future()
        self._queue.append((line, future))
        if self._flushing is None:
            self._flushing = asyncio.create_task(self._flush())
        await future

    async def _flush(self) -> None:
        try:
            while self._queue:
                group, self._queue = self._queue, []
                lines = [line for line, _ in group]
                loop = asyncio.get_running_loop()
                done, failed = await loop.run_in_executor(self._writer, self.append, lines)
                for number, (_, future) in enumerate(group):
                    if future.done():
                        continue  # whoever added it no longer waits
                    if number < done:
                        future.set_result(None)
                    else:
                        future.set_exception(failed or OSError("not written"))
        finally:
            self._flushing = None

    def replace(self, lines: Iterable[bytes]) -> None:
        """Put other lines in the place of all that are there, at once."""
        replace(self._path, lines)
        os.close(self._descriptor)
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_APPEND)
        self._end = os.fstat(self._descriptor).st_size

    def close(self) -> None:
        """Write what is still to be written, and close the file."""
        self._writer.shutdown()
        queue, self._queue = self._queue, []
        self.append([line for line, _ in queue])
        os.close(self._descriptor)


def replace(path: Path, parts: Iterable[bytes]) -> None:
    """Put new bytes in a file's place at once: a reader sees the old ones or the new."""
    draft = path.with_name(f"{path.name}.new")
    try:
        with draft.open("wb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        sync(path.parent)  # or a crash brings the old file back, without what was added since
    except BaseException:
        with suppress(OSError):
            draft.unlink()
        raise


def locked(folder: Path, busy_reason: str, advice: str) -> int:
    """Lock a folder for this process, until the returned descriptor is closed.

    Raises UserError if another process has it (with `busy_reason`), or if the file system has no
    locks, as some network file systems (with `advice`); OSError if the folder does not exist.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        busy = isinstance(error, BlockingIOError)
        reason = busy_reason if busy else f"cannot be locked: {error.strerror}: {advice}"
        raise UserError(f"{folder}: {reason}") from None
    return descriptor


def sync(path: Path) -> None:
    """Make sure that a file, or a folder's list of its files, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _last_line_end(descriptor: int) -> int:
    """Where the last whole line ends, read from the back."""
    end = os.fstat(descriptor).st_size
    while end:
        start = max(0, end - _BLOCK)
        position = os.pread(descriptor, end - start, start).rfind(b"\n")
        if position >= 0:
            return start + position + 1
        end = start
    return 0
