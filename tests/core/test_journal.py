"""Files of lines: shared fsyncs, torn ends, writes that fail half-way."""

import asyncio
import errno
import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tclue.journal import Journal

LINES = [f'{{"line": {i}}}\n'.encode() for i in range(200)]


@pytest.fixture
def syncs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The size of the file at each fsync."""
    sizes: list[int] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        sizes.append(os.fstat(descriptor).st_size)
        real(descriptor)

    monkeypatch.setattr("tclue.journal.os.fsync", fsync)
    return sizes


def test_lines_that_arrive_together_share_an_fsync(tmp_path: Path, syncs: list[int]) -> None:
    journal = Journal(tmp_path / "lines")

    async def add(line: bytes) -> None:
        await journal.add(line)
        # Durable when it returns: within what was on the disk at the last fsync.
        assert (tmp_path / "lines").read_bytes()[: syncs[-1]].count(line) == 1

    async def run() -> None:
        await asyncio.gather(*map(add, LINES))

    asyncio.run(run())
    journal.close()
    assert sorted((tmp_path / "lines").read_bytes().splitlines(True)) == sorted(LINES)
    assert len(syncs) < len(LINES) / 10


@pytest.mark.parametrize("torn", [b"", b'{"li', b"x" * 200_000])
def test_a_torn_end_is_cut_off(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"".join(LINES[:3]) + torn)
    journal = Journal(path)
    assert journal.append(LINES[3:4]) == (1, None)
    journal.close()
    assert path.read_bytes() == b"".join(LINES[:4])


def test_a_file_without_any_whole_line_is_emptied(tmp_path: Path) -> None:
    (tmp_path / "lines").write_bytes(b"torn")
    Journal(tmp_path / "lines").close()
    assert (tmp_path / "lines").read_bytes() == b""


def fill_up(monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    """A disk with room for so many bytes more."""
    remaining, real = [room], os.write

    def write(descriptor: int, data: bytes) -> int:
        if not remaining[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = real(descriptor, data[: remaining[0]])
        remaining[0] -= written
        return written

    monkeypatch.setattr("tclue.journal.os.write", write)


@pytest.mark.parametrize("room", [0, 5, 13, 14, 27, 30])
def test_a_full_disk_keeps_the_lines_that_have_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    journal = Journal(tmp_path / "lines")
    journal.append(LINES[:1])
    fill_up(monkeypatch, room)
    done, failed = journal.append(LINES[1:6])
    assert failed is not None
    assert failed.errno == errno.ENOSPC
    assert done == room // len(LINES[0])
    monkeypatch.undo()
    assert journal.append(LINES[6:7]) == (1, None)
    journal.close()
    expected = LINES[:1] + LINES[1 : 1 + done] + LINES[6:7]
    assert (tmp_path / "lines").read_bytes() == b"".join(expected)


def test_who_added_a_line_is_told_what_became_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path / "lines")
    fill_up(monkeypatch, 3 * len(LINES[0]))

    async def run() -> list[BaseException | None]:
        return await asyncio.gather(*map(journal.add, LINES[:9]), return_exceptions=True)

    outcomes = asyncio.run(run())
    journal.close()
    assert [isinstance(outcome, OSError) for outcome in outcomes] == [False] * 3 + [True] * 6
    assert (tmp_path / "lines").read_bytes() == b"".join(LINES[:3])


def test_what_was_added_is_written_though_nobody_waits(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "lines")

    async def run() -> None:
        tasks = [asyncio.create_task(journal.add(line)) for line in LINES[:5]]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()

    asyncio.run(run())
    journal.close()
    assert (tmp_path / "lines").read_bytes() == b"".join(LINES[:5])


def test_closing_waits_for_a_write_that_has_not_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, real = Journal(tmp_path / "lines"), Journal.append

    def late(self: Journal, lines: Sequence[bytes]) -> tuple[int, OSError | None]:
        # As where the thread gets the processor only now.
        if threading.current_thread() is not threading.main_thread():
            time.sleep(0.1)
        return real(self, lines)

    monkeypatch.setattr(Journal, "append", late)

    async def run() -> None:
        task = asyncio.create_task(journal.add(LINES[0]))
        await asyncio.sleep(0.02)
        task.cancel()
        journal.close()

    asyncio.run(run())
    assert (tmp_path / "lines").read_bytes() == LINES[0]


def test_what_an_fsync_failed_on_is_not_taken_to_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, real, fails = Journal(tmp_path / "lines"), os.fsync, iter([True])

    def fsync(descriptor: int) -> None:
        # As Linux does: once, and never again for the same bytes.
        if next(fails, False):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(descriptor)

    monkeypatch.setattr("tclue.journal.os.fsync", fsync)
    done, failed = journal.append(LINES[:3])
    assert (done, failed and failed.errno) == (0, errno.EIO)
    assert journal.append(LINES[:3]) == (3, None)
    journal.close()
    assert (tmp_path / "lines").read_bytes() == b"".join(LINES[:3])


def test_nobody_waits_for_ever_on_a_broken_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path / "lines")

    def broken(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    for name in ("write", "fsync", "ftruncate"):
        monkeypatch.setattr(f"tclue.journal.os.{name}", broken)

    async def run() -> None:
        async with asyncio.timeout(300):
            await journal.add(LINES[0])

    with pytest.raises(OSError, match="Input/output error"):
        asyncio.run(run())
