"""Hosted models over a real loopback server: what each reply and each failure becomes."""

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from bench_support import (
    KEY,
    Answer,
    Forks,
    Server,
    Silent,
    bench,
    completion,
    gold,
    prompt_of,
    serving,
    spawn,
    stream,
    the_run,
    write_puzzles,
)

from tclue.bench.models.hosted import HostedModel, load_litellm
from tclue.bench.records import Response
from tclue.bench.runs import executor
from tclue.bench.runs.run import BenchOptions, StopError, run_models
from tclue.bench.runs.throttle import Throttle
from tclue.bench.stats.summary import Summary
from tclue.errors import UserError
from tclue.secrets import error_line


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """No real key is read by a test."""
    for name in [name for name in os.environ if name.endswith("_API_KEY")]:
        monkeypatch.delenv(name)


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that a retry would have waited; it waits none."""
    pauses: list[float] = []

    async def nap(self: Throttle, seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(Throttle, "pause", nap)
    return pauses


def bench_one(tmp_path: Path, answer: Answer, **options: Any) -> tuple[Summary, Response, Server]:
    """What becomes of one request that is answered so."""
    tmp_path.mkdir(exist_ok=True)
    puzzles, _ = write_puzzles(tmp_path, 1)
    with serving(lambda _: answer) as server:
        summary = bench("self/hosted", puzzles, tmp_path / "r", api_base=server.url, **options)
    (response,) = the_run(tmp_path / "r").responses
    return summary, response, server


def text(tmp_path: Path) -> str:
    """The right answer to the one puzzle."""
    _, (puzzle,) = write_puzzles(tmp_path, 1)
    return gold([puzzle])(puzzle.prompt)


@pytest.mark.server
def test_an_answer_with_all_that_is_known_of_it(tmp_path: Path) -> None:
    answer = Answer(completion(text(tmp_path), reasoning_content="hm"))
    summary, response, server = bench_one(tmp_path, answer, price_in=3.0, price_out=15.0)
    assert (response.outcome, response.finish_reason) == ("answered", "stop")
    assert response.grade is not None
    assert response.grade.solved
    assert response.reasoning == "hm"
    assert response.model_id == "served-model"
    usage = response.usage
    assert (usage.prompt_tokens, usage.completion_tokens) == (1000, 200)
    assert (usage.cached_tokens, usage.reasoning_tokens) == (400, 70)
    assert usage.raw["prompt_tokens_details"] == {"cached_tokens": 400}
    assert response.cost_parts == {"prompt_usd": 0.003, "completion_usd": 0.003}
    assert summary.cost_usd == response.cost_usd == 0.006
    # The provider's own defaults; streamed, because it may think.
    assert set(server.bodies[0]) == {"model", "messages", "stream", "stream_options"}
    assert server.bodies[0]["model"] == "self/hosted"
    assert server.keys == {"Bearer none"}


@pytest.mark.server
def test_what_is_given_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TCLUE_API_KEY", KEY)
    puzzles, _ = write_puzzles(tmp_path, 1)
    given = {"temperature": 0.5, "max_tokens": 99, "seed": 7}
    with serving(lambda _: Answer(completion("A. x"))) as server:
        bench("m", puzzles, tmp_path / "r", api_base=server.url, samples=2, **given)
    assert [body["temperature"] for body in server.bodies] == [0.5, 0.5]
    assert [body["max_tokens"] for body in server.bodies] == [99, 99]
    assert sorted(body["seed"] for body in server.bodies) == [7, 8]
    assert server.keys == {f"Bearer {KEY}"}
    config = the_run(tmp_path / "r").config
    assert (config.temperature, config.max_tokens, config.seed) == (0.5, 99, 7)
    assert set(config.given) == {"api_base", "samples", *given}


@pytest.mark.server
@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (Answer(completion("A. Nobody at all")), "unparsed"),
        (Answer(completion("I think that", finish="length")), "truncated"),
        (Answer(completion("", finish="length")), "truncated"),
        (Answer(completion("", finish="content_filter")), "refused"),
        (Answer(completion(None, refusal="I will not")), "refused"),
        (Answer(completion("", reasoning_content="hm")), "unparsed"),
        # Output tokens were billed, so it is the model that said nothing.
        (Answer(completion(None)), "unparsed"),
        (Answer(completion("")), "unparsed"),
        (stream({}), "unparsed"),
        (stream({"content": "I"}, finish="content_filter"), "refused"),
        (stream({"content": "A. "}, finish="length"), "truncated"),
    ],
)
def test_what_is_the_models_doing_is_scored(tmp_path: Path, answer: Answer, outcome: str) -> None:
    streamed = isinstance(answer.body, bytes)
    summary, response, server = bench_one(tmp_path, answer, stream=streamed)
    assert response.outcome == outcome
    assert response.grade is not None
    assert response.grade.accuracy == 0
    assert summary.responses == 1
    assert len(server.bodies) == 1


@pytest.mark.server
@pytest.mark.parametrize(
    "answer",
    [
        Answer(b"<html>hello</html>"),
        Answer(b"<html>hello</html>", headers={"Content-Type": "text/html"}),
        Answer(b""),
        Answer([1, 2]),
        Answer({"hello": 1}),
        Answer({"error": {"message": "boom", "code": 500}}),
        Answer({**completion("A. x"), "choices": []}),
        Answer(completion(None) | {"usage": {"prompt_tokens": 9, "completion_tokens": 0}}),
        Answer({k: v for k, v in completion(None).items() if k != "usage"}),
        Answer(completion(5)),  # type: ignore[arg-type]
        Answer({"error": {"message": "the prompt is too long"}}, status=400),
        stream({"content": "A. Miss"}, finish=None),
        Answer(b"data: hello\n\n", headers={"Content-Type": "text/event-stream"}),
        replace(stream({"content": "A. Miss"}, finish=None), lost=99),
        Answer(b'{"id": "c", "choices": [', lost=99),
    ],
)
def test_rubbish_fails_once_and_is_not_scored(
    tmp_path: Path, answer: Answer, naps: list[float]
) -> None:
    streamed = answer.headers.get("Content-Type") == "text/event-stream"
    summary, response, server = bench_one(tmp_path, answer, stream=streamed)
    assert response.outcome == "failed"
    assert response.error
    assert "\n" not in response.error
    assert response.grade is None
    assert response.cost_usd is None
    assert summary.accuracy is None
    assert summary.outcomes["failed"] == 1
    assert (len(server.bodies), naps) == (1, [])


@pytest.mark.server
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("reason", "native", "outcome"),
    [
        ("stop", None, "answered"),
        ("eos", None, "answered"),
        ("stop", "STOP", "answered"),
        ("stop", "end_turn", "answered"),
        ("model_length", None, "truncated"),
        ("max_output_tokens", None, "truncated"),
        ("stop", "MAX_TOKENS", "truncated"),
        ("stop", "refusal", "refused"),
        ("abort", None, "failed"),
        ("network_error", None, "failed"),
        ("error", None, "failed"),
        ("never heard of", None, "failed"),
        ("stop", "abort", "failed"),
        ("stop", "network_error", "failed"),
    ],
)
def test_only_known_good_endings_are_an_answer(
    tmp_path: Path, reason: str, native: str | None, outcome: str, streamed: bool
) -> None:
    data = completion(text(tmp_path), finish=reason)
    data["choices"][0] |= {"native_finish_reason": native}
    answer = Answer(data)
    if streamed:
        answer = replace(stream(), body=b"data: " + json.dumps(data).encode() + b"\n\n")
    summary, response, _ = bench_one(tmp_path, answer, stream=streamed, price_in=3.0, price_out=1.0)
    assert response.outcome == outcome
    # What was paid for is kept, with its cost and its reason.
    assert (response.text, response.cost_usd) == (text(tmp_path), 0.0032)
    assert response.finish_reason == (native if native and outcome != "answered" else reason)
    assert (response.error is None) == (outcome != "failed")
    assert (native or reason) in (response.error or native or reason)
    assert summary.responses == (outcome != "failed")


@pytest.mark.server
@pytest.mark.parametrize("finish", ["stop", "length"])
def test_a_whole_reply_to_a_request_for_a_stream(tmp_path: Path, finish: str) -> None:
    answer = Answer(completion(text(tmp_path), finish=finish, reasoning="hm"))
    _, response, server = bench_one(tmp_path, answer, stream=True, price_in=3.0, price_out=1.0)
    assert server.bodies[0]["stream"] is True
    assert response.outcome == ("answered" if finish == "stop" else "truncated")
    assert (response.text, response.reasoning) == (text(tmp_path), "hm")
    assert response.cost_usd == 0.0032
    assert response.grade is not None
    assert response.grade.accuracy == 1.0


@pytest.mark.server
@pytest.mark.parametrize("streamed", [False, True])
def test_a_prompt_that_gemini_blocks_is_priced(tmp_path: Path, streamed: bool) -> None:
    counts = {"promptTokenCount": 1000, "totalTokenCount": 1000}
    data = json.dumps({"promptFeedback": {"blockReason": "OTHER"}, "usageMetadata": counts})
    answer = (
        replace(stream(), body=f"data: {data}\n\n".encode()) if streamed else Answer(data.encode())
    )
    _, response, _ = bench_one(tmp_path, answer, stream=streamed, price_in=3.0, price_out=1.0)
    assert (response.outcome, response.cost_usd) == ("refused", 0.003)


@pytest.mark.server
def test_a_stream_in_answer_to_a_request_without(tmp_path: Path) -> None:
    _, response, server = bench_one(
        tmp_path, stream({"content": text(tmp_path)}), price_in=3.0, price_out=1.0
    )
    config = the_run(tmp_path / "r").config
    assert config.stream == server.bodies[0].get("stream", False)
    assert (response.outcome, response.text) == ("answered", text(tmp_path))


@pytest.mark.server
@pytest.mark.parametrize("odd", [b"ping", b"", b"[1]", b'"x"', b'{"choices": [{"x": "\xe2"}]}'])
def test_a_stream_is_read_to_its_end_if_litellm_gives_up(tmp_path: Path, odd: bytes) -> None:
    answer = stream({"content": text(tmp_path)})
    # Slowly, because what came in one piece with the odd event is read in any case.
    answer = replace(answer, body=b"data: " + odd + b"\n\n" + answer.body, drip_s=0.0002)
    _, response, _ = bench_one(tmp_path, answer, stream=True, price_in=3.0, price_out=1.0)
    assert (response.outcome, response.text) == ("answered", text(tmp_path))
    assert response.cost_usd == 0.0032


@pytest.mark.server
def test_nothing_but_the_requests_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hosts: list[str] = []

    def look_up(host: str, *_: object, **__: object) -> None:
        hosts.append(host)
        raise OSError("no network")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    puzzles, _ = write_puzzles(tmp_path, 1)
    with serving(lambda _: stream({"content": "A. x"})) as server:
        # litellm has a tokenizer on the hub for such a name.
        bench("Llama-3.3-70B", puzzles, tmp_path / "r", api_base=server.url)
    assert not hosts


@pytest.mark.server
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_a_block_of_reasoning_before_the_answer(tmp_path: Path, streamed: bool) -> None:
    said = f"<think>\nhm</think>\n{text(tmp_path)}"
    answer = stream({"content": said}) if streamed else Answer(completion(said))
    _, response, _ = bench_one(tmp_path, answer, stream=streamed)
    assert (response.text, response.reasoning) == (f"\n{text(tmp_path)}", "\nhm")
    assert response.grade is not None
    assert response.grade.solved


@pytest.mark.server
def test_an_error_is_the_fault_in_a_few_words(tmp_path: Path) -> None:
    for number, (answer, words) in enumerate(
        [
            (Answer(b"<html><body><h1>Bad gateway</h1></body></html>", 400), "400: Bad gateway"),
            (Answer({"detail": "no such field"}, 400), '400: {"detail": "no such field"}'),
            (Answer({"error": {"message": ["x"], "code": {}}}, 400), '400: ["x"]'),
            (Answer(b"<html>hello</html>"), "the reply cannot be read: hello"),
            (Answer(b""), "the reply is empty"),
            (Answer(b'{"choices": [{"message"'), 'the reply cannot be read: {"choices": [{"mess'),
            (Answer({**completion("x"), "choices": []}), "the reply holds no text, and has no fin"),
        ]
    ):
        _, response, _ = bench_one(tmp_path / str(number), answer)
        assert response.error is not None
        assert response.error.startswith(words)
        assert "litellm" not in response.error
        assert "Traceback" not in response.error


@pytest.mark.server
def test_a_redirect_to_another_host_stops_the_model(tmp_path: Path) -> None:
    puzzles, _ = write_puzzles(tmp_path, 3)
    with serving(lambda _: Answer(completion("A. x"))) as other:
        away = Answer(b"", 307, {"Location": f"{other.url}/chat/completions"})
        with serving(lambda _: away) as server, pytest.raises(StopError, match="redirects to http"):
            bench("m", puzzles, tmp_path / "r", api_base=server.url, concurrency=1)
        assert (len(server.bodies), other.bodies) == (1, [])


@pytest.mark.server
def test_a_redirect_to_itself_stops_the_model(tmp_path: Path) -> None:
    puzzles, _ = write_puzzles(tmp_path, 3)
    again = Answer(b"", 307, {"Location": "/v1/chat/completions"})
    with serving(lambda _: again) as server, pytest.raises(StopError, match="redirects without"):
        bench(
            "m",
            puzzles,
            tmp_path / "r",
            api_base=server.url,
            concurrency=1,
            price_in=1.0,
            price_out=1.0,
        )
    assert the_run(tmp_path / "r").responses[0].at_most_usd is None


@pytest.mark.server
@pytest.mark.parametrize("key", ["own-key-1234\n", "own-key-1234\r", "schlüssel-1234"])
def test_a_key_that_no_header_can_hold_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("TCLUE_API_KEY", key)
    puzzles, _ = write_puzzles(tmp_path, 1)
    with pytest.raises(UserError, match="TCLUE_API_KEY: expected a key without line breaks"):
        bench("m", puzzles, tmp_path / "r", api_base="http://127.0.0.1:9")


@pytest.mark.server
def test_the_first_request_is_recorded_and_a_later_one_must_be_like_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    puzzles, (first, *_) = write_puzzles(tmp_path, 3)
    broken = [Answer({"error": {"message": "no"}}, 400)]
    with serving(lambda _: broken.pop() if broken else Answer(completion("A. x"))) as server:
        options = {"api_base": server.url, "temperature": 0.5, "seed": 3, "concurrency": 1}
        bench("m", puzzles, tmp_path / "r", **options)
        config = the_run(tmp_path / "r").config
        assert config.sent == {
            "url": server.url.removesuffix("/v1"),
            "body": {
                "model": "m",
                "messages": [{"role": "user", "content": "(the prompt)"}],
                "temperature": 0.5,
                "stream": True,
                "stream_options": {"include_usage": True},
            },
        }
        assert (
            first.prompt not in (tmp_path / "r").joinpath(config.run_name, "run.json").read_text()
        )
        original = HostedModel.__init__

        def changed(self: HostedModel, *args: Any) -> None:
            original(self, *args)
            self._arguments["top_p"] = 0.9  # as another version of litellm, or the environment

        monkeypatch.setattr(HostedModel, "__init__", changed)
        with pytest.raises(StopError, match=r"body\.top_p is 0\.9 and was \"missing\"") as stopped:
            bench("m", puzzles, tmp_path / "r", **options)
        assert len(server.bodies) == 3
        assert "1 of 3 are left" in str(stopped.value)


def flaky(*failures: Answer) -> Callable[[dict[str, Any]], Answer]:
    """A server that fails so often before it answers."""
    remaining = list(failures)
    return lambda _: remaining.pop(0) if remaining else Answer(completion("A. x"))


@pytest.mark.server
def test_what_may_pass_is_tried_again(tmp_path: Path, naps: list[float]) -> None:
    puzzles, _ = write_puzzles(tmp_path, 1)
    failures = [
        Answer({"error": {"message": "slow down"}}, 429, {"Retry-After": "0.3"}),
        Answer({"error": {"message": "oops"}}, 500),
        Answer(b"<html>bad gateway</html>", 502),
        Answer(b"", 500, lost=99),
        Answer(b"busy", 503, {"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"}),
    ]
    with serving(flaky(*failures)) as server:
        summary = bench("m", puzzles, tmp_path / "r", api_base=server.url)
    assert (len(server.bodies), summary.responses) == (6, 1)
    assert (naps[0], naps[-1]) == (0.3, 0.0)  # as long as the server asks for
    assert all(later > 1.5 * sooner for sooner, later in pairwise(naps[1:-1]))
    assert summary.failed_attempts == 0
    (response,) = the_run(tmp_path / "r").responses
    assert response.tries == 6


@pytest.mark.server
def test_a_server_that_stays_broken_fails_and_the_next_run_asks_again(
    tmp_path: Path, naps: list[float]
) -> None:
    puzzles, _ = write_puzzles(tmp_path, 1)
    broken = Answer({"error": {"message": "oops"}}, 500)
    with serving(flaky(*[broken] * 6)) as server:
        summary = bench("m", puzzles, tmp_path / "r", api_base=server.url)
        assert (len(server.bodies), len(naps)) == (6, 5)
        assert (summary.responses, summary.outcomes["failed"]) == (0, 1)
        summary = bench("m", puzzles, tmp_path / "r", api_base=server.url)
    assert (summary.responses, summary.outcomes["failed"], summary.failed_attempts) == (1, 0, 1)


@pytest.mark.server
def test_a_server_that_is_not_there_is_told_at_once(tmp_path: Path, naps: list[float]) -> None:
    puzzles, _ = write_puzzles(tmp_path, 40)
    with serving(flaky()) as server:
        gone = server.url
    for url in (gone, "http://no-such-host.invalid/v1"):
        with pytest.raises(StopError) as stopped:
            bench("m", puzzles, tmp_path / "r", api_base=url)
        assert f"m: no server can be reached at {url} (" in str(stopped.value)
        assert "40 of 40 are left" in str(stopped.value)
    assert naps == []


@pytest.mark.server
def test_a_server_that_goes_away_is_waited_for(
    tmp_path: Path, naps: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    puzzles, all_puzzles = write_puzzles(tmp_path, 2)
    right = gold(all_puzzles)

    def behave(body: dict[str, Any]) -> Answer:
        server.socket.close()  # it was reached once
        return Answer(completion(right(prompt_of(body))), headers={"Connection": "close"})

    with suppress(OSError, ValueError), serving(behave) as server:
        bench("m", puzzles, tmp_path / "r", api_base=server.url, concurrency=1)
    answered, failed = the_run(tmp_path / "r").responses
    assert (answered.outcome, failed.outcome) == ("answered", "failed")
    assert (failed.error or "").startswith("Cannot connect to host 127.0.0.1:")
    assert len(naps) == executor.TRIES - 1
    assert capsys.readouterr().err == (
        f"m: 1 failed, 1 of them with: {failed.error}; the same command requests them again\n"
    )


@pytest.mark.server
def test_too_long_a_wait_is_not_waited(tmp_path: Path, naps: list[float]) -> None:
    slow = Answer({"error": {"message": "slow"}}, 429, {"Retry-After": "86400"})
    with pytest.raises(StopError, match="asks to wait 1440 minutes: try again after that"):
        bench_one(tmp_path, slow)
    assert naps == []


@pytest.mark.slow
@pytest.mark.server
@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("limit", "slow"),
    [
        ("timeout_s", {"pause_s": 300.0}),
        ("timeout_s", {"drip_s": 0.5}),
        ("silence_timeout_s", {"pause_s": 300.0}),
    ],
)
def test_a_server_that_hangs_is_given_up(
    tmp_path: Path, streamed: bool, limit: str, slow: dict[str, Any]
) -> None:
    # litellm imports more at its first request: that takes its time here, not below.
    bench_one(tmp_path, Answer(completion("A. x")))
    puzzles, (puzzle, *_) = write_puzzles(tmp_path, 3)
    answer = stream({"content": "A. x"}) if streamed else Answer(completion("A. x"))
    late = replace(answer, **slow)
    # On a busy machine the other two may be too late as well: they need no more than more time.
    for timeout_s in (2.5, 10.0, 40.0):
        results = tmp_path / f"late{timeout_s:g}"
        with serving(lambda b: late if prompt_of(b) == puzzle.prompt else answer) as server:
            options = {"api_base": server.url, "stream": streamed, limit: timeout_s}
            summary = bench("m", puzzles, results, **options)
        if summary.responses == 2:
            break
    assert (len(server.bodies), summary.responses, summary.outcomes["failed"]) == (3, 2, 1)
    (failed,) = [r for r in the_run(results).responses if r.outcome == "failed"]
    if limit == "timeout_s":
        assert failed.error == f"no whole reply within {timeout_s:g} s (--request-timeout)"
    else:
        silent = f"nothing was received for {timeout_s:g} s (--silence-timeout)"
        assert failed.error == silent
    assert failed.latency_s >= timeout_s


@pytest.mark.server
@pytest.mark.parametrize(
    ("status", "message", "to_do"),
    [
        (
            401,
            f"Incorrect API key provided: {KEY}",
            "the key is not accepted: correct TCLUE_API_KEY",
        ),
        (401, "Incorrect API key provided: sk-plant***********cdef.", "the key is not accepted"),
        (403, "you may not", "the key may not use this model"),
        (404, "no such model", "the server does not know this model"),
        (429, "insufficient_quota", "the account has no credit left"),
    ],
)
def test_a_wrong_key_stops_the_model_and_says_what_to_do(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    message: str,
    to_do: str,
) -> None:
    monkeypatch.setenv("TCLUE_API_KEY", KEY)
    puzzles, all_puzzles = write_puzzles(tmp_path, 12)
    right = gold(all_puzzles)
    remaining = [5]  # a key that is taken back after five answers

    def behave(body: dict[str, Any]) -> Answer:
        remaining[0] -= 1
        if remaining[0] >= 0:
            return Answer(completion(right(prompt_of(body))))
        return Answer({"error": {"message": message, "code": message}}, status)

    with serving(behave) as server:
        options = BenchOptions(
            puzzles=str(puzzles), results=tmp_path / "r", api_base=server.url, concurrency=2
        )
        with pytest.raises(StopError, match=to_do) as stopped:
            run_models(["m", "random"], options, Silent())
        assert len(server.bodies) <= 5 + 2
        assert [summary.responses for summary in stopped.value.summaries] == [5, 12]
        remaining[0] = 99
        run_models(["m"], options, Silent())
        assert len(server.bodies) <= 12 + 2
    files = [path for path in (tmp_path / "r").rglob("*") if path.is_file()]
    written = "".join(path.read_text() for path in files) + str(stopped.value)
    assert KEY not in written
    assert "sk-plant" not in written
    assert "7 of 12 are left" in str(stopped.value)


@pytest.mark.server
def test_streams_are_put_together(tmp_path: Path) -> None:
    head, tail = text(tmp_path)[:9], text(tmp_path)[9:]
    pieces = [{"reasoning_content": "h"}, {"reasoning_content": "m"}, {"content": head}]
    _, response, server = bench_one(tmp_path, stream(*pieces, {"content": tail}), stream=True)
    assert server.bodies[0]["stream_options"] == {"include_usage": True}
    assert response.text == text(tmp_path)
    assert (response.reasoning, response.finish_reason) == ("hm", "stop")
    assert response.model_id == "served-model"
    assert (response.usage.prompt_tokens, response.usage.completion_tokens) == (1000, 200)
    assert response.usage.reasoning_tokens == 70


@pytest.mark.server
@pytest.mark.parametrize("streamed", [False, True])
def test_tokens_that_were_not_told_are_unknown(tmp_path: Path, streamed: bool) -> None:
    data = {k: v for k, v in completion(text(tmp_path)).items() if k != "usage"}
    answer = stream({"content": text(tmp_path)}, usage=False) if streamed else Answer(data)
    summary, response, _ = bench_one(tmp_path, answer, stream=streamed, price_in=1.0, price_out=1.0)
    assert response.outcome == "answered"
    assert response.usage.prompt_tokens is None
    assert (response.cost_usd, summary.cost_usd) == (None, None)


@pytest.mark.server
def test_reasoning_without_counted_tokens_has_no_known_cost(tmp_path: Path) -> None:
    reply = completion("", reasoning_content="hm")
    reply["usage"] = {"prompt_tokens": 1000, "completion_tokens": 0, "total_tokens": 1000}
    _, response, _ = bench_one(tmp_path, Answer(reply), price_in=1.0, price_out=1.0)
    assert response.outcome == "unparsed"
    assert response.cost_usd is None
    assert response.usage.problem


@pytest.mark.server
def test_another_price_counts_anew_without_asking(tmp_path: Path) -> None:
    puzzles, _ = write_puzzles(tmp_path, 3)
    with serving(lambda _: Answer(completion("A. x"))) as server:
        options = {"api_base": server.url}
        assert bench("m", puzzles, tmp_path / "r", **options).cost_usd is None
        priced = bench("m", puzzles, tmp_path / "r", price_in=1.0, price_out=2.0, **options)
        assert priced.cost_usd == pytest.approx(0.0014)
        assert bench("m", puzzles, tmp_path / "r", **options).cost_usd == priced.cost_usd
    assert len(server.bodies) == 3
    assert the_run(tmp_path / "r").config.prices.source == "given"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no-such-model", "unknown model 'no-such-model': expected random, solver, hf:"),
        ("openai/gpt-5-mini", "no key: set OPENAI_API_KEY in the environment"),
        ("anthropic/claude-sonnet-4-5", "no key: set ANTHROPIC_API_KEY"),
    ],
)
def test_unknown_names_and_missing_keys_are_told_before_anything_is_asked(
    tmp_path: Path, name: str, message: str
) -> None:
    puzzles, _ = write_puzzles(tmp_path, 1)
    options = BenchOptions(puzzles=str(puzzles), results=tmp_path / "r")
    with pytest.raises(UserError, match=message):
        run_models(["random", name], options, Silent())
    assert not (tmp_path / "r").exists()


@pytest.mark.server
def test_a_setting_that_the_model_does_not_take_stops_it(tmp_path: Path) -> None:
    puzzles, _ = write_puzzles(tmp_path, 5)
    with (
        serving(lambda _: Answer(completion("A. x"))) as server,
        pytest.raises(StopError, match=r"does not support a setting.*temperature"),
    ):
        # Not in litellm's map, so that nothing is known before litellm looks at the name.
        bench("openai/gpt-5-x", puzzles, tmp_path / "r", api_base=server.url, temperature=0.3)
    assert not server.bodies


def test_errors_are_cleaned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ODD_API_KEY", "plain-looking-value")
    dirty = (
        "Bearer abcdef1234 sk-proj-Ab_12345678 AIzaSyA1234567890 skateboarding "
        "https://me:word@host/v1 http://host/?key=abc123 plain-looking-value "
        "hf_abcdefghijkl\nnext   line " + "x" * 999
    )
    cleaned = error_line(dirty)
    for secret in ("abcdef1234", "12345678", "me:word", "abc123", "plain-looking", "hf_abc"):
        assert secret not in cleaned
    assert "\n" not in cleaned
    assert "skateboarding" in cleaned
    assert len(cleaned) < 450


@pytest.mark.slow
@pytest.mark.server
def test_killed_runs_ask_only_for_what_is_missing(tmp_path: Path) -> None:
    puzzles, all_puzzles = write_puzzles(tmp_path, 30)
    right, slots, kills = gold(all_puzzles), 4, (1, 9, 20)
    results = tmp_path / "r"
    killed, last = threading.Event(), [0]

    def behave(body: dict[str, Any]) -> Answer:
        # Some are always in flight at a kill, which is waited for, however busy the machine is.
        if len(server.bodies) >= last[0]:
            killed.wait(300)
        return Answer(completion(right(prompt_of(body))))

    with serving(behave) as server:
        options = {"api_base": server.url, "concurrency": slots}
        with Forks("m", puzzles, results, **options) as forks:
            for last[0] in kills:
                killed.clear()
                process = forks.start()
                while len(server.bodies) < last[0]:
                    os.kill(process, 0)  # it lives
                    time.sleep(0.002)
                os.kill(process, signal.SIGKILL)
                assert forks.wait() == -signal.SIGKILL
                killed.set()
        summary = bench("m", puzzles, results, **options)
        assert 30 <= len(server.bodies) <= 30 + slots * len(kills)
        again = bench("m", puzzles, results, **options)
        assert len(server.bodies) <= 30 + slots * len(kills)
    pairs = [response.pair for response in the_run(results).responses]
    assert len(pairs) == 30 == len(set(pairs))
    assert again == summary
    assert summary.accuracy is not None
    assert summary.accuracy.value == 1.0


@pytest.mark.slow
@pytest.mark.server
def test_ctrl_c_keeps_what_was_recorded(tmp_path: Path) -> None:
    puzzles, _ = write_puzzles(tmp_path, 12)
    results, served, lock = tmp_path / "r", [0], threading.Lock()

    def behave(_: dict[str, Any]) -> Answer:
        with lock:
            served[0] += 1
            number = served[0]
        return Answer(completion("A. x"), pause_s=0 if number <= 4 else 300)

    with serving(behave) as server:
        process = spawn("m", puzzles, results, api_base=server.url, concurrency=3)
        while served[0] < 4 + 3:
            assert process.poll() is None, process.communicate()
            time.sleep(0.002)
        process.send_signal(signal.SIGINT)
        assert process.stderr
        errors = process.stderr.readline()
        assert "waiting for 3 in flight" in errors
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        errors = process.communicate()[1]
        assert process.returncode == 130
        assert "the same command resumes" in errors.splitlines()[-1]
        assert "Traceback" not in errors
        assert len(the_run(results).responses) == 4
        served[0] = -99
        assert bench("m", puzzles, results, api_base=server.url).responses == 12
    assert len(server.bodies) == 12 + 3


@pytest.mark.server
@pytest.mark.parametrize(("at_work_s", "sent"), [(0.05, 1), (60.0, executor.TRIES)])
def test_a_server_that_is_lost_at_work_is_not_asked_again_at_once(
    tmp_path: Path,
    naps: list[float],
    monkeypatch: pytest.MonkeyPatch,
    at_work_s: float,
    sent: int,
) -> None:
    monkeypatch.setattr("tclue.bench.models.failures.AT_WORK_S", at_work_s)

    def behave(_: dict[str, Any]) -> Answer:
        time.sleep(0.1)
        raise ConnectionError  # without a byte of a reply

    path, _ = write_puzzles(tmp_path, 1)
    options = {"price_in": 1.0, "price_out": 1.0, "max_tokens": 100}
    with serving(behave) as server:
        bench("m", path, tmp_path / "r", api_base=server.url, **options)
    assert (len(server.bodies), len(naps)) == (sent, sent - 1)
    (response,) = the_run(tmp_path / "r").responses
    assert response.outcome == "failed"
    assert bool(response.at_most_usd) == (sent == 1)


@pytest.mark.server
def test_a_cut_off_stream_that_is_not_captured_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clients: Any = load_litellm().in_memory_llm_clients_cache
    monkeypatch.setattr("litellm.disable_aiohttp_transport", True)
    clients.flush_cache()
    try:
        _, response, _ = bench_one(tmp_path, stream({"content": "A. "}, finish=None))
    finally:
        clients.flush_cache()
    error = "the reply was cut off: it has no finish reason"
    assert (response.outcome, response.error) == ("failed", error)
