"""The capture of litellm's requests: every provider's bytes, and nothing that was sent."""

import asyncio
import gzip
import json
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from bench_support import Answer, completion, serving, write_puzzles
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
    with wire.capture() as captured, suppress(Exception):  # litellm's, of many types
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
    captured.reading.finish()
    return captured


@pytest.mark.server
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("provider", PROVIDERS)
def test_every_provider_is_captured(tmp_path: Path, provider: str, streamed: bool) -> None:
    _, (puzzle,) = write_puzzles(tmp_path, 1)
    with providing(Settings(Model([puzzle]))) as server:
        base = bases(server)[provider]
        captured = asyncio.run(captured_reply(MODELS[provider], base, streamed, puzzle.prompt))
    reading = captured.reading
    assert (captured.sent, captured.status, reading.streamed) == (True, 200, streamed)
    assert reading.recognized
    assert reading.reply.usage
    assert reading.reply.text
    assert KEY not in repr(captured) + repr(vars(reading))


@pytest.mark.server
def test_headers_that_matter_and_no_others() -> None:
    headers = {"Retry-After": "3", "X-RateLimit-Remaining-Requests": "7", "Set-Cookie": "me=1"}
    with serving(lambda _: Answer({"error": {"message": "slow"}}, 429, headers)) as server:
        captured = asyncio.run(captured_reply("openai/m", server.url, False))
    assert captured.status == 429
    assert captured.headers == {"content-type": "application/json", "retry-after": "3"}
    assert b"slow" in captured.reading.body()


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
            assert captured.reading.reply.text == f"this is {i}."


@pytest.mark.server
@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_reply_that_is_compressed_unasked(encoding: str) -> None:
    pack = gzip.compress if encoding == "gzip" else zlib.compress
    body = pack(json.dumps(completion("A. x")).encode())
    with serving(lambda _: Answer(body, headers={"Content-Encoding": encoding})) as server:
        captured = asyncio.run(captured_reply("openai/m", server.url, False))
    assert captured.reading.reply.text == "A. x"


@pytest.mark.server
def test_a_redirect_within_an_origin_is_followed() -> None:
    def behave(body: dict[str, Any]) -> Answer:
        if len(server.bodies) > 1:
            return Answer(completion("A. x"))
        return Answer(b"", 307, {"Location": f"{server.url}/chat/completions"})

    with serving(behave) as server:
        captured = asyncio.run(captured_reply("openai/m", server.url, False))
    assert (len(server.bodies), captured.reading.reply.text) == (2, "A. x")


@pytest.mark.server
@pytest.mark.parametrize("model", ["openai/m", "anthropic/m", "gemini/m", "azure_ai/m"])
@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_no_key_follows_a_redirect_to_another_origin(model: str, status: int) -> None:
    with serving(lambda _: Answer(completion("A. x"))) as other:
        away = {"Location": f"{other.url}/chat/completions"}
        with serving(lambda _: Answer(b"", status, away)) as server:
            captured = asyncio.run(captured_reply(model, server.url, False))
        assert not other.headers
    assert len(server.bodies) == 1
    assert "redirects to http://127.0.0.1:" in str(captured.refused)


@pytest.mark.server
def test_the_environment_cannot_turn_the_capture_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISABLE_AIOHTTP_TRANSPORT", "True")
    test_no_key_follows_a_redirect_to_another_origin("anthropic/m", 307)


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
