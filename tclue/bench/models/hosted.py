"""Hosted models, and any OpenAI-compatible server, through litellm.

* Each sample is one request, and is sent once: the executor retries, and counts the tries.
  Temperature, limit and seed are sent only if the user gave them. None is dropped silently: if a
  model does not support one, nothing is sent. Sample number i is sent the seed plus i.
* The first request of a run is recorded as it was sent, without its prompt and seed, because
  litellm and the environment add to it. A later request that differs is not sent.
* The reply is read from what the provider sent (`wire`, `replies`), because litellm drops fields
  and invents what a reply leaves out. Only if nothing of a known form was captured, as for
  providers with a protocol of their own, litellm's objects are read, by the same code.
* `failures` decides of which kind a failed request is.
* litellm sends nothing but these requests, and reads no `.env` file.
"""

import asyncio
import json
import math
import os
import re
import time
import warnings
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any

import httpx

from tclue.bench.costs.cost import Usage
from tclue.bench.costs.price_book import litellm_usd
from tclue.bench.costs.usage import read_usage
from tclue.bench.models import failures, wire
from tclue.bench.models.failures import MAYBE_PAID, Failure, ending
from tclue.bench.models.model import Completion, Model, Request, ResolvedModel
from tclue.bench.models.replies import Reply, add_event
from tclue.config_files import merged
from tclue.errors import UserError
from tclue.puzzle.grading.reasoning import leading_reasoning
from tclue.secrets import error_line

CONNECT_S = 30.0
_PROMPT = "(the prompt)"  # in the place of the prompt, in a recorded request
# What a request says about its transport and its price, which do not change the response.
_TERMS = ("stream", "stream_options", "service_tier", "max_price")
# A block of reasoning before the answer, from a server that does not separate it (as in litellm).
_OF_LITELLM = re.compile(r"^(?:litellm\.)?\w*(?:Error|Exception)(?:: | - )")
_OF_AIOHTTP = re.compile(r" ssl:(?:<[^<>]*>|\w+)")


def load_litellm() -> ModuleType:
    """Import litellm without network access and without its reading of `.env` files."""
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    os.environ["LITELLM_MODE"] = "PRODUCTION"
    # The output limit ends a model that repeats itself. Otherwise litellm raises an error.
    os.environ["REPEATED_STREAMING_CHUNK_LIMIT"] = "1000000000"
    # Without aiohttp nothing is captured, and redirects to other hosts are not refused.
    os.environ.pop("DISABLE_AIOHTTP_TRANSPORT", None)
    # pydantic says that it cannot protect litellm's dictionaries, which nobody changes.
    warnings.filterwarnings(
        "ignore",
        r"Items? .* on TypedDict class '\w+' (is|are) using the `ReadOnly` qualifier",
        UserWarning,
        r"pydantic\._internal\._generate_schema",
    )
    try:
        import litellm
    except ImportError:
        raise UserError("hosted models need litellm: pip install litellm") from None
    litellm.telemetry = False
    litellm.suppress_debug_info = True
    litellm.drop_params = False
    # It counts tokens by itself, with a tokenizer that it would download for some models.
    litellm.disable_hf_tokenizer_download = True
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
        # Later than our own limits, which tell silence from a long reply.
        last_s = (resolved.timeout_s or 0.0) + (resolved.silence_timeout_s or 0.0)
        self._arguments: dict[str, Any] = {
            **merged(dict(resolved.request), dict(resolved.terms)),
            "model": name,
            "api_base": base or resolved.api_base,
            "api_key": key,
            "timeout": httpx.Timeout(last_s or None, connect=CONNECT_S),
            # The executor retries and counts. This also turns off the HTTP client's own retries.
            "num_retries": 0,
        }

    async def complete(self, batch: Sequence[Request]) -> AsyncIterator[tuple[Request, Completion]]:
        """Send each request once."""
        for request in batch:
            yield request, await self._complete_request(request)

    async def aclose(self) -> None:
        """Close the connections."""
        await wire.close()

    async def _complete_request(self, request: Request) -> Completion:
        start, error, usage, given = time.perf_counter(), None, None, Reply()
        with wire.capture() as captured:
            captured.check = self._body_check(request.puzzle.prompt)
            try:
                async with self._time_limits(captured):
                    given, usage = await self._send(request, captured)
            except Exception as raised:  # litellm's types differ by provider; see `failures`
                error = raised
        latency_s = time.perf_counter() - start
        captured.finish()
        read = captured.reading.recognized
        if not read and captured.status and given.finish_reason is None:
            error = error or ValueError("no event has a known form")
        if failed := self._failed(captured, error, latency_s):
            return failed
        # The price of a server of one's own is not that of the provider whose protocol it uses.
        cost_usd = litellm_usd(self._litellm, self._name, None if self.resolved.api_base else usage)
        reply = captured.reading.reply if read else given
        streamed = bool(captured.reading.streamed) if read else self.resolved.stream
        ended = bool(reply.finish_reason or reply.blocked) or not streamed
        tier = reply.service_tier or captured.headers.get("x-gemini-service-tier")
        # Only Gemini's own form counts thoughts apart, where a completion of 0 can be right.
        apart = "thoughtsTokenCount" in reply.usage
        has_text = bool(reply.text or (reply.reasoning and not apart))
        counts = read_usage(reply.usage, complete=ended, has_text=has_text, service_tier=tier)
        return _completion(reply, counts, streamed, latency_s, cost_usd, error)

    async def _send(self, request: Request, captured: wire.CapturedReply) -> tuple[Reply, Any]:
        """Send a request, and receive all of its reply. Returns what `_litellm_reply` does."""
        seed = None if self.resolved.seed is None else self.resolved.seed + request.sample
        messages = [{"role": "user", "content": request.puzzle.prompt}]
        try:
            response = await self._litellm.acompletion(
                messages=messages, seed=seed, **self._arguments
            )
            if not (captured.stream and self.resolved.api_base and _is_stream(response)):
                return await _litellm_reply(response, captured)
            # litellm takes 10 ms of processor time to read a stream, which only its own price would
            # need. A server of one's own has none.
            async for _ in captured.stream:
                pass
            return Reply(), None
        finally:
            if captured.stream:
                await captured.stream.aclose()

    def _body_check(self, prompt: str) -> Callable[[str, Mapping[str, Any]], str | None]:
        """A function that records the first request, and says why one that differs is refused."""

        def check(origin: str, body: Mapping[str, Any]) -> str | None:
            sent = {"url": origin, "body": _without_prompt(body, prompt.strip())}
            # A protocol may write the prompt in another way. Then every body is different.
            if _PROMPT not in json.dumps(sent):
                return None
            self.sent = self.sent or sent
            words = "the request differs from the first one of this run"
            return (found := _difference(self.sent, sent)) and f"{words}: {found}"

        return check

    @asynccontextmanager
    async def _time_limits(self, captured: wire.CapturedReply) -> AsyncIterator[None]:
        """Raise TimeoutError, which says why, after silence or if the whole takes too long."""
        loop = asyncio.get_running_loop()
        silence_s = self.resolved.silence_timeout_s or math.inf
        whole_s = self.resolved.timeout_s or math.inf
        end_s = loop.time() + whole_s

        def heard() -> None:
            if not timer.expired():
                timer.reschedule(min(end_s, loop.time() + silence_s))

        try:
            async with asyncio.timeout(None) as timer:
                heard()
                captured.when_heard = heard
                yield
        except TimeoutError:
            if not timer.expired():
                raise
            if loop.time() >= end_s:
                reason = f"no whole reply within {whole_s:g} s (--request-timeout)"
            else:
                reason = f"nothing was received for {silence_s:g} s (--silence-timeout)"
            raise TimeoutError(reason) from None

    def _failed(
        self, captured: wire.CapturedReply, error: Exception | None, latency_s: float
    ) -> Completion | None:
        """The completion of a request without a reply that can be read; None if there is one."""
        status, reading = captured.status, captured.reading
        reply, body = reading.reply, reading.body().decode("utf-8", "replace")
        if captured.refused:
            failure, message = Failure("stop", captured.refused), "the request was not sent"
        elif status in wire.REDIRECTS:
            message = f"{status}: a redirect without a target, or one too many"
            failure = Failure("stop", "the server redirects without end: check --api-base")
        elif status is not None and status >= 400:
            body = body or captured.given_up or json.dumps(reply.error or {})
            failure = failures.of_status(status, captured.headers, body, time.time(), latency_s)
            words = failures.error_text(reply.error) if reply.error else _plain(body)
            # Some providers repeat the status as their own code.
            message = f"{status}: {words.removeprefix(f'{status}: ')}"
        elif captured.given_up:
            failure, message = MAYBE_PAID, captured.given_up
        elif error is None or reading.recognized:
            return None
        elif status is not None:
            failure = MAYBE_PAID
            start = _plain(body)
            message = f"the reply cannot be read: {start}" if start else "the reply is empty"
            if isinstance(error, TimeoutError):
                message = str(error)
        elif isinstance(error, self._litellm.UnsupportedParamsError):
            failure, message = failures.SETTING, _in_words(error)
        else:
            failure = failures.of_exception(error, captured.sent, latency_s)
            message = _in_words(error)
        if failure.kind == "refused":
            return Completion(refused=True, finish_reason="content_filter", latency_s=latency_s)
        return Completion(
            error=error_line(message), failure=failure, latency_s=latency_s, model_id=reply.model_id
        )


def _in_words(error: BaseException) -> str:
    """The fault of an exception: its first cause, without its type's name and without a trace."""
    chain = list(failures.causes(error))
    # A library's error says more than the system's, which caused it.
    first = next((c for c in reversed(chain) if type(c).__module__ != "builtins"), chain[-1])
    # The text of some of aiohttp's errors has several lines; their `message` says what is wrong.
    text = getattr(first, "message", None) or str(first) or str(error)
    text = text.split("Traceback (most recent call last)")[0].strip().split("\n")[0]
    while matched := _OF_LITELLM.match(text):
        text = text[matched.end() :]
    return _OF_AIOHTTP.sub("", text)[:200] or type(first).__name__


def _plain(body: str) -> str:
    """The beginning of a body without HTML's tags."""
    return " ".join(re.sub(r"<[^<>]{0,200}>", " ", body[:2000]).split())[:200]


def _without_prompt(value: Any, prompt: str) -> Any:
    """The body of a request without the prompt and the seed."""
    match value:
        case str():
            return value.replace(prompt, _PROMPT)
        case list():
            return [_without_prompt(item, prompt) for item in value]
        case dict():
            return {k: _without_prompt(item, prompt) for k, item in value.items() if k != "seed"}
    return value


def _difference(first: Mapping[str, Any], sent: Mapping[str, Any]) -> str | None:
    """What differs between two requests, apart from transport and price; None if nothing does."""

    def flat(value: Any, path: str) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            return {path: value}
        inner = {k: flat(v, f"{path}.{k}".strip(".")) for k, v in value.items() if k not in _TERMS}
        return {name: item for items in inner.values() for name, item in items.items()}

    then, now = flat(first, ""), flat(sent, "")
    for name in sorted(then.keys() | now.keys()):
        if (old := then.get(name, "missing")) != (new := now.get(name, "missing")):
            return f"{name} is {json.dumps(new)[:80]} and was {json.dumps(old)[:80]}"
    return None


def _is_stream(response: Any) -> bool:
    return hasattr(response, "__aiter__")


async def _litellm_reply(response: Any, captured: wire.CapturedReply) -> tuple[Reply, Any]:
    """A reply as litellm returns it, and litellm's usage object or None.

    Reads a stream to its end. The reply is only filled if nothing of a known form is captured, by
    way of JSON, which turns NaN into null, because no record can hold a NaN.
    """
    reply, usage = Reply(), None
    if not _is_stream(response):
        if not captured.reading.recognized:
            add_event(reply, json.loads(response.model_dump_json()))
        return reply, getattr(response, "usage", None)
    async for chunk in response:
        # litellm keeps all chunks, 5 kB each, and copies the whole text at each. The first chunk
        # and the last ones have the usage, from which it computes its price.
        del response.chunks[1:-8]
        response.response_uptil_now = ""
        usage = getattr(chunk, "usage", None) or usage
        if not captured.reading.recognized:
            add_event(reply, json.loads(chunk.model_dump_json()))
            reply.model_id = getattr(chunk, "_hidden_params", {}).get("provider_response_model")
    # What the server sent; the chunks may have an invented one.
    reason = response.received_finish_reason
    reply.finish_reason = reason if isinstance(reason, str) else None
    return reply, usage


def _completion(
    reply: Reply,
    usage: Usage,
    streamed: bool,
    latency_s: float,
    litellm_cost_usd: float | None,
    raised: Exception | None,
) -> Completion:
    """The completion, from what the provider sent."""
    finish_reason = reply.blocked or reply.finish_reason
    # OpenRouter calls an end "stop" that its provider calls otherwise.
    native = reply.native_finish_reason
    if native and ending(finish_reason) == "answered" != ending(native):
        finish_reason = native
    end = ending(finish_reason)
    refused = bool(reply.refusal or reply.blocked or end == "refused")
    text, reasoning = reply.text or reply.refusal or "", reply.reasoning
    if not reasoning and (block := leading_reasoning(text)):
        reasoning, text = block
    error = None  # why it cannot be used
    if reply.error is not None:
        error = error_line(failures.error_text(reply.error))
    elif finish_reason is None and streamed:  # a whole reply of a self-hosted server may have none
        cut_off = "the reply was cut off: it has no finish reason"
        error = str(raised) if isinstance(raised, TimeoutError) else cut_off
    elif end == "broken" and not refused:
        error = f"the provider broke off: the finish reason is {error_line(str(finish_reason))}"
    elif not (text or reasoning or refused or end == "truncated") and (
        # If tokens were billed, the model itself wrote no text, so the reply is scored.
        finish_reason is None or not usage.completion_tokens
    ):
        error = "the reply holds no text, and has no finish reason"
        if not usage.completion_tokens:
            error = "the reply holds no text, and no output tokens were billed"
    return Completion(
        text=text,
        reasoning=reasoning or None,
        finish_reason=finish_reason,
        usage=usage,
        latency_s=latency_s,
        cost_litellm_usd=litellm_cost_usd if usage.raw else None,
        model_id=reply.model_id,
        provider=reply.provider,
        refused=refused,
        error=error,
        failure=MAYBE_PAID if error else None,
    )
