"""The capture of litellm's requests: every provider's bytes, and nothing that was sent."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from bench_support import Answer, completion, serving, stream, write_puzzles
from providers import MODELS, PROVIDERS, Model, Settings, bases
from providers import serving as providing

from tclue.bench.models import wire
from tclue.bench.models.hosted import load_litellm

KEY = "sk-planted-0123456789abcdef"


async def captured_reply(
    model: str, base: str, streamed: bool, prompt: str = "x"
) -> wire.CapturedReply:
    """The captured reply to one request, whether it succeeds or not."""
    litellm = load_litellm()
    more: dict[str, Any] = {"stream_options": {"include_usage": True}} if streamed else {}
    with wire.capture() as captured:
        try:
            response = await litellm.acompletion(
                model=model,
                messages=[{"role": "user", "content": prompt}],
                api_base=base,
                api_key=KEY,
                num_retries=0,
                stream=streamed,
                **more,
            )
            if streamed:
                async for _ in response:
                    pass
        except litellm.exceptions.RateLimitError:
            pass
    return captured


@pytest.mark.server
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("provider", PROVIDERS)
def test_every_provider_is_captured(tmp_path: Path, provider: str, streamed: bool) -> None:
    _, (puzzle,) = write_puzzles(tmp_path, 1)
    with providing(Settings(Model([puzzle]))) as server:
        base = bases(server)[provider]
        captured = asyncio.run(captured_reply(MODELS[provider], base, streamed, puzzle.prompt))
    assert (captured.sent, captured.status, captured.streamed) == (True, 200, streamed)
    usage = b"usageMetadata" if provider == "gemini" else b'"usage"'
    assert usage in captured.body()
    assert KEY not in repr(captured)


@pytest.mark.server
def test_headers_that_matter_and_no_others() -> None:
    headers = {"Retry-After": "3", "X-RateLimit-Remaining-Requests": "7", "Set-Cookie": "me=1"}
    with serving(lambda _: Answer({"error": {"message": "slow"}}, 429, headers)) as server:
        captured = asyncio.run(captured_reply("openai/m", server.url, False))
    assert captured.status == 429
    assert captured.headers == {"content-type": "application/json", "retry-after": "3"}
    assert b"slow" in captured.body()


@pytest.mark.server
def test_requests_at_the_same_time_do_not_mix() -> None:
    def behave(body: dict[str, Any]) -> Answer:
        return Answer(completion(body["messages"][0]["content"]), pause_s=0.05)

    async def run() -> list[wire.CapturedReply]:
        prompts = [f"this is {i}." for i in range(20)]
        return await asyncio.gather(
            *[captured_reply("openai/m", server.url, False, prompt) for prompt in prompts]
        )

    with serving(behave) as server:
        for i, captured in enumerate(asyncio.run(run())):
            assert f"this is {i}.".encode() in captured.body()


@pytest.mark.slow
@pytest.mark.server
def test_of_a_long_stream_only_what_tells_facts_is_kept() -> None:
    pieces = [{"content": f"piece {i} "} for i in range(3000)]
    answer = stream(*pieces)
    with serving(lambda _: answer) as server:
        captured = asyncio.run(captured_reply("openai/m", server.url, True))
    assert len(answer.body) > 300_000
    assert len(captured.body()) < 2_000
    assert b"piece 0 " in captured.body()
    assert b'"prompt_tokens": 1000' in captured.body()


def test_lines_that_come_in_parts() -> None:
    captured = wire.CapturedReply(headers={"content-type": "text/event-stream"})
    stream = b'data: {"a": 1}\n\ndata: {"usage": null}\n\r\ndata: {"usage": {"b": 2}}\r\n\n'
    for i in range(len(stream)):
        captured._add_chunk(stream[i : i + 1])
    assert captured.body().split(b"\n\n") == [b'data: {"a": 1}', b'data: {"usage": {"b": 2}}\r']


@pytest.mark.server
def test_nobody_listens_outside() -> None:
    async def run() -> wire.CapturedReply:
        litellm = load_litellm()
        with wire.capture() as captured:
            pass
        await litellm.acompletion(
            model="openai/m",
            messages=[{"role": "user", "content": "x"}],
            api_base=server.url,
            api_key="none",
        )
        return captured

    with serving(lambda _: Answer(completion("A. x"))) as server:
        assert not asyncio.run(run()).sent
