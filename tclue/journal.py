"""An append-only file of lines that stays intact after a crash or on a full disk.

* When `append` or `add` returns, the line is on the disk: written completely, then synced.
* Lines that are added while the disk is busy share the next fsync (group commit: DeWitt et al.,
  "Implementation Techniques for Main Memory Database Systems", 1984), so the fsync does not limit
  the number of lines per second.
* An incomplete last line of a killed process is cut off when the file is opened again. If a write
  fails, the lines before it are kept, and the file ends with the last of them. If an fsync fails,
  all of its lines count as not written, because the system may have dropped them, and another fsync
  would not report that (Rebello et al., "Can Applications Recover from fsync Failures?", 2020).
"""

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
    """A file that is opened for appending. Raises OSError if it cannot be opened."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        self._end = _last_line_end(self._descriptor)
        os.ftruncate(self._descriptor, self._end)
        self._lock = threading.Lock()
        # a separate executor, so that `close` can wait for writes that have not started
        self._writer = ThreadPoolExecutor(1)
        self._queue: list[tuple[bytes, asyncio.Future[None]]] = []
        self._flushing: asyncio.Task[None] | None = None

    def append(self, lines: Sequence[bytes]) -> tuple[int, OSError | None]:
        """Write lines, each with a line break at its end.

        Returns the number of lines that are on the disk, and the error or None.
        """
        data = b"".join(lines)
        with self._lock:
            written, failed = 0, None
            try:
                while written < len(data):
                    written += os.write(self._descriptor, data[written:])
            except OSError as error:
                failed = error
                # Keep only the complete lines.
                written = data.rfind(b"\n", 0, written) + 1
            try:
                if failed:
                    os.ftruncate(self._descriptor, self._end + written)
                os.fsync(self._descriptor)
            except OSError as error:
                failed, written = failed or error, 0
                with suppress(OSError):  # only the first error is reported
                    os.ftruncate(self._descriptor, self._end)
            self._end += written
        return data.count(b"\n", 0, written), failed

    async def add(self, line: bytes) -> None:
        """Write a line together with those of other tasks. Raises OSError if that fails."""
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
                        continue  # the task that added it was cancelled
                    if number < done:
                        future.set_result(None)
                    else:
                        future.set_exception(failed or OSError("not written"))
        finally:
            self._flushing = None

    def replace(self, lines: Iterable[bytes]) -> None:
        """Replace all lines by other ones in one step."""
        replace(self._path, lines)
        os.close(self._descriptor)
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_APPEND)
        self._end = os.fstat(self._descriptor).st_size

    def close(self) -> None:
        """Write the lines that are left, and close the file."""
        self._writer.shutdown()
        queue, self._queue = self._queue, []
        self.append([line for line, _ in queue])
        os.close(self._descriptor)


def replace(path: Path, parts: Iterable[bytes]) -> None:
    """Replace the content of a file in one step: a reader sees the old bytes or the new ones."""
    draft = path.with_name(f"{path.name}.new")
    try:
        with draft.open("wb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        sync(path.parent)  # otherwise a crash may restore the old file and lose later lines
    except BaseException:
        with suppress(OSError):
            draft.unlink()
        raise


def locked(folder: Path, busy_reason: str, advice: str) -> int:
    """Lock a folder for this process until the returned descriptor is closed.

    Raises UserError with `busy_reason` if another process has the lock, UserError with `advice` if
    the file system has no locks, as some network file systems, and OSError if the folder is
    missing.
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
    """Make sure that a file, or the list of files in a folder, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _last_line_end(descriptor: int) -> int:
    """The position after the last complete line, searched from the end."""
    end = os.fstat(descriptor).st_size
    while end:
        start = max(0, end - _BLOCK)
        position = os.pread(descriptor, end - start, start).rfind(b"\n")
        if position >= 0:
            return start + position + 1
        end = start
    return 0
