"""Kinds of failed requests, and what to do about each.

A failure is of one kind:

* "again": there was no answer and nothing was billed. This is a missing connection, one that was
  lost before a reply and within AT_WORK_S, status 408, 409, 425 or 429, or 5xx including
  Anthropic's 529 "overloaded". The request is retried.
* "maybe-paid": a time-out, a connection that was lost later, a stream that was cut off, a body that
  cannot be read, or an error within a 200. It may have been billed, so it is not retried without
  the user's knowledge. It is recorded as failed, with the most that it may have cost; the same
  command requests it again.
* "stop": further requests are useless until the user fixes something: a key, money, a day's quota,
  a model's name, a setting.
* "refused": the model refused, and the provider reports that as an error. It is scored.
* "failed": only this request cannot be answered, usually because its prompt is too long.

Sources, as of 2026-11: https://platform.openai.com/docs/guides/error-codes,
https://docs.claude.com/en/api/errors, https://api-docs.deepseek.com/quick_start/error_codes,
https://openrouter.ai/docs/api/reference/errors-and-debugging,
https://ai.google.dev/gemini-api/docs/troubleshooting (a quota's name says PerDay or PerMinute).
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Literal

LONGEST_WAIT_S = 300.0
# If a connection is lost after this time, the server was working on a reply: proxies drop silent
# connections after minutes, but the provider may complete the reply and bill it.
AT_WORK_S = 10.0

Ending = Literal["answered", "truncated", "refused", "broken"]
# Finish reasons, in lower case: OpenAI's, Anthropic's, Gemini's, Cohere's, Mistral's, those of
# servers such as vLLM and TGI, and those that OpenRouter passes on.
_ENDINGS: dict[str, Ending] = {
    **dict.fromkeys(("stop", "end_turn", "stop_sequence", "completed", "complete"), "answered"),
    **dict.fromkeys(
        ("eos", "eos_token", "end", "finish", "finished", "done", "normal"), "answered"
    ),
    **dict.fromkeys(("tool_calls", "tool_use", "tool_call", "function_call"), "answered"),
    **dict.fromkeys(("length", "max_tokens", "max_length", "model_length"), "truncated"),
    "context": "truncated",  # that of `hf:` models
    **dict.fromkeys(("max_output_tokens", "max_new_tokens", "max_completion_tokens"), "truncated"),
    **dict.fromkeys(("model_context_window_exceeded", "context_length_exceeded"), "truncated"),
    **dict.fromkeys(("content_filter", "content_filtered", "refusal", "sensitive"), "refused"),
    **dict.fromkeys(("safety", "prohibited_content", "blocklist", "spii"), "refused"),
    **dict.fromkeys(("recitation", "language", "guardrail_intervened", "error_toxic"), "refused"),
}


def ending(finish_reason: str | None) -> Ending:
    """How a reply ended. A reason that is not known is that of a provider that broke off."""
    return "answered" if finish_reason is None else _ENDINGS.get(finish_reason.lower(), "broken")


FailureKind = Literal["again", "maybe-paid", "stop", "refused", "failed"]


@dataclass(frozen=True)
class Failure:
    """Why there is no answer."""

    kind: FailureKind
    # for kind "stop": what is wrong, and what the user should do
    to_do: str | None = None
    # seconds that the provider asks to wait, if it does
    wait_s: float | None = None
    # whether a rate limit (429) caused it
    rate_limited: bool = False


KEY = Failure("stop", "the key is not accepted: check the environment variable that holds it")
RIGHTS = Failure("stop", "the key may not use this model: check its permissions")
MONEY = Failure("stop", "the account has no credit left: add credit at the provider")
DAY = Failure("stop", "the day's quota is used up: wait for the next day, or raise the quota")
MODEL = Failure("stop", "the server does not know this model: check its name and --api-base")
SETTING = Failure("stop", "the model does not support a setting: leave it out")
MAYBE_PAID = Failure("maybe-paid")

# Words that appear only if an account has no credit. "Exceeded your quota" can be a rate limit.
_MONEY = re.compile(
    r"insufficient_quota|billing_(hard_limit_reached|not_active|error)|credit balance"
    r"|insufficient (balance|credits)|exceeded_current_quota_error",
    re.IGNORECASE,
)
_DAY = re.compile(r"per[ _-]?day", re.IGNORECASE)
_KEY_WRONG = re.compile(
    r"api_key_invalid|invalid_api_key|api key (not valid|expired|not found)", re.IGNORECASE
)
_SETTING = re.compile(
    r"unsupported_(parameter|value)|unknown_parameter|unsupported (parameter|value)"
    r"|unrecognized request argument|extra inputs are not permitted|extra_forbidden"
    r"|does not support (the )?(parameter|setting)|unknown name",
    re.IGNORECASE,
)
_MODEL = re.compile(r"model_not_found|model not exist|not a valid model id", re.IGNORECASE)
_FLAGGED = re.compile(
    r"content_policy_violation|content_filter|invalid_prompt|moderation|flagged", re.IGNORECASE
)
_TOO_LARGE = re.compile(r"request too large", re.IGNORECASE)


def of_status(status: int, headers: Mapping[str, str], body: str, now_s: float) -> Failure:
    """The failure for an error status; `now_s` is the current time, for a date in Retry-After."""
    wait_s = retry_after_s(headers, body, now_s)
    if _MONEY.search(body):
        return MONEY
    match status:
        case 401:
            return KEY
        # OpenRouter: with a time to wait, credit is only short for the requests in flight.
        case 402:
            return MONEY if wait_s is None else _again(wait_s, rate_limited=True)
        case 403:
            return Failure("refused") if _FLAGGED.search(body) else RIGHTS
        case 404:
            return MODEL
        case 429 if _DAY.search(body):
            return DAY
        case 429 if _TOO_LARGE.search(body):
            return Failure("failed")
        case 408 | 409 | 425 | 429:
            return _again(wait_s, rate_limited=status == 429)
    if status >= 500:
        return _again(wait_s, rate_limited=False)
    for pattern, failure in (
        (_KEY_WRONG, KEY),
        (_MODEL, MODEL),
        (_SETTING, SETTING),
        (_FLAGGED, Failure("refused")),
    ):
        if pattern.search(body):
            return failure
    return Failure("failed")


def _again(wait_s: float | None, rate_limited: bool) -> Failure:
    if wait_s is not None and wait_s > LONGEST_WAIT_S:
        minutes = math.ceil(wait_s / 60)
        return Failure("stop", f"the provider asks to wait {minutes} minutes: try again after that")
    return Failure("again", wait_s=wait_s, rate_limited=rate_limited)


def retry_after_s(headers: Mapping[str, str], body: str, now_s: float) -> float | None:
    """Seconds that a reply asks to wait, from its headers (a number or a date) or Gemini's body."""
    for name, unit_s in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        try:
            return max(0.0, float(headers[name]) * unit_s)
        except (KeyError, ValueError):
            pass
    try:
        return max(0.0, parsedate_to_datetime(headers["retry-after"]).timestamp() - now_s)
    except (KeyError, ValueError):
        pass
    delay = re.search(r'"retryDelay"\s*:\s*"(\d+(?:\.\d+)?)s"', body)
    return float(delay.group(1)) if delay else None


def of_exception(error: BaseException, sent: bool, waited_s: float = 0.0) -> Failure:
    """The failure for a request without a status; `waited_s` is the time since it was sent.

    litellm wraps errors differently for each provider, but the HTTP client's own error is always at
    the end of the chain of causes.
    """
    import aiohttp
    import httpx

    chain = list(causes(error))
    # Not httpx's ConnectError, which litellm's transport also raises if a connection was reset.
    unconnected = httpx.ConnectTimeout | httpx.PoolTimeout | aiohttp.ClientConnectorError
    if any(isinstance(cause, unconnected) for cause in chain):
        return Failure("again")
    for cause in chain:
        if isinstance(cause, TimeoutError | httpx.TimeoutException):
            return MAYBE_PAID if sent else Failure("again")
        if isinstance(cause, httpx.TransportError):
            return MAYBE_PAID if sent and waited_s > AT_WORK_S else Failure("again")
    return MAYBE_PAID if sent else Failure("stop", "the request cannot be sent: correct it first")


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error, its cause, the cause of that, and so on."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def error_text(error: Any) -> str:
    """The message of a provider's error object, with its code if it has one."""
    if not isinstance(error, Mapping):
        return str(error)
    message = error.get("message") or json.dumps(error)
    metadata = error.get("metadata")
    raw = metadata.get("raw") if isinstance(metadata, Mapping) else None
    code = error.get("code") or error.get("type")
    return " ".join(str(part) for part in (code and f"{code}:", message, raw) if part)
