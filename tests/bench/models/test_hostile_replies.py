"""Replies that are made to harm: each is one failed request, or none, and takes little memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from bench_support import write_puzzles
from hostile_server import JSON, SSE, TEXT, bomb, case, deep, endless, members, serving
from places import ROOT

pytestmark = [pytest.mark.server, pytest.mark.slow]

TOO_LONG = "the reply is longer than 16 MiB"
EVENT_TOO_LONG = "an event of the streamed reply is longer than 16 MiB or 1,000 lines"
TOO_MANY = "the reply has more than 500,000 values"
UNREADABLE = "the reply cannot be read: "
WHOLE = json.dumps(TEXT).encode()


def usage(text: bytes) -> bytes:
    """A reply with these bytes as its usage."""
    return WHOLE[:-1] + b', "usage": ' + text + b"}"


def part(name: str, value: str, **fields: Any) -> bytes:
    """An event of a stream whose delta has one field."""
    choice = {"index": 0, "delta": {name: value}, **fields}
    return b"data: %s\n\n" % json.dumps({"choices": [choice]}).encode()


def usage_part(name: str, value: str) -> bytes:
    """An event of a stream whose usage has one field."""
    return b"data: %s\n\n" % json.dumps({"choices": [], "usage": {name: value}}).encode()


END = part("content", "A. x", finish_reason="stop")

# name -> the reply, and how its error begins; None if it is answered
CASES = {
    "gzip": (case(bomb(), Content_Encoding="gzip"), TOO_LONG),
    "members": (case(members(), Content_Encoding="gzip"), TOO_LONG),
    "deflate": (case(bomb(15), Content_Encoding="deflate"), TOO_LONG),
    "raw-deflate": (case(bomb(-15), Content_Encoding="deflate"), TOO_LONG),
    "gzip-sse": (
        case(bomb(31, b'data: {"'), kind=SSE, Content_Encoding="gzip"),
        EVENT_TOO_LONG,
    ),
    "gzip-400": (case(bomb(), status=400, Content_Encoding="gzip"), '400: {"choices"'),
    "gzip-redirect": (
        case(bomb(), status=307, Content_Encoding="gzip", Location="/gzip-redirect/v1"),
        "307: a redirect",
    ),
    "not-gzip": (case(b"x" * 99, Content_Encoding="gzip"), "the reply cannot be decompressed"),
    "brotli": (case(b"abcd", Content_Encoding="br"), "the reply is compressed by br, which"),
    "endless": (endless(b"a", first=b'{"choices": "'), TOO_LONG),
    "endless-brackets": (endless(b"[],", first=b"["), TOO_LONG),
    "endless-error": (endless(b"a", status=400), "400: aaa"),
    "endless-line-sse": (endless(b"a", first=b"data: ", kind=SSE), EVENT_TOO_LONG),
    "endless-comments-sse": (endless(b": ping\n", kind=SSE), EVENT_TOO_LONG),
    "deep": (case(deep()), UNREADABLE + "[[["),
    "deep-sse": (case(b"data: " + deep() + b"\n\n", kind=SSE), "the reply is empty"),
    "deep-error": (case(deep('{"error":', "}", "1"), status=400), '400: {"error":{"error"'),
    "deep-usage": (case(usage(deep('{"a":', "}", "1"))), UNREADABLE + '{"choices"'),
    "deepish-usage": (case(usage(deep('{"a":', "}", "1", 500))), None),
    "long-usage": (case(usage(b'{"a": "%s"}' % (b"x" * 5_000_000))), None),
    "long-number": (case(usage(b'{"total_tokens": 1%s}' % (b"0" * 5000))), UNREADABLE),
    "large-number": (case(usage(b'{"total_tokens": 1%s}' % (b"0" * 4000))), None),
    "values": (case(b"[", b'{"":0},' * 2_000_000, b"0]"), TOO_MANY),
    "usage-values": (case(usage(b'{"a": [%s0]}' % (b"[]," * 5_000_000))), TOO_MANY),
    "values-sse": (case(b"data: [%s0]\n\n" % (b'{"":0},' * 2_000_000), kind=SSE), TOO_MANY),
    "refusals-sse": (
        case(*[part("refusal", "x" * 500_000)] * 40, kind=SSE),
        "the text is longer than 16,777,216 characters",
    ),
    "usages-sse": (
        case(*(usage_part(f"k{i}", "x" * 500_000) for i in range(400)), END, kind=SSE),
        None,
    ),
    "same-keys": (case(usage(b'{"prompt_tokens": 1, "prompt_tokens": 2}')), None),
    "zeros": (case(json.dumps({**TEXT, "model": "a\0\ud800\x1b[2J"}).encode()), None),
    "long-name": (case(json.dumps({**TEXT, "model": "a" * 5_000_000}).encode()), None),
    "headers": (
        (200, {f"x-{i}": "a" * 8000 for i in range(9999)}, lambda: iter([WHOLE])),
        "Too many headers",
    ),
    "non-ascii-header": ((200, {"Content-Type": JSON, "x": "é\xff"}, lambda: iter([WHOLE])), None),
}

CHILD = """
import json, os, sys
from pathlib import Path
from tclue.bench.models.hosted import load_litellm
from tclue.bench.runs.run import BenchOptions, StopError, run_models
load_litellm()
puzzles, folder, url = sys.argv[1:]
def peak_mb():
    lines = open("/proc/self/status").read().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) // 1000
for line in sys.stdin:
    name, whose = line.split()
    if not os.fork():
        before, base = peak_mb(), f"{url}/{name}/v1"
        options = {"puzzles": puzzles, "results": Path(folder, name + whose)}
        options["stream"] = name.endswith("-sse")
        if whose == "own":
            options["api_base"], model = base, "self/m"
        else:
            os.environ |= {"OPENAI_BASE_URL": base, "OPENAI_API_KEY": "sk-0123456789abcdef"}
            model = "openai/gpt-4.1-mini"
        try:
            run_models([model], BenchOptions(**options))
        except StopError:
            pass
        (file,) = options["results"].glob("*/responses.jsonl")
        (record,) = file.read_text().splitlines()
        print(json.dumps([name, whose, peak_mb() - before, json.loads(record)]), flush=True)
        os._exit(0)
    os.wait()
"""


def wrong(name: str, megabytes: int, record: dict[str, Any]) -> bool:
    """Whether the one request has another record than expected, or took much memory."""
    error, text = CASES[name][1], json.dumps(record)
    if error is None:
        as_expected = (record["outcome"], record["text"]) == ("unparsed", "A. x")
    else:
        as_expected = record["outcome"] == "failed" and record["error"].startswith(error)
    return not as_expected or megabytes > 300 or len(text) > 100_000


def test_hostile_replies(tmp_path: Path) -> None:
    puzzles, _ = write_puzzles(tmp_path, 1)
    asked = "".join(f"{name} {whose}\n" for name in CASES for whose in ("own", "hosted"))
    with serving({name: reply for name, (reply, _) in CASES.items()}) as server:
        done = subprocess.run(
            [sys.executable, "-c", CHILD, str(puzzles), str(tmp_path), server.url],
            input=asked,
            capture_output=True,
            text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            check=False,
        )
    assert "Traceback" not in done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]
    assert len(lines) == 2 * len(CASES)
    found = [
        (name, whose, megabytes, str(record)[:2000])
        for name, whose, megabytes, record in lines
        if wrong(name, megabytes, record)
    ]
    assert not found
