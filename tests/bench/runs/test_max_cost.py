"""`--max-cost` is a promise: what servers bill, in the ways in which bills grow, and with kills."""

import json
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bench_support import (
    Answer,
    Forks,
    Server,
    Silent,
    bench,
    completion,
    prompt_of,
    serving,
    the_run,
    write_puzzles,
)
from providers import BASE_VARIABLES, KEY_VARIABLES

from tclue.bench.records import spent_usd
from tclue.bench.runs.run import BenchOptions, StopError, run_models
from tclue.puzzle.puzzle import Puzzle

pytestmark = pytest.mark.server

PRICE_IN, PRICE_OUT, MAX_TOKENS = 200.0, 1000.0, 200
PRICED: dict[str, Any] = {
    "price_in": PRICE_IN,
    "price_out": PRICE_OUT,
    "max_tokens": MAX_TOKENS,
}


def at_most_usd(body: dict[str, Any]) -> float:
    """What is set aside for a request while no reply has cost more."""
    return ((len(prompt_of(body)) // 2 + 64) * PRICE_IN + MAX_TOKENS * PRICE_OUT) / 1e6


class Billed:
    """A server's bill: every request that arrived counts, whether its reply was read or not."""

    def __init__(self, pause_s: float = 0.0) -> None:
        self.usd, self.requests, self.pause_s = 0.0, 0, pause_s
        # what replies that nobody could read cost above what was set aside for them
        self.unseen_usd = 0.0
        # what each reply cost as a multiple of what was set aside for it at first
        self.ratios: list[float] = []

    def reply(
        self, body: dict[str, Any], output: float = 1.0, hidden: int = 0, **answer: Any
    ) -> Answer:
        """A reply of so many times the output limit, with so many prompt tokens of the host's."""
        tokens, written = len(prompt_of(body)) // 4 + hidden, int(MAX_TOKENS * output)
        self.requests += 1
        usd = (tokens * PRICE_IN + written * PRICE_OUT) / 1e6
        self.usd += usd
        self.ratios.append(usd / at_most_usd(body))
        if answer.get("lost"):
            self.unseen_usd += max(0.0, usd - at_most_usd(body))
        usage = {"prompt_tokens": tokens, "completion_tokens": written}
        usage["total_tokens"] = tokens + written
        return Answer(completion("A. x") | {"usage": usage}, pause_s=self.pause_s, **answer)


def counted(results: Path) -> float:
    """What the records of the only run count as spent."""
    return sum(map(spent_usd, the_run(results).responses))


def over(kind: str, billed: Billed) -> Callable[[dict[str, Any]], Answer]:
    """A server whose bills are higher than a limit and a price list say."""
    rng = random.Random(1)

    def behave(body: dict[str, Any]) -> Answer:
        match kind:
            case "honest":
                return billed.reply(body, rng.random())
            case "over-generates":
                return billed.reply(body, 7.0)
            case "hidden prompt":
                return billed.reply(body, 0.5, hidden=6000)
            case "breaks off":  # the connection is lost within the body: it may have been billed
                return billed.reply(body, rng.random(), lost=10)
            case _:
                return billed.reply(body, 3.0, lost=10 * (billed.requests % 2))

    return behave


@pytest.mark.parametrize(
    "kind", ["honest", "over-generates", "hidden prompt", "breaks off", "over and off"]
)
def test_the_bill_stays_below_the_limit(tmp_path: Path, kind: str) -> None:
    path, _ = write_puzzles(tmp_path, 20)
    billed = Billed(pause_s=0.02)
    options = BenchOptions(
        puzzles=str(path),
        results=tmp_path / "r",
        samples=8,
        concurrency=16,
        max_cost=12.0,
        **PRICED,
    )
    with serving(over(kind, billed)) as server, pytest.raises(StopError) as stopped:
        run_models(["m"], _at(server, options), Silent())
    if "in a row" not in str(stopped.value):  # twenty replies that broke off come to nothing
        assert "--max-cost 12 is not enough" in str(stopped.value)
        assert billed.usd > 4.0
    seen_usd = billed.usd - billed.unseen_usd
    # Requests may be in flight when a reply first shows a higher ratio, as a shorter prompt has.
    # Which reply is the first depends on the load of the machine.
    highest = max(billed.ratios)
    assert seen_usd <= 12.0 * (highest / min(billed.ratios) if min(billed.ratios) > 1 else 1.0)
    assert counted(tmp_path / "r") >= seen_usd - 1e-9
    assert not list(tmp_path.glob("r/*/in_flight.jsonl"))


def _at(server: Server, options: BenchOptions) -> BenchOptions:
    return BenchOptions(**{**vars(options), "api_base": server.url})


def test_a_route_dearer_than_the_price_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = write_puzzles(tmp_path, 20)
    billed = [0.0]

    def behave(body: dict[str, Any]) -> Answer:
        # By the list, 0.10 and 0.32 dollars per million, it is about 0.0002.
        billed[0] += 0.001
        usage = {**completion("")["usage"], "cost": 0.001, "is_byok": False}
        return Answer(completion("A. x") | {"usage": usage}, pause_s=0.02)

    with serving(behave) as server:
        monkeypatch.setenv(BASE_VARIABLES["openrouter"], server.url)
        monkeypatch.setenv(KEY_VARIABLES["openrouter"], "sk-loopback")
        options = BenchOptions(
            puzzles=str(path), results=tmp_path / "r", samples=4, max_tokens=200, max_cost=0.025
        )
        with pytest.raises(StopError, match=r"--max-cost 0\.025 is not enough"):
            run_models(["openrouter/meta-llama/llama-3.3-70b-instruct"], options, Silent())
    assert 0.01 < billed[0] <= 0.025 + 1e-9
    assert counted(tmp_path / "r") == pytest.approx(billed[0])


def test_what_may_be_billed_is_on_the_disk_when_a_request_arrives(tmp_path: Path) -> None:
    path, puzzles = write_puzzles(tmp_path, 6)
    by_prompt = {puzzle.prompt: puzzle for puzzle in puzzles}
    kept, billed, tries = tmp_path / "kept.jsonl", Billed(), [0]
    wrong: list[Any] = []

    def set_aside(puzzle: Puzzle) -> list[dict[str, Any]]:
        (file,) = tmp_path.glob("r/*/in_flight.jsonl")
        shutil.copy(file, kept)
        lines = [json.loads(line) for line in file.read_text().splitlines()[1:]]
        return [line for line in lines if line["puzzle"] == puzzle.id]

    def behave(body: dict[str, Any]) -> Answer:
        puzzle = by_prompt[prompt_of(body)]
        *earlier, line = set_aside(puzzle)
        if puzzle == puzzles[0] and not tries[0]:
            tries[0] += 1
            return Answer({"error": {"message": "slow down"}}, 429, {"Retry-After": "0.01"})
        # A try that was not billed is settled.
        expected = [line["at_most_usd"], None] if puzzle == puzzles[0] else []
        wrong.extend(each for each in earlier if each["at_most_usd"] not in expected)
        if line["outcome"] != "failed" or line["at_most_usd"] != pytest.approx(at_most_usd(body)):
            wrong.append(line)
        return billed.reply(body)

    with serving(behave) as server:
        options = {"api_base": server.url, "concurrency": 1, **PRICED}
        bench("m", path, tmp_path / "r", **options)
        assert (len(server.bodies), wrong) == (7, [])
        (folder,) = tmp_path.glob("r/*")
        assert not (folder / "in_flight.jsonl").exists()
        spent = counted(tmp_path / "r")
        # As if killed with the last request in flight, and its record lost.
        lines = (folder / "responses.jsonl").read_bytes().splitlines(keepends=True)
        (folder / "responses.jsonl").write_bytes(b"".join(lines[:-1]))
        for _ in range(2):
            # The second time as if killed after it was counted, and before the file was removed.
            shutil.copy(kept, folder / "in_flight.jsonl")
            bench("m", path, tmp_path / "r", **options)
        assert len(server.bodies) == 8
    run = the_run(tmp_path / "r")
    lost = [response for response in run.responses if not response.scored]
    assert [response.puzzle for response in lost] == [puzzles[-1].id]
    assert lost[0].error == "the process ended before the reply came; it may have been billed"
    assert lost[0].at_most_usd
    assert counted(tmp_path / "r") == pytest.approx(spent + lost[0].at_most_usd)


@pytest.mark.parametrize("text", [b"", b"0", b"0\n", b'0\n{"puzzle": "easy'])
def test_a_file_that_was_torn_before_anything_was_sent(tmp_path: Path, text: bytes) -> None:
    path, _ = write_puzzles(tmp_path, 1)
    bench("random", path, tmp_path / "r")
    (folder,) = tmp_path.glob("r/*")
    (folder / "in_flight.jsonl").write_bytes(text)
    bench("random", path, tmp_path / "r")
    assert len(the_run(tmp_path / "r").responses) == 1
    assert not (folder / "in_flight.jsonl").exists()


def test_what_costs_nothing_is_not_set_aside(tmp_path: Path) -> None:
    path, _ = write_puzzles(tmp_path, 2)

    def behave(_: dict[str, Any]) -> Answer:
        assert not list(tmp_path.glob("r/*/in_flight.jsonl"))
        return Answer(completion("A. x"))

    with serving(behave) as server:
        bench("m", path, tmp_path / "r", api_base=server.url, price_in=0.0, price_out=0.0)
        assert len(server.bodies) == 2


@pytest.mark.slow
def test_ten_kills_do_not_raise_the_bill_above_the_limit(tmp_path: Path) -> None:
    path, _ = write_puzzles(tmp_path, 20)
    rng, billed, limit = random.Random(3), Billed(pause_s=0.15), 54.0

    def behave(body: dict[str, Any]) -> Answer:
        return billed.reply(body, rng.random())

    with serving(behave) as server:
        options: dict[str, Any] = {
            "api_base": server.url,
            "samples": 16,  # more than a busy machine lets through before the last kill
            "concurrency": 4,
            "max_cost": limit,
            **PRICED,
        }
        with Forks("m", path, tmp_path / "r", **options) as forks:
            kills = 0
            for _ in range(10):
                pid, wanted = forks.start(), billed.requests + rng.randint(1, 9)
                end = time.monotonic() + 60
                while billed.requests < wanted and time.monotonic() < end:
                    time.sleep(0.001)
                time.sleep(rng.random() * 0.2)
                os.kill(pid, signal.SIGKILL)
                kills += forks.wait() == -signal.SIGKILL
                time.sleep(0.2)
            forks.start()
            assert forks.wait() == 2
    spent = counted(tmp_path / "r")
    lost = [response for response in the_run(tmp_path / "r").responses if not response.scored]
    print(f"{kills} kills: {billed.usd:.3f} billed, {spent:.3f} counted, limit {limit}")
    assert kills == 10
    assert len(lost) >= 10
    assert billed.usd <= spent <= limit
