"""Hosted models, and any OpenAI-compatible server: litellm carries the request, and no more.

* One request a sample. Neither temperature nor limit nor seed is sent unless it was given, and
  none is dropped silently: a model that does not take one is not asked. With several samples, the
  seed that is sent goes up by one with each.
* What fails without a reply (no connection, or one that was lost; 429; 5xx) is tried again, after
  as long as the server asks for or 2, 4, 8, ... seconds. A time-out, an unreadable reply and a
  stream that breaks off are not: they may have been paid for. They are recorded as failed, and
  asked again when the run is taken up again. A wrong key, a used-up quota or an unknown model stops
  the run.
* Keys come from the environment alone (litellm would read a `.env` file too; that is turned off),
  and errors are cleaned of everything that looks like one.
* litellm invents what a reply leaves out: zero tokens, an estimate of them when streaming, a
  finish reason for a stream that was cut. None of these is taken for a fact here.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from email.utils import parsedate_to_datetime
from random import Random
from types import ModuleType
from typing import Any

from tclue.bench.answerers import Ask, Reply, Setup
from tclue.bench.litellm_costs import litellm_usd
from tclue.bench.records import mask_secrets
from tclue.bench.wire_usage import usage_from_litellm
from tclue.errors import UserError

TRIES = 6
FIRST_PAUSE_S = 2.0
LONGEST_PAUSE_S = 300.0
LONGEST_ERROR = 400  # characters

_KEY_LIKE = re.compile(
    r"\b(?:sk|pk|rk|gsk|xai|hf|ghp)[-_][\w*.-]{8,}|\bAIza[\w-]{10,}|\bAKIA\w{12,}"
    r"|(?<=Bearer )\S+|(?<=[?&]key=)[^&\s]+|(?<=://)[^/\s@]+(?=@)"
)
# What only a used-up account says. "Exceeded your quota" is also said of a rate limit.
_NO_MONEY = re.compile(r"insufficient_quota|credit balance|insufficient balance", re.IGNORECASE)
_STOPS = {
    401: "the key is not accepted: check the environment variable that holds it",
    402: "the account must be paid for: add credit there",
    403: "the key may not use this model: check its rights",
    404: "the server does not know this model: check its name and --api-base",
}


def load_litellm() -> ModuleType:
    """Import litellm so that it asks the network for nothing and reads no `.env` file."""
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    os.environ["LITELLM_MODE"] = "PRODUCTION"
    # A model that repeats itself is cut off by the output limit, not by an error of litellm's.
    os.environ["REPEATED_STREAMING_CHUNK_LIMIT"] = "1000000000"
    # Its warnings are about its own insides, and its errors are recorded.
    logging.getLogger("LiteLLM").setLevel(logging.CRITICAL)
    try:
        import litellm
    except ImportError:
        raise UserError("hosted models need litellm: pip install litellm") from None
    litellm.telemetry = False
    litellm.suppress_debug_info = True
    litellm.drop_params = False
    return litellm


def clean(text: str) -> str:
    """One line of an error, short and without anything that looks like a key."""
    line = " ".join(_KEY_LIKE.sub("[key]", mask_secrets(text)).split())
    return line if len(line) <= LONGEST_ERROR else f"{line[:LONGEST_ERROR]}..."


class Hosted:
    """A model that litellm reaches."""

    def __init__(self, name: str, setup: Setup, key: str | None = None) -> None:
        """`name` as litellm routes it; `key` only where a server needs none and litellm does."""
        self.setup = setup
        self._litellm = load_litellm()
        self._name = name
        self._arguments: dict[str, Any] = {
            **setup.request,
            "model": name,
            "api_base": setup.api_base,
            "api_key": key,
            "timeout": setup.timeout_s,
            # Retrying is done here, where it can be counted; this turns off the client's own too.
            "num_retries": 0,
        }

    def open(self) -> None:
        """Nothing to load."""

    def batches(self, asks: Sequence[Ask]) -> Iterable[Sequence[Ask]]:
        """Each request by itself."""
        return [[ask] for ask in asks]

    async def ask(self, batch: Sequence[Ask]) -> AsyncIterator[tuple[Ask, Reply]]:
        """Ask, again where that may help."""
        for ask in batch:
            yield ask, await self._answer(ask)

    async def _answer(self, ask: Ask) -> Reply:
        pause = Random(f"{ask.puzzle.id}/{ask.sample}").uniform(0.8, 1.2) * FIRST_PAUSE_S
        for tries_left in reversed(range(TRIES)):
            start = time.perf_counter()
            try:
                async with asyncio.timeout(self.setup.timeout_s):
                    return await self._request(ask, start)
            except TimeoutError:
                return self._timed_out()
            except Exception as error:  # litellm's kinds differ by provider; `_failure` reads them
                reply, wait_s = self._failure(error)
                if not tries_left or wait_s is None or wait_s > LONGEST_PAUSE_S:
                    return reply
                await asyncio.sleep(max(wait_s, pause))
                pause *= 2
        raise AssertionError("the last try returns")

    async def _request(self, ask: Ask, start: float) -> Reply:
        seed = None if self.setup.seed is None else self.setup.seed + ask.sample
        messages = [{"role": "user", "content": ask.puzzle.prompt}]
        response = await self._litellm.acompletion(messages=messages, seed=seed, **self._arguments)
        parts = await _streamed(response) if self.setup.stream else _whole(response)
        usage = parts["usage"]
        return _read(
            **parts,
            latency_s=time.perf_counter() - start,
            litellm_usd=None
            if self.setup.api_base
            else litellm_usd(self._litellm, self._name, usage),
        )

    def _timed_out(self) -> Reply:
        return Reply(error=f"no whole reply within {self.setup.timeout_s:g} s (--timeout)")

    def _failure(self, error: Exception) -> tuple[Reply, float | None]:
        """What a failed try leaves, and the seconds to wait before the next, or None for no next.

        litellm wraps errors differently for each provider. What all of them keep is the HTTP
        client's own error, at the end of the chain of causes.
        """
        import httpx

        said = clean(str(error))
        if isinstance(error, self._litellm.UnsupportedParamsError):
            return Reply(error=said, stop="the model does not take a setting: leave it out"), None
        if isinstance(error, self._litellm.exceptions.MidStreamFallbackError):
            return Reply(error=said), None
        cause = next((e for e in _causes(error) if isinstance(e, httpx.HTTPError)), None)
        if isinstance(cause, httpx.TimeoutException):
            return self._timed_out(), None
        if isinstance(cause, httpx.HTTPStatusError):
            status = cause.response.status_code
            if _NO_MONEY.search(f"{error} {getattr(error, 'body', '')}"):
                status = 402
            reply = Reply(error=said, stop=_STOPS.get(status))
            again = status in (408, 409, 429) or status >= 500
            return reply, _retry_after_s(cause.response.headers) if again else None
        # Without a status: no connection (again), or a reply that nobody can read (not again).
        return Reply(error=said), 0.0 if cause is not None else None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _retry_after_s(headers: Mapping[str, str]) -> float:
    """Seconds that the server asks to wait: a number or a date; 0 where it asks for nothing."""
    said = headers.get("retry-after", "")
    try:
        return max(0.0, float(said))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(said).timestamp() - time.time())
    except ValueError:
        return 0.0


def _whole(response: Any) -> dict[str, Any]:
    """The parts of a reply that came in one piece."""
    choice = response.choices[0] if response.choices else None
    message = choice.message if choice else None
    extra = getattr(message, "provider_specific_fields", None) or {}
    return {
        "text": getattr(message, "content", None),
        "reasoning": getattr(message, "reasoning_content", None),
        "refusal": extra.get("refusal"),
        "finish_reason": choice.finish_reason if choice else None,
        "usage": getattr(response, "usage", None),
        "model_id": response.model,
    }


async def _streamed(stream: Any) -> dict[str, Any]:
    """The parts of a reply that came in pieces, put together."""
    pieces: dict[str, list[str]] = {"content": [], "reasoning_content": []}
    model_id = None
    async for chunk in stream:
        hidden = getattr(chunk, "_hidden_params", {})
        model_id = hidden.get("provider_response_model") or model_id
        for choice in chunk.choices:
            for name, found in pieces.items():
                found.append(getattr(choice.delta, name, None) or "")
    text, reasoning = ("".join(found) for found in pieces.values())
    # The stream's own record of what the server sent; the chunks handed out hold estimates.
    finish_reason = stream.received_finish_reason
    return {
        "text": text if finish_reason else None,
        "reasoning": reasoning or None,
        "refusal": None,  # litellm drops the pieces of one
        "finish_reason": finish_reason,
        "usage": next(
            (u for chunk in reversed(stream.chunks) if (u := getattr(chunk, "usage", None))), None
        ),
        "model_id": model_id,
    }


def _read(
    text: str | None,
    reasoning: str | None,
    refusal: str | None,
    finish_reason: str | None,
    usage: Any,
    model_id: str | None,
    latency_s: float,
    litellm_usd: float | None,
) -> Reply:
    """A reply from its parts."""
    tokens = usage_from_litellm(usage)
    refused = refusal is not None or finish_reason == "content_filter"
    # Reasoning without an answer, or cut off before one, is the model's doing; nothing at all
    # is the provider's.
    empty = not (text or reasoning or refused or finish_reason == "length")
    return Reply(
        text=text or refusal or "",
        reasoning=reasoning,
        finish_reason=finish_reason,
        usage=tokens,
        latency_s=latency_s,
        litellm_usd=litellm_usd,
        model_id=model_id,
        refused=refused,
        error="the reply holds no text" if empty else None,
    )
