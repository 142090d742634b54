"""An append-only file of lines that stays intact after a crash or on a full disk.

* When `append` or `add` returns, the line is on the disk: written completely, then synced.
* Lines that are added while the disk is busy share the next fsync (group commit: DeWitt et al.,
  "Implementation Techniques for Main Memory Database Systems", 1984), so the fsync does not limit
  the number of lines per second.
* An incomplete last line of a killed process is cut off when the file is opened again. If a write
  fails, the lines before it are kept, and the file ends with the last of them. If an fsync fails,
  all of its lines count as not written, because the system may have dropped them, and another fsync
  would not report that (Rebello et al., "Can Applications Recover from fsync Failures?", 2020).
* Before and after each write the open file is compared with the one that its path names. If they
  differ, or another program has changed the size, the write has failed. What was written to a file
  that is removed or replaced can still be read through the descriptor, and `rescue` saves it. An
  edit that keeps the file and its size is not noticed.
* Nothing is written through a symbolic link: a journal refuses it, `replace` replaces it.
"""

import asyncio
import errno
import fcntl
import os
import secrets
import stat
import tempfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from itertools import chain
from pathlib import Path

from tclue.errors import UserError

_BLOCK = 1 << 16
_DRAFT = ".new"  # the end of a draft's name


class Journal:
    """A file that is opened for appending."""

    def __init__(self, path: Path, length: int | None = None) -> None:
        """Open or create a file, and keep the complete lines of its first `length` bytes.

        Raises OSError if it cannot be opened, or if it is a symbolic link.
        """
        self._path = path
        self._descriptor = _open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        if length is not None and length < os.fstat(self._descriptor).st_size:
            os.ftruncate(self._descriptor, length)
        self._end = _last_line_end(self._descriptor)
        os.ftruncate(self._descriptor, self._end)
        self._lock = threading.Lock()
        # a separate executor, so that `close` can wait for writes that have not started
        self._writer = ThreadPoolExecutor(1)
        self._queue: list[tuple[bytes, asyncio.Future[None]]] = []
        self._flushing: asyncio.Task[None] | None = None
        # the write that `_flush` waits for, and its lines
        self._job: tuple[Future[tuple[int, OSError | None]], list[bytes]] | None = None
        # lines that could not be written, and whose task no longer waits for them
        self._unwritten: list[bytes] = []

    @property
    def length(self) -> int:
        """The number of bytes that were written."""
        return self._end

    @property
    def orphaned(self) -> bool:
        """Whether the path no longer names the open file."""
        return not same(self._descriptor, self._path)

    def change(self) -> OSError | None:
        """How other programs changed the file while it was open, as an error; None if unchanged."""
        if self.orphaned:
            change = "removed or replaced"
        elif (size := os.fstat(self._descriptor).st_size) != self._end:
            change = f"changed by another program, from {self._end} bytes to {size},"
        else:
            return None
        return OSError(errno.ESTALE, f"the file was {change} while this command was writing it")

    def append(self, lines: Sequence[bytes]) -> tuple[int, OSError | None]:
        """Write lines, each with a line break at its end.

        Returns the number of lines that are on the disk, and the error or None.
        """
        data = b"".join(lines)
        with self._lock:
            if changed := self.change():
                return 0, changed
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
            # It may have been removed just before the write, and the write succeeds nevertheless.
            if changed := self.change():
                self._end -= written
                with suppress(OSError):
                    if os.fstat(self._descriptor).st_size == self._end + written:
                        os.ftruncate(self._descriptor, self._end)
                return 0, failed or changed
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
                self._job = self._writer.submit(self.append, lines), lines
                done, failed = await asyncio.wrap_future(self._job[0])
                self._job = None
                for number, (_, future) in enumerate(group):
                    if future.done():  # the task that added it was cancelled
                        self._unwritten += lines[number : number + 1] if number >= done else ()
                    elif number < done:
                        future.set_result(None)
                    else:
                        future.set_exception(failed or OSError("not written"))
        finally:
            self._flushing = None

    def replace(self, lines: Iterable[bytes]) -> None:
        """Replace all lines by other ones in one step. Raises OSError if that fails."""
        if changed := self.change():
            raise changed
        replace(self._path, lines)
        os.close(self._descriptor)
        self._descriptor = _open(self._path, os.O_RDWR | os.O_APPEND)
        self._end = os.fstat(self._descriptor).st_size

    def lines(self) -> Iterator[bytes]:
        """The written lines that the open file still holds, also if its path names another file."""
        left = self._end
        with os.fdopen(os.dup(self._descriptor), "rb") as file:
            file.seek(0)
            for line in file:
                left -= len(line)
                if left < 0:  # another program has appended it
                    return
                yield line

    def drain(self) -> list[bytes]:
        """Write the remaining lines. Returns those that could not be written."""
        self._writer.shutdown()
        lines, self._queue = [line for line, _ in self._queue], []
        if self._job:  # the tasks were cancelled meanwhile
            job, group = self._job
            lines, self._job = group[0 if job.cancelled() else job.result()[0] :] + lines, None
        done, _ = self.append(lines)
        return self._unwritten + lines[done:]

    def rescue(self, lines: Sequence[bytes], name: str, places: Iterable[Path]) -> tuple[Path, int]:
        """Save lines that could not be written, and those of a file that its path no longer names.

        They go into a new file in the first of the places that has room. Its name begins with
        `name` and cannot be guessed, and only this user can read it. Returns its path and its
        number of lines. Raises OSError if no place has room.
        """
        failed = OSError("no folder to write to")
        for place in places:
            path = None
            try:
                descriptor, path = tempfile.mkstemp(".jsonl", name, place)
                earlier = self.lines() if self.orphaned else ()
                with os.fdopen(descriptor, "wb") as file:
                    count = sum(file.write(line) > 0 for line in chain(earlier, lines))
                    file.flush()
                    os.fsync(descriptor)
                sync(place)
                return Path(path), count
            except OSError as error:
                failed = error
                if path:
                    Path(path).unlink()
        raise failed

    def close(self) -> None:
        """Write the remaining lines, and close the file."""
        self.drain()
        os.close(self._descriptor)


def replace(path: Path, parts: Iterable[bytes]) -> None:
    """Replace the content of a file in one step: a reader sees the old bytes or the new ones.

    The file keeps its permissions. A symbolic link is not followed, but replaced by the file.
    """
    # A name that nobody can guess, so that several processes can replace the same file.
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}{_DRAFT}")
    try:
        with open(_open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as file:
            with suppress(FileNotFoundError):
                old, new = os.lstat(path).st_mode, os.fstat(file.fileno()).st_mode
                if stat.S_ISREG(old) and old != new:
                    os.fchmod(file.fileno(), stat.S_IMODE(old))
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


def remove_drafts(folder: Path) -> None:
    """Remove the drafts of a killed `replace`, in a folder that only this process writes."""
    for draft in folder.glob(f"*.{'[0-9a-f]' * 16}{_DRAFT}"):
        draft.unlink(missing_ok=True)


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
    if not same(descriptor, folder):  # since it was opened
        os.close(descriptor)
        raise UserError(f"{folder}: was removed or replaced just now: run the command again")
    return descriptor


def same(descriptor: int, path: Path) -> bool:
    """Whether a path still names the file or the folder that is open."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False


def sync(path: Path) -> None:
    """Make sure that a file, or the list of files in a folder, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _open(path: Path, flags: int) -> int:
    """Open a file, and no symbolic link. Returns the descriptor."""
    try:
        return os.open(path, flags | os.O_NOFOLLOW, 0o666)
    except OSError as error:
        if error.errno == errno.ELOOP:
            error.strerror = "it is a symbolic link: expected a regular file in its place"
        raise


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
