"""Files of lines: shared fsyncs, torn ends, writes that fail half-way."""

import asyncio
import errno
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from places import ROOT

from tclue.errors import UserError
from tclue.journal import Journal, locked, remove_drafts, replace

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


def removed(path: Path) -> None:
    path.unlink()


def moved(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))


def replaced(path: Path) -> None:
    path.with_name("other").write_bytes(path.read_bytes())
    path.with_name("other").replace(path)


def folder_moved(path: Path) -> None:
    path.parent.rename(path.parent.with_name("moved"))


def shortened(path: Path) -> None:
    os.truncate(path, 5)


def lengthened(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"of another\n")


CHANGES = [removed, moved, replaced, folder_moved, shortened, lengthened]
UNNAMED = CHANGES[:4]


def a_journal(tmp_path: Path, lines: list[bytes]) -> tuple[Journal, Path]:
    path = tmp_path / "folder" / "lines"
    path.parent.mkdir()
    journal = Journal(path)
    assert journal.append(lines) == (len(lines), None)
    return journal, path


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_others_change_cannot_be_written(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    journal, path = a_journal(tmp_path, LINES[:3])
    change(path)
    before = path.read_bytes() if path.exists() else None
    done, failed = journal.append(LINES[3:5])
    assert done == 0
    what = (
        "removed or replaced" if change in UNNAMED else "changed by another program, from 36 bytes"
    )
    assert what in str(failed)
    assert (path.read_bytes() if path.exists() else None) == before
    saved, count = journal.rescue(LINES[3:5], "rescued-", [tmp_path / "missing", tmp_path])
    assert saved.parent == tmp_path
    assert saved.stat().st_mode & 0o777 == 0o600
    # What the path no longer holds is saved, too.
    expected = LINES[:5] if change in UNNAMED else LINES[3:5]
    assert (saved.read_bytes(), count) == (b"".join(expected), len(expected))
    journal.close()
    assert (path.read_bytes() if path.exists() else None) == before


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_written_while_others_change_the_file_counts_as_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None]
) -> None:
    journal, path = a_journal(tmp_path, LINES[:3])
    real, changes = os.fsync, iter([change])

    def fsync(descriptor: int) -> None:
        for each in changes:  # after the check and the write, once
            each(path)
        real(descriptor)

    monkeypatch.setattr("tclue.journal.os.fsync", fsync)
    done, failed = journal.append(LINES[3:5])
    assert (done, failed and failed.errno) == (0, errno.ESTALE)
    saved, count = journal.rescue(LINES[3:5], "rescued-", [tmp_path])
    assert count == (5 if change in UNNAMED else 2)
    assert saved.read_bytes().endswith(b"".join(LINES[3:5]))


def test_a_file_that_comes_back_is_written_again(tmp_path: Path) -> None:
    journal, path = a_journal(tmp_path, LINES[:3])
    moved(path)
    assert journal.append(LINES[3:5])[0] == 0
    path.with_name("elsewhere").rename(path)
    assert journal.append(LINES[3:5]) == (2, None)
    assert list(journal.lines()) == LINES[:5]


def test_lines_of_cancelled_tasks_that_cannot_be_written_are_not_forgotten(tmp_path: Path) -> None:
    journal, path = a_journal(tmp_path, LINES[:1])
    removed(path)

    async def run() -> None:
        task = asyncio.create_task(journal.add(LINES[1]))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(OSError, match="removed or replaced"):
            await journal.add(LINES[2])

    asyncio.run(run())
    assert journal.drain() == [LINES[1]]


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    target, path = tmp_path / "target", tmp_path / "lines"
    target.write_bytes(LINES[0])
    path.symlink_to(target)
    with pytest.raises(OSError, match="it is a symbolic link: expected a regular file"):
        Journal(path)
    replace(path, LINES[1:2])
    assert (target.read_bytes(), path.read_bytes()) == (LINES[0], LINES[1])
    assert not path.is_symlink()


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664])
def test_a_replaced_file_keeps_its_permissions(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(mode)
    replace(path, [b"new"])
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"new", mode)
    assert list(tmp_path.iterdir()) == [path]


def test_drafts_of_a_killed_process_are_removed_and_nothing_else(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from tclue.journal import replace\n"
        "replace(Path(sys.argv[1]), iter(lambda: os.kill(os.getpid(), 9), 0))"
    )
    path = tmp_path / "file"
    path.write_bytes(b"old")
    (tmp_path / "mine.new").touch()
    subprocess.run([sys.executable, "-c", code, str(path)], cwd=ROOT, check=False)
    assert len(list(tmp_path.iterdir())) == 3
    assert path.read_bytes() == b"old"
    remove_drafts(tmp_path)
    assert sorted(tmp_path.iterdir()) == [path, tmp_path / "mine.new"]


def test_a_folder_that_is_replaced_while_it_is_locked_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()

    def flock(*_: object) -> None:
        folder.rename(tmp_path / "old")
        folder.mkdir()

    monkeypatch.setattr("tclue.journal.fcntl.flock", flock)
    with pytest.raises(UserError, match="folder: was removed or replaced just now"):
        locked(folder, "busy", "advice")


@pytest.mark.parametrize("waits", [True, False])
def test_a_write_that_fails_when_nobody_waits_any_more_is_not_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waits: bool
) -> None:
    journal, path = a_journal(tmp_path, LINES[:1])
    removed(path)
    real, begun, go_on = Journal.append, threading.Event(), threading.Event()

    def late(self: Journal, lines: Sequence[bytes]) -> tuple[int, OSError | None]:
        begun.set()
        go_on.wait(300)
        return real(self, lines)

    monkeypatch.setattr(Journal, "append", late)

    async def run() -> list[bytes]:
        task = asyncio.create_task(journal.add(LINES[1]))
        while not begun.is_set():
            await asyncio.sleep(0.001)
        task.cancel()
        if waits:
            await asyncio.sleep(0)
        go_on.set()
        return journal.drain()  # before the loop sees that the write has ended

    assert asyncio.run(run()) == [LINES[1]]
