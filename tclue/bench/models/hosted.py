"""Hosted models, and any OpenAI-compatible server, through litellm.

* Each sample is one request, and is sent once: the executor retries, and counts the tries.
  Temperature, limit and seed are sent only if the user gave them. None is dropped silently: if a
  model does not support one, nothing is sent. Sample number i is sent the seed plus i.
* The text is litellm's. The facts (usage, finish reason, model id, refusal, an error within a
  reply) are read from what the provider sent (`wire`), because litellm invents what a reply leaves
  out: zero tokens, an estimate of the tokens of a stream, a finish reason for a stream that was cut
  off. If nothing was captured, litellm's facts are used, without those that it invents.
* `failures` decides of which kind a failed request is.
* litellm sends nothing but these requests, reads no `.env` file, and logs nothing.
"""

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from tclue.bench.costs.cost import Usage
from tclue.bench.costs.price_book import litellm_usd
from tclue.bench.costs.usage import read_usage, usage_from_litellm
from tclue.bench.models import failures, wire
from tclue.bench.models.failures import BROKEN, MAYBE_PAID, REFUSED, TRUNCATED
from tclue.bench.models.model import Completion, Model, Request, ResolvedModel
from tclue.errors import UserError
from tclue.secrets import clean

# Requests are prepared one at a time if replies take at least this long (see `_turn`).
TURNS_FROM_S = 0.1
LONGEST_TURN_S = 0.05  # the longest time that the next request waits for one to be prepared


def load_litellm() -> ModuleType:
    """Import litellm without network access and without its reading of `.env` files."""
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    os.environ["LITELLM_MODE"] = "PRODUCTION"
    # The output limit ends a model that repeats itself. Otherwise litellm raises an error.
    os.environ["REPEATED_STREAMING_CHUNK_LIMIT"] = "1000000000"
    # Its warnings are about its internals, and its errors are recorded.
    logging.getLogger("LiteLLM").setLevel(logging.CRITICAL)
    try:
        import litellm
    except ImportError:
        raise UserError("hosted models need litellm: pip install litellm") from None
    litellm.telemetry = False
    litellm.suppress_debug_info = True
    litellm.drop_params = False
    wire.install()
    return litellm


class HostedModel(Model):
    """A model that litellm reaches."""

    def __init__(
        self, name: str, resolved: ResolvedModel, key: str | None = None, base: str | None = None
    ) -> None:
        """`name` is litellm's. Without a `key` and a `base` URL, litellm's own are used."""
        self.resolved = resolved
        self._litellm = load_litellm()
        self._name = name
        self._arguments: dict[str, Any] = {
            **resolved.request,
            "model": name,
            "api_base": base or resolved.api_base,
            "api_key": key,
            "timeout": resolved.timeout_s,
            # The executor retries and counts. This also turns off the HTTP client's own retries.
            "num_retries": 0,
        }
        self._preparation_lock = asyncio.Lock()
        # latency of the last reply
        self._latency_s = TURNS_FROM_S

    async def complete(self, batch: Sequence[Request]) -> AsyncIterator[tuple[Request, Completion]]:
        """Send each request once."""
        for request in batch:
            yield request, await self._complete_request(request)

    async def _complete_request(self, request: Request) -> Completion:
        seed = None if self.resolved.seed is None else self.resolved.seed + request.sample
        messages = [{"role": "user", "content": request.puzzle.prompt}]
        start = time.perf_counter()
        with wire.capture() as captured:
            try:
                async with asyncio.timeout(self.resolved.timeout_s):
                    async with self._turn(captured):
                        start = time.perf_counter()
                        response = await self._litellm.acompletion(
                            messages=messages, seed=seed, **self._arguments
                        )
                    streamed = self.resolved.request.get("stream", self.resolved.stream)
                    received = await _read_stream(response) if streamed else _read_whole(response)
            except Exception as error:  # litellm's types differ by provider; see `failures`
                return self._failed_completion(captured, error, time.perf_counter() - start)
        latency_s = self._latency_s = time.perf_counter() - start
        facts = wire.read(captured.body())
        # The price of a server of one's own is not that of the provider whose protocol it uses.
        litellm_usage = None if self.resolved.api_base else received.usage
        litellm_cost_usd = litellm_usd(self._litellm, self._name, litellm_usage)
        return _completion(received, facts, streamed, latency_s, litellm_cost_usd)

    @asynccontextmanager
    async def _turn(self, captured: wire.CapturedReply) -> AsyncIterator[None]:
        """Prepare one request at a time, until it is sent.

        litellm takes milliseconds of processor time to prepare a request. If each is sent as soon
        as it is ready, the provider can work meanwhile; if all were prepared at once, the first
        would have to wait for the last. With very fast replies this would only add waiting.
        """
        if self._latency_s < TURNS_FROM_S:
            yield
            return
        await self._preparation_lock.acquire()
        holding = True

        def release() -> None:
            nonlocal holding
            if holding:
                holding = False
                self._preparation_lock.release()

        captured.when_sent = release
        # If nothing is captured, nothing reports that the request was sent.
        timer = asyncio.get_running_loop().call_later(LONGEST_TURN_S, release)
        try:
            yield
        finally:
            timer.cancel()
            release()

    def _failed_completion(
        self, captured: wire.CapturedReply, error: Exception, latency_s: float
    ) -> Completion:
        """The completion of a request that raised an error."""
        body = captured.body()
        facts = wire.read(body)
        message = clean(failures.error_text(facts.error) if facts and facts.error else str(error))
        if captured.status is not None and captured.status >= 400:
            text = body.decode("utf-8", "replace")
            status, headers = captured.status, captured.headers
            failure = failures.of_status(status, headers, text, time.time(), latency_s)
            # Some providers repeat the status as their own code.
            message = f"{captured.status}: {message.removeprefix(f'{captured.status}: ')}"
        elif captured.status is not None:
            failure = MAYBE_PAID
        elif isinstance(error, self._litellm.UnsupportedParamsError):
            failure = failures.SETTING
        else:
            failure = failures.of_exception(error, captured.sent, latency_s)
        if failure == MAYBE_PAID and _timed_out(error):
            message = f"no whole reply within {self.resolved.timeout_s:g} s (--timeout)"
        if failure.kind == "refused":
            return Completion(
                refused=True, finish_reason="content_filter", usage=Usage(), latency_s=latency_s
            )
        usage = read_usage(facts.usage, complete=False) if facts else Usage()
        model_id = facts.model_id if facts else None
        return Completion(
            error=message, failure=failure, usage=usage, latency_s=latency_s, model_id=model_id
        )


def _timed_out(error: BaseException) -> bool:
    import httpx

    late = TimeoutError | httpx.TimeoutException
    return any(isinstance(cause, late) for cause in failures.causes(error))


@dataclass(frozen=True)
class ReceivedReply:
    """A reply as litellm returns it."""

    text: str
    reasoning: str | None
    # litellm's usage object, or None
    usage: Any
    # the other facts according to litellm
    facts: wire.Facts


def _read_whole(response: Any) -> ReceivedReply:
    """A reply that was not streamed."""
    choice = response.choices[0] if response.choices else None
    message = choice.message if choice else None
    extra = getattr(message, "provider_specific_fields", None) or {}
    return ReceivedReply(
        text=getattr(message, "content", None) or "",
        reasoning=getattr(message, "reasoning_content", None),
        usage=getattr(response, "usage", None),
        facts=wire.Facts(
            finish_reason=choice.finish_reason if choice else None,
            model_id=response.model,
            refusal=extra.get("refusal"),
        ),
    )


async def _read_stream(stream: Any) -> ReceivedReply:
    """A streamed reply, joined."""
    pieces: dict[str, list[str]] = {"content": [], "reasoning_content": []}
    model_id = None
    async for chunk in stream:
        hidden = getattr(chunk, "_hidden_params", {})
        model_id = hidden.get("provider_response_model") or model_id
        for choice in chunk.choices:
            for name, texts in pieces.items():
                texts.append(getattr(choice.delta, name, None) or "")
    text, reasoning = ("".join(texts) for texts in pieces.values())
    return ReceivedReply(
        text=text,
        reasoning=reasoning or None,
        usage=next(
            (u for chunk in reversed(stream.chunks) if (u := getattr(chunk, "usage", None))), None
        ),
        # The reason is what the server sent; the chunks may have an invented one. litellm drops the
        # parts of a refusal.
        facts=wire.Facts(finish_reason=stream.received_finish_reason, model_id=model_id),
    )


def _completion(
    received: ReceivedReply,
    facts: wire.Facts | None,
    streamed: bool,
    latency_s: float,
    litellm_cost_usd: float | None,
) -> Completion:
    """The completion, from litellm's text and the facts that the provider sent."""
    if facts is None:  # nothing was captured, or its form is unknown
        facts, usage = received.facts, usage_from_litellm(received.usage)
    else:
        usage = read_usage(facts.usage, complete=facts.finish_reason is not None)
    finish_reason = facts.blocked or facts.finish_reason
    refusal = facts.refusal or received.facts.refusal
    refused = bool(refusal or facts.blocked or finish_reason in REFUSED)
    text = received.text or refusal or ""
    reasoning, error = received.reasoning, None  # `error` says why the reply cannot be used
    if facts.error is not None:
        error = clean(failures.error_text(facts.error))
    elif finish_reason in BROKEN:
        error = f"the provider broke off ({finish_reason})"
    elif finish_reason is None and streamed:  # a whole reply of a self-hosted server may have none
        error = "the reply was cut off: it has no finish reason"
    elif not (text or reasoning or refused or finish_reason in TRUNCATED):
        # Reasoning without an answer is the model's fault and is scored. An empty reply is not.
        error = "the reply holds no text"
    return Completion(
        text="" if error else text,
        reasoning=None if error else reasoning,
        finish_reason=finish_reason,
        usage=usage,
        latency_s=latency_s,
        litellm_usd=litellm_cost_usd if usage.raw else None,
        model_id=facts.model_id or received.facts.model_id,
        refused=refused,
        error=error,
        failure=MAYBE_PAID if error else None,
    )
