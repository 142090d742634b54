"""The published files: fetched over HTTP from a server on loopback, checked, and used by name.

The sums of the author's files are data, so most tests put those of small files in their place; the
last one serves the author's own file, where this machine has it.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from commands import call, refused

from tclue.bench.records import read_run
from tclue.errors import UserError
from tclue.puzzle import controls, splits
from tclue.puzzle.files import read_puzzles
from tclue.puzzle.generate import generate
from tclue.puzzle.puzzle import published_list
from tclue.puzzle.splits import fetch_published

NAMES = ("published-val", "published-test")


@dataclass(frozen=True)
class Sent:
    """What the server sends for a path."""

    body: bytes = b""
    status: int = 200
    # where the file is instead
    location: str | None = None
    # bytes that are announced and never sent
    lost: int = 0


class Server(ThreadingHTTPServer):
    """Files on loopback, and the paths that were asked for."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, Sent] = {}
        self.asked: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_port}/puzzles"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that has gone is no error here."""


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: object) -> None: ...

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        sent = self.server.files.get(self.path, Sent(status=404))
        self.send_response(sent.status)
        if sent.location:
            self.send_header("Location", sent.location)
        self.send_header("Content-Length", str(len(sent.body) + sent.lost))
        self.end_headers()
        self.wfile.write(sent.body)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        threading.Thread(target=lambda: running.serve_forever(0.02), daemon=True).start()
        yield running
        running.shutdown()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the published files, in a cache of this test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("TCLUE_PUBLISHED_SOURCE", raising=False)
    return tmp_path / "cache" / "tclue" / "published"


@pytest.fixture
def bodies(server: Server, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Small files in the published shape that stand in for the author's: name -> content."""
    made = {}
    for seed, name in enumerate(splits.PUBLISHED):
        body = published_list(generate(2 * seed + n, "easy") for n in range(2)).encode()
        server.files[f"/puzzles/{name.removeprefix('published-')}.json"] = Sent(body)
        monkeypatch.setitem(splits.PUBLISHED, name, hashlib.sha256(body).hexdigest())
        made[name] = body
    return made


def files_in(cache: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in cache.iterdir()} if cache.exists() else {}


def test_files_are_fetched_once(server: Server, bodies: dict[str, bytes], cache: Path) -> None:
    first = fetch_published(f"{server.url}/")
    assert first == dict.fromkeys(NAMES, True)
    assert files_in(cache) == {f"{name}.json": body for name, body in bodies.items()}
    assert not any(fetch_published(server.url).values())
    assert server.asked == ["/puzzles/val.json", "/puzzles/test.json"]
    for name, body in bodies.items():
        loaded = splits.load_set(name)
        assert (loaded.name, len(loaded.puzzles)) == (name, 2)
        assert loaded.sha256 == hashlib.sha256(body).hexdigest()


def test_every_command_takes_them_by_name(
    server: Server,
    bodies: dict[str, bytes],
    cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TCLUE_PUBLISHED_SOURCE", server.url)
    done = call(tmp_path, "puzzles", "fetch", "published")
    assert done.returncode == 0
    assert [line.split(",")[0] for line in done.stdout.splitlines()] == [
        "published-val: fetched",
        "published-test: fetched",
    ]
    again = call(tmp_path, "puzzles", "fetch", "published", "--source", "http://127.0.0.1:9/none")
    assert again.stdout.count("already there") == 2

    listed = json.loads(call(tmp_path, "puzzles", "list", "--json").stdout)
    sums = {entry["name"]: (entry["puzzles"], entry["sha256"]) for entry in listed}
    assert sums["published-val"] == (2, splits.PUBLISHED["published-val"])
    assert sums["test"] == (64, splits.load_set("test").sha256)
    assert sums["train"] == (None, None)
    assert "published-val" in call(tmp_path, "puzzles", "list").stdout

    assert call(tmp_path, "check", "published-val").returncode == 0
    puzzle, other = splits.load_set("published-test").puzzles
    shown = call(tmp_path, "show", "published-test", "--puzzle", "2", "--json")
    assert json.loads(shown.stdout)["prompt"] == other.prompt
    answers = "\n".join(f"{letter}. {answer}" for letter, answer in puzzle.solution.items())
    (tmp_path / "responses.jsonl").write_text(json.dumps({"id": puzzle.id, "response": answers}))
    graded = call(tmp_path, "grade", "published-test", "responses.jsonl", "--json")
    first, last = map(json.loads, graded.stdout.splitlines())
    assert first["accuracy"] == last["summary"]["accuracy"]["value"] == 1.0
    assert last["summary"]["puzzles_without_response"] == 1

    options = ("--models", "solver", "--puzzles", "published-val", "--grader", "published")
    assert call(tmp_path, "bench", *options).returncode == 0
    (folder,) = (tmp_path / "results").iterdir()
    config = read_run(folder).config
    assert (config.puzzle_set, config.grader) == ("published-val", "published")
    assert config.puzzle_sha256 == splits.PUBLISHED["published-val"]


@pytest.mark.parametrize(
    "command",
    [
        ("bench", "--models", "random", "--puzzles", "published-val"),
        ("check", "published-val"),
        ("show", "published-val"),
        ("grade", "published-val", "responses.jsonl"),
    ],
    ids=lambda command: command[0],
)
def test_before_they_are_fetched_a_line_says_how(
    command: tuple[str, ...], cache: Path, tmp_path: Path
) -> None:
    message = refused(call(tmp_path, *command))
    assert message.startswith("published-val: not fetched yet: run `tclue puzzles fetch published`")
    assert "not fetched yet" in call(tmp_path, "puzzles", "list", "--json").stdout


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (Sent(status=404), "the server answered 404 Not Found: expected the file; --source"),
        (Sent(b"busy", 503), "the server answered 503 Service Unavailable"),
        (Sent(b"<html>log in</html>"), "not the published file: its SHA-256 is "),
        (Sent(b"[", lost=1000), "cannot be fetched: peer closed connection without sending"),
        (Sent(status=302, location="/puzzles/test.json"), "cannot be fetched: Exceeded maximum"),
    ],
    ids=["404", "503", "another file", "cut short", "redirected for ever"],
)
def test_what_cannot_be_had_leaves_nothing(
    server: Server,
    bodies: dict[str, bytes],
    cache: Path,
    tmp_path: Path,
    sent: Sent,
    message: str,
) -> None:
    good = server.files["/puzzles/test.json"]
    server.files["/puzzles/test.json"] = sent
    done = call(tmp_path, "puzzles", "fetch", "published", "--source", server.url)
    assert refused(done).startswith(f"{server.url}/test.json: {message}")
    assert files_in(cache) == {"published-val.json": bodies["published-val"]}

    server.files["/puzzles/test.json"] = good
    assert list(fetch_published(server.url).values()) == [False, True]


def test_a_redirect_is_followed(server: Server, bodies: dict[str, bytes], cache: Path) -> None:
    server.files["/old/test.json"] = Sent(status=302, location="/puzzles/test.json")
    server.files["/old/val.json"] = Sent(status=301, location="/puzzles/val.json")
    assert all(fetch_published(server.url.replace("puzzles", "old")).values())


def test_a_file_without_end_is_given_up(
    server: Server, bodies: dict[str, bytes], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(splits, "MAX_BYTES", 1000)
    with pytest.raises(UserError, match=r"val\.json: more than 1000 bytes"):
        fetch_published(server.url)
    assert not files_in(cache)


def test_no_network_is_one_line(cache: Path, tmp_path: Path) -> None:
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        message = refused(call(tmp_path, "puzzles", "fetch", "published", "--source", url))
    assert message.startswith(f"{url}/val.json: cannot be fetched: ")
    assert not cache.exists()


@pytest.mark.parametrize(
    "source",
    ["here/puzzles", "ftp://host/puzzles", "http://", "http://me:secret@host/", "http://h?q"],
)
def test_a_source_that_is_no_plain_url_is_refused(source: str, cache: Path, tmp_path: Path) -> None:
    message = refused(call(tmp_path, "puzzles", "fetch", "published", "--source", source))
    assert message.startswith("--source: expected a URL such as https://raw.githubusercontent.com/")
    assert "secret" not in message


def test_a_full_disk_leaves_nothing(server: Server, bodies: dict[str, bytes], cache: Path) -> None:
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, old[1]))
    try:
        with pytest.raises(UserError, match=r"published-val\.json: cannot be written: "):
            fetch_published(server.url)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert not files_in(cache)
    assert all(fetch_published(server.url).values())


def test_a_cache_that_is_no_folder_is_one_line(
    server: Server, bodies: dict[str, bytes], cache: Path, tmp_path: Path
) -> None:
    cache.parent.mkdir(parents=True)
    cache.write_text("")
    message = refused(call(tmp_path, "puzzles", "fetch", "published", "--source", server.url))
    assert message.startswith(f"{cache / 'published-val.json'}: cannot be written: ")


def test_a_file_that_was_changed_is_refused_and_fetched_anew(
    server: Server, bodies: dict[str, bytes], cache: Path
) -> None:
    fetch_published(server.url)
    path = cache / "published-val.json"
    path.write_bytes(bodies["published-val"] + b"\n")
    with pytest.raises(
        UserError, match=r"not the published file: its SHA-256 is .* fetches it again"
    ):
        splits.load_set("published-val")
    assert list(fetch_published(server.url).values()) == [True, False]
    assert path.read_bytes() == bodies["published-val"]


@pytest.mark.slow
@pytest.mark.parametrize("name", splits.PUBLISHED)
def test_a_pinned_file_is_read_whole(name: str) -> None:
    """Wherever it is at hand: in the folder of the published puzzles, or fetched."""
    given = Path(os.environ.get("TCLUE_PUBLISHED", "")) / f"{name}.json"
    path = next((each for each in (given, splits.published_path(name)) if each.is_file()), None)
    if path is None:
        pytest.skip(f"{name} is not at hand: neither in TCLUE_PUBLISHED nor fetched")
    assert hashlib.sha256(path.read_bytes()).hexdigest() == splits.PUBLISHED[name]
    puzzles = read_puzzles(path)
    assert len(puzzles) == len(json.loads(path.read_text(encoding="utf-8")))
    assert all(puzzle.solution for puzzle in puzzles)
    assert {puzzle.id: found for puzzle in puzzles if (found := controls.failed(puzzle))} == {}


@pytest.mark.skipif(
    "TCLUE_PUBLISHED" not in os.environ,
    reason="TCLUE_PUBLISHED is not set: it names the folder of the published puzzles",
)
def test_the_author_s_own_file_is_taken(
    server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = (Path(os.environ["TCLUE_PUBLISHED"]) / "published-val.json").read_bytes()
    server.files["/puzzles/val.json"] = Sent(body)
    monkeypatch.delitem(splits.PUBLISHED, "published-test")
    fetch_published(server.url)
    assert len(splits.load_set("published-val").puzzles) == 64
