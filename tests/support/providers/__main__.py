"""The server as a separate process, for measurements that must not share its processor time.

    python -m tests.support.providers --puzzles easy-test --latency 0.05

It prints one line of JSON with its address; `GET /ledger` returns what it served. It ends when its
standard input ends, so that it does not outlive its parent process.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys

from tclue.puzzle.splits import load_set

from .client import bases
from .faults import FAULTS
from .model import SHAPES, Model
from .server import Server
from .settings import Settings


def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.providers", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0: any free port")
    parser.add_argument(
        "--puzzles", default="easy-test", help="puzzle set whose answers the model knows"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of faults and answers")
    parser.add_argument("--wrong", type=float, default=0.3, help="share of wrong answers")
    parser.add_argument(
        "--odd", type=float, default=0.0, help="share of truncated, refused or unparsed replies"
    )
    parser.add_argument("--shape", choices=list(SHAPES), help="one shape for all replies")
    parser.add_argument("--faults", type=float, default=0.0, help="share of requests with a fault")
    parser.add_argument("--kinds", nargs="+", choices=FAULTS, default=FAULTS)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before a reply")
    parser.add_argument(
        "--pause", type=float, default=0.0, help="seconds between a stream's writes"
    )
    parser.add_argument("--hang", type=float, default=600.0, help="seconds that a hang lasts")
    parser.add_argument("--retry-after", default="1")
    given = parser.parse_args()
    puzzles = load_set(given.puzzles).puzzles
    settings = Settings(
        model=Model(puzzles, given.seed, given.wrong, given.odd, given.shape),
        faults=given.faults,
        kinds=given.kinds,
        seed=given.seed,
        latency_s=given.latency,
        pause_s=given.pause,
        hang_s=given.hang,
        retry_after=given.retry_after,
    )
    asyncio.run(_serve(Server(settings), given.port))


async def _serve(server: Server, port: int) -> None:
    runner = await server.start(port)
    print(json.dumps({"url": server.url, "bases": bases(server)}), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    main()
