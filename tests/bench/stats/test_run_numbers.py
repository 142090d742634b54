"""The numbers of a run: computed once for the same records, and never those of other records."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bench_support import Answer as Reply
from bench_support import bench, completion, serving, write_puzzles
from board_runs import Answer, write_run
from places import ROOT

from tclue.bench import records
from tclue.bench.costs.price_book import SHIPPED, PriceBook, read_book
from tclue.bench.records import RunConfig
from tclue.bench.results import list_runs
from tclue.bench.stats import cached, run_numbers
from tclue.bench.stats.run_numbers import RunNumbers, read_numbers
from tclue.board.leaderboard import build, texts
from tclue.errors import UserError
from tclue.puzzle.grading.shape import Unread

Counter = Callable[[], int]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder, which the other tests do not have."""
    monkeypatch.setattr(cached, "cache_folder", lambda: tmp_path / "cache")
    return tmp_path / "cache" / "numbers"


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Counter:
    """The number of times that records were parsed since the last call."""
    calls: list[Path] = []
    parsing = records.iter_responses

    def counting(folder: Path, config: RunConfig, **options: Any) -> object:
        calls.append(folder)
        return parsing(folder, config, **options)

    def since() -> int:
        number = len(calls)
        calls.clear()
        return number

    monkeypatch.setattr(run_numbers, "iter_responses", counting)
    return since


def a_run(results: Path) -> Path:
    """A run with several samples, failures, two difficulties and a hosted model's prices."""
    answers = [
        Answer(0.0, says="Hall"),
        Answer(1.0),
        Answer(0.5, outcome="failed"),
        Answer(1.0, model_id="a"),
        Answer(1 / 3, cost_usd=0.1),
        Answer(1.0, num_clues=90, model_id="b"),
    ]
    request = {"model": "openai/gpt-5-mini"}
    return write_run(results, answers=answers, samples=2, request=request, notes=("a note",))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return a_run(tmp_path / "results")


def edit(folder: Path, old: str, new: str, file: str = "responses.jsonl") -> None:
    """Replace the first occurrence of a text."""
    text = (folder / file).read_text(encoding="utf-8")
    assert old in text
    (folder / file).write_text(text.replace(old, new, 1), encoding="utf-8")


def test_the_same_records_are_parsed_once(cache: Path, reads: Counter, folder: Path) -> None:
    first = read_numbers(folder)
    assert reads() == 1
    second = read_numbers(folder)
    assert reads() == 0
    assert second == first
    assert repr(second) == repr(first)  # the types and the order of keys too
    assert [listing.summary for listing in list_runs(folder.parent)] == [first.summary]
    assert reads() == 0
    assert len(list(cache.iterdir())) == 1
    # Nothing is kept beside the records, where it would be committed with them.
    assert sorted(path.name for path in folder.iterdir()) == ["responses.jsonl", "run.json"]


@pytest.mark.usefixtures("cache", "folder")
def test_a_board_from_the_cache_has_the_same_bytes(reads: Counter, tmp_path: Path) -> None:
    write_run(tmp_path / "results", "other")
    first, second = (texts(build(tmp_path / "results")) for _ in range(2))
    assert reads() == 2
    assert first == second


@pytest.mark.usefixtures("cache")
def test_one_edited_byte_gives_the_new_number(reads: Counter, folder: Path) -> None:
    before = read_numbers(folder)
    stamp = (folder / "responses.jsonl").stat()
    edit(folder, '"cost_usd": 0.01', '"cost_usd": 0.02')
    # Neither the size nor the time of the file says so.
    os.utime(folder / "responses.jsonl", ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    after = read_numbers(folder)
    assert (after.summary.cost_usd or 0.0) > (before.summary.cost_usd or 0.0)
    assert reads() == 2
    edit(folder, '"cost_usd": 0.02', '"cost_usd": 0.01')
    assert read_numbers(folder) == before
    assert reads() == 0


def test_other_settings_prices_or_program_are_not_served(
    cache: Path, reads: Counter, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = read_book(SHIPPED)
    read_numbers(folder)
    priced = read_numbers(folder, book).summary.repriced_usd
    assert priced
    assert reads() == 2
    entry = book.find("openai/gpt-5-mini")
    assert entry
    dearer = PriceBook((replace(entry, input=2 * entry.input, output=2 * entry.output),))
    dearer_usd = read_numbers(folder, dearer).summary.repriced_usd
    assert dearer_usd
    assert dearer_usd > priced
    # A price of another model changes nothing.
    other = replace(entry, models=("another",), input=7.0)
    assert read_numbers(folder, PriceBook((other, *book.price))).summary.repriced_usd == priced
    assert reads() == 1
    edit(folder, '"a note"', '"another"', "run.json")
    assert read_numbers(folder).summary.notes == ("another",)
    assert reads() == 1
    monkeypatch.setattr(cached, "_PROGRAM", "0" * 64)
    read_numbers(folder)
    assert reads() == 1
    assert len(list(cache.iterdir())) == 5


def test_the_program_is_all_of_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "tclue"
    (package / "data").mkdir(parents=True)
    monkeypatch.setattr("tclue.__file__", str(package / "__init__.py"))
    seen = {cached._program()}
    for name, text in (("a.py", "1"), ("a.py", "2"), ("b.py", "2"), ("data/c.toml", "1")):
        (package / name).write_text(text)
        seen.add(cached._program())
    assert len(seen) == 5
    (package / "data" / "d.pyc").write_text("compiled")
    assert cached._program() in seen


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "cut off": lambda data: data[:-20],
    "longer": lambda data: data + b" ",
    "only a digest": lambda data: data[:65],
    "a digit": lambda data: re.sub(rb'"responses": \d', b'"responses": 1', data, count=1),
    "zeros": lambda data: bytes(len(data)),
    "not text": lambda data: b"\xff" * 70,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_entry_is_computed_anew(
    cache: Path, reads: Counter, folder: Path, damage: str
) -> None:
    first = read_numbers(folder)
    (entry,) = cache.iterdir()
    good = entry.read_bytes()
    entry.write_bytes(DAMAGES[damage](good))
    assert entry.read_bytes() != good
    assert read_numbers(folder) == first
    assert reads() == 2
    assert entry.read_bytes() == good


@pytest.mark.parametrize(
    "value", ["{}", "[]", "3", '{"summary": {}, "scores": {}, "day": null}', "[" * 10**5, "NaN"]
)
def test_an_entry_with_another_content_is_computed_anew(
    cache: Path, folder: Path, value: str
) -> None:
    first = read_numbers(folder)
    (entry,) = cache.iterdir()
    entry.write_bytes(cached._digest(entry.stem, value.encode()) + b"\n" + value.encode())
    assert read_numbers(folder) == first


def test_an_entry_of_another_run_is_not_served(cache: Path, folder: Path, tmp_path: Path) -> None:
    first = read_numbers(folder)
    (entry,) = cache.iterdir()
    other = write_run(tmp_path / "results", "other")
    expected = read_numbers(other)
    (other_entry,) = set(cache.iterdir()) - {entry}
    other_entry.write_bytes(entry.read_bytes())
    assert read_numbers(other) == expected
    assert read_numbers(folder) == first


@pytest.mark.parametrize("obstacle", ["a file", "a link to itself", "a folder for an entry"])
def test_without_a_cache_everything_is_computed(
    cache: Path, reads: Counter, folder: Path, obstacle: str
) -> None:
    first = read_numbers(folder)
    (entry,) = cache.iterdir()
    entry.unlink()
    if obstacle == "a folder for an entry":
        entry.mkdir()
    else:
        cache.rmdir()
        cache.write_text("") if obstacle == "a file" else cache.symlink_to(cache)
    assert [read_numbers(folder) for _ in range(2)] == [first] * 2
    assert reads() == 3


def test_without_a_home_everything_is_computed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(cached, "cache_folder", no_home)
    assert read_numbers(folder).summary.responses == 5


def test_the_cache_keeps_what_was_used_last(
    cache: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cached, "MOST", 8)
    kept = read_numbers(folder)
    (first,) = cache.iterdir()
    for number in range(1, 30):
        cached.save(f"{number:064}", kept)
        # Times that do not hang on the speed of the machine: the entries get older and older ...
        for entry in cache.iterdir():
            times = entry.stat()
            os.utime(entry, (times.st_atime - 9, times.st_mtime - 9))
        assert cached.load(RunNumbers, first.stem) == kept  # ... unless they are used
        assert len(list(cache.iterdir())) <= 8
    assert (cache / f"{29:064}.json").exists()


def test_wrong_records_are_refused_again_and_again(cache: Path, folder: Path) -> None:
    edit(folder, '"right": []', '"right": ["Z"]')
    for _ in range(2):
        with pytest.raises(UserError, match=r"line 1: right is \['Z'\]"):
            read_numbers(folder)
    assert not cache.exists()


@pytest.mark.usefixtures("cache")
def test_an_incomplete_last_line(reads: Counter, folder: Path) -> None:
    path = folder / "responses.jsonl"
    whole = path.read_bytes()
    complete = read_numbers(folder)
    path.write_bytes(whole[:-30])
    torn = [read_numbers(folder) for _ in range(2)]
    assert torn[0] == torn[1]
    assert torn[0].summary.responses == complete.summary.responses - 1
    assert reads() == 2
    path.write_bytes(whole)
    assert read_numbers(folder) == complete


@pytest.mark.usefixtures("cache")
def test_a_run_without_responses(reads: Counter, folder: Path) -> None:
    (folder / "responses.jsonl").unlink()
    assert [read_numbers(folder).summary.responses for _ in range(2)] == [0, 0]
    assert reads() == 1


@pytest.mark.usefixtures("cache")
def test_a_run_that_grows_while_it_is_read(
    reads: Counter, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder / "responses.jsonl"
    whole = path.read_bytes()
    shorter = b"".join(whole.splitlines(keepends=True)[:-1])
    path.write_bytes(shorter)
    named = run_numbers._entry_name

    def name_and_grow(*inputs: Any) -> str:
        before = named(*inputs)
        path.write_bytes(whole)
        return before

    with monkeypatch.context() as patch:
        patch.setattr(run_numbers, "_entry_name", name_and_grow)
        grown = read_numbers(folder)
    assert reads() == 1
    # It was not kept under the name of the bytes before, nor of those after.
    assert read_numbers(folder) == grown
    assert reads() == 1
    path.write_bytes(shorter)
    assert read_numbers(folder).summary.responses == grown.summary.responses - 1


def test_processes_at_once(tmp_path: Path) -> None:
    for number in range(6):
        write_run(tmp_path / "results", f"model-{number}", [Answer(number / 7)] * 40, samples=4)
    command = [sys.executable, "-m", "tclue", "results", "--json"]
    command += ["--results", str(tmp_path / "results")]
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache")}

    def started() -> subprocess.Popen[bytes]:
        return subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, env=environment)

    processes = [started() for _ in range(3)]
    outputs = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 3
    assert len(set(outputs)) == 1
    assert len(json.loads(outputs[0])) == 6
    entries = list((tmp_path / "cache" / "tclue" / "numbers").iterdir())
    assert [entry.suffix for entry in entries] == [".json"] * 6
    assert started().communicate()[0] == outputs[0]


def in_turn(text: str, *others: str) -> Callable[[object], Reply]:
    """A server's replies: these texts in turn, the last one again and again."""
    left = [*others]

    def reply(_: object) -> Reply:
        nonlocal text
        found, text = text, left.pop(0) if left else text
        return Reply(completion(found))

    return reply


@pytest.mark.server
@pytest.mark.usefixtures("cache")
def test_texts_that_nobody_could_read_are_counted_with_their_shape(tmp_path: Path) -> None:
    """The same from the cache. Of a user's own puzzles no shape is known."""
    own, _ = write_puzzles(tmp_path, 2)
    results = tmp_path / "results"
    with serving(in_turn("A. SUSPECT", "", "A. SUSPECT", "Sorry.", "A: Nobody")) as server:
        summary = bench(
            "m", Path("easy-test"), results, limit=5, api_base=server.url, concurrency=1
        )
        (folder,) = results.iterdir()
        bench("m", own, tmp_path / "own", api_base=server.url)
    assert summary.unread == Unread(4, 5, "X. suspect", 2)
    assert read_numbers(folder).summary == summary
    (own_folder,) = (tmp_path / "own").iterdir()
    assert read_numbers(own_folder).summary.unread == Unread(2, 2)
    # Of several responses to a request the first that did not fail counts, as for the scores.
    lines = (folder / "responses.jsonl").read_text().splitlines(keepends=True)
    failed = json.dumps({**json.loads(lines[0]), "outcome": "failed", "grade": None, "text": ""})
    later = json.dumps({**json.loads(lines[1]), "text": "A. SUSPECT"})
    text = "".join([failed, "\n", *lines, later, "\n"])
    (folder / "responses.jsonl").write_text(text, encoding="utf-8")
    assert read_numbers(folder).summary.unread == summary.unread


@pytest.mark.usefixtures("cache")
def test_the_board_says_how_texts_look_that_nobody_could_read(tmp_path: Path) -> None:
    """Real responses of a small model, which repeats the answer format."""
    (folder, *_) = sorted((ROOT / "results").glob("HuggingFaceTB-SmolLM2-135M-Instruct--test--*"))
    shutil.copytree(folder, tmp_path / folder.name)
    first, second = (texts(build(tmp_path)) for _ in range(2))
    assert first == second
    sentence = "no answer was read in the text of 64 of 64 responses (100.0%), 57 of them of this"
    assert f"{sentence} shape: X. room\n" in first["README.md"].decode()
