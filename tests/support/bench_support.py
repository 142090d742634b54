"""Shared by the bench tests: puzzles, a real server on loopback, a tiny real checkpoint."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from places import ROOT

from tclue.bench.records import Run, read_run
from tclue.bench.runs.executor import NO_ANSWER
from tclue.bench.runs.run import BenchOptions, StopError, run_models
from tclue.bench.runs.run_progress import RunProgress
from tclue.bench.stats.summary import Summary
from tclue.puzzle.generate import generate
from tclue.puzzle.puzzle import Puzzle, house_line

KEY = "sk-planted-0123456789abcdef"


class Silent(RunProgress):
    """The progress of a run, not shown."""

    def __init__(self) -> None: ...

    def start(self, variant: str, done: int, total: int, spent_usd: float | None) -> None: ...

    def advance(self, response: object) -> None: ...

    def pace(self, limit: int) -> None: ...

    def wait(self, seconds: float, why: str) -> None: ...

    def stop(self) -> None: ...


@cache
def _easy(seed: int) -> Puzzle:
    return generate(seed, "easy")


def write_puzzles(folder: Path, count: int) -> tuple[Path, list[Puzzle]]:
    """A file of small puzzles."""
    puzzles = [_easy(seed) for seed in range(count)]
    path = folder / f"easy{count}.jsonl"
    path.write_text("".join(map(house_line, puzzles)), encoding="utf-8")
    return path, puzzles


def bench(model: str, puzzles: Path, results: Path, **options: Any) -> Summary:
    """Run one model in this process. That no request was answered is no error here."""
    chosen = BenchOptions(puzzles=str(puzzles), results=results, **options)
    try:
        (summary,) = run_models([model], chosen, Silent())
    except StopError as stopped:
        if NO_ANSWER not in str(stopped):
            raise
        (summary,) = stopped.summaries
    return summary


def the_run(results: Path) -> Run:
    """The only run in a folder."""
    (folder,) = results.iterdir()
    return read_run(folder)


@dataclass(frozen=True)
class Answer:
    """A reply of the server: a status, a body and headers, after a pause."""

    body: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    pause_s: float = 0.0
    # bytes that are announced but not sent
    lost: int = 0
    # seconds between the bytes
    drip_s: float = 0.0


def completion(text: str | None, finish: str = "stop", **message: Any) -> dict[str, Any]:
    """A reply in OpenAI's format."""
    return {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "served-model",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text, **message},
                "finish_reason": finish,
            }
        ],
        "usage": {
            "prompt_tokens": 1000,
            "completion_tokens": 200,
            "total_tokens": 1200,
            "prompt_tokens_details": {"cached_tokens": 400},
            "completion_tokens_details": {"reasoning_tokens": 70},
        },
    }


def stream(*deltas: dict[str, Any], finish: str | None = "stop", usage: bool = True) -> Answer:
    """A reply in OpenAI's streamed format. With `finish=None` it is cut off."""
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "served-model"}
    chunks = [
        {**chunk, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
        for delta in deltas
    ]
    if finish:
        chunks.append({**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    if finish and usage:
        chunks.append({**chunk, "choices": [], "usage": completion("")["usage"]})
    lines = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
    lines += ["data: [DONE]\n\n"] * bool(finish)
    return Answer("".join(lines).encode(), headers={"Content-Type": "text/event-stream"})


class Server(ThreadingHTTPServer):
    """An OpenAI-compatible server on loopback that counts what it served."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, behave: Callable[[dict[str, Any]], Answer]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behave = behave
        self.bodies: list[dict[str, Any]] = []
        self.keys: set[str] = set()
        self.headers: list[dict[str, str]] = []
        self.lock = threading.Lock()
        self.url = f"http://127.0.0.1:{self.server_port}/v1"

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore the errors of clients that have disconnected."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *_: object) -> None: ...

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.bodies.append(body)
            self.server.keys.add(self.headers.get("Authorization", ""))
            self.server.headers.append({k.lower(): v for k, v in self.headers.items()})
        answer = self.server.behave(body)
        time.sleep(answer.pause_s)
        raw = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
        self.send_response(answer.status)
        for name, value in ({"Content-Type": "application/json"} | answer.headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(raw) + answer.lost))
        self.end_headers()
        for part in [raw[i : i + 1] for i in range(len(raw))] if answer.drip_s else [raw]:
            self.wfile.write(part)
            time.sleep(answer.drip_s)
        self.close_connection = bool(answer.lost)


@contextmanager
def serving(behave: Callable[[dict[str, Any]], Answer]) -> Iterator[Server]:
    """A running server."""
    server = Server(behave)
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.02), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def in_turn(*answers: Answer) -> Callable[[dict[str, Any]], Answer]:
    """A server that gives these replies in turn, and then good ones."""
    left = list(answers)
    return lambda _: left.pop(0) if left else Answer(completion("A. x"))


def gold(puzzles: list[Puzzle]) -> Callable[[str], str]:
    """prompt -> its right answers in the answer format."""
    texts = {p.prompt: "\n".join(f"{k}. {v}" for k, v in p.solution.items()) for p in puzzles}
    return texts.__getitem__


def prompt_of(body: dict[str, Any]) -> str:
    """The prompt of a request."""
    (message,) = body["messages"]
    prompt: str = message["content"]
    return prompt


DRIVER = """
import sys
from pathlib import Path
from tclue.bench.runs.run import BenchOptions, run_models
from tclue.errors import UserError
model, puzzles, results, options = sys.argv[1], sys.argv[2], sys.argv[3], eval(sys.argv[4])
try:
    run_models([model], BenchOptions(puzzles=puzzles, results=Path(results), **options))
except UserError as error:
    print(error, file=sys.stderr)
    raise SystemExit(2)
"""


# One process imports litellm, which takes seconds, and forks a child for each line that it reads.
FORKING = """
import os, sys
from tclue.bench.models.hosted import load_litellm
load_litellm()
for _ in sys.stdin:
    if not (child := os.fork()):
        break
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
else:
    raise SystemExit
"""


def spawn(
    model: str, puzzles: Path, results: Path, code: str = DRIVER, **options: Any
) -> subprocess.Popen[str]:
    """The same as `bench`, in a separate process."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OPENAI_API_KEY": KEY}
    command = [sys.executable, "-c", code, model, str(puzzles), str(results), repr(options)]
    return subprocess.Popen(
        command,
        env=environment,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


class Forks:
    """Processes that do the same as `bench`, one after another, with a fast start."""

    def __init__(self, model: str, puzzles: Path, results: Path, **options: Any) -> None:
        self._parent = spawn(model, puzzles, results, FORKING + DRIVER, **options)

    def start(self) -> int:
        """Start a process. Returns its id."""
        assert self._parent.stdin
        self._parent.stdin.write("\n")
        self._parent.stdin.flush()
        return self._read()

    def wait(self) -> int:
        """The exit code of the process, negative for a signal."""
        return self._read()

    def _read(self) -> int:
        assert self._parent.stdout
        return int(self._parent.stdout.readline())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._parent.communicate()
