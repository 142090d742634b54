"""Kinds of failed requests, and what to do about each; docs/reference/bench.md has a table.

* "again": there was no answer and nothing was billed. The request is retried.
* "maybe-paid": it may have been billed, so it is not retried without the user's knowledge. It is
  recorded as failed, with the most that it may have cost; the same command requests it again.
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
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.utils import mktime_tz, parsedate_tz
from typing import Any, Literal

# How long a provider may ask to wait, and how long a model that is only rate-limited is waited for.
LONGEST_WAIT_S = 900.0
_LONGEST_BODY = 100_000  # characters of a reply that are searched for what is wrong
# If a connection is lost or a 5xx arrives after this time, the server was working on a reply:
# proxies drop silent connections after minutes, but the provider may complete and bill the reply.
AT_WORK_S = 10.0

Ending = Literal["answered", "truncated", "refused", "broken"]
# Finish reasons, in lower case: OpenAI's, Anthropic's, Gemini's, Cohere's, Mistral's, those of
# servers such as vLLM and TGI, and those that OpenRouter passes on.
_REASONS: dict[Ending, str] = {
    "answered": "stop end_turn stop_sequence completed complete eos eos_token end finish finished "
    "done normal tool_calls tool_use tool_call function_call",
    # `context` is that of `hf:` models.
    "truncated": "length max_tokens max_length model_length context max_output_tokens "
    "max_new_tokens max_completion_tokens model_context_window_exceeded context_length_exceeded",
    "refused": "content_filter content_filtered refusal sensitive safety prohibited_content "
    "blocklist spii recitation language guardrail_intervened error_toxic",
}
_ENDINGS = {reason: end for end, reasons in _REASONS.items() for reason in reasons.split()}


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
    # whether the provider is only busy: a rate limit (429), or an overload (503, 529)
    busy: bool = False
    # whether there was no connection, because none was accepted or the host is unknown
    unconnected: bool = False


KEY = Failure("stop", "the key is not accepted: check the environment variable that holds it")
RIGHTS = Failure("stop", "the key may not use this model: check its permissions")
MONEY = Failure("stop", "the account has no credit left: add credit at the provider")
DAY = Failure("stop", "the day's quota is used up: wait for the next day, or raise the quota")
MODEL = Failure("stop", "the server does not know this model: check its name and --api-base")
SETTING = Failure("stop", "the model does not support a setting: leave it out")
MAYBE_PAID = Failure("maybe-paid")
REFUSED = Failure("refused")

# Words that appear only if an account has no credit. "Exceeded your quota" can be a rate limit.
_MONEY = re.compile(
    r"(?i)insufficient_quota|billing_(hard_limit_reached|not_active|error)|credit balance"
    r"|insufficient (balance|credits)|exceeded_current_quota_error"
)
_DAY = re.compile(r"(?i)per[ _-]?day")
_KEY_WRONG = re.compile(
    r"(?i)api_key_invalid|invalid_api_key|api key (not valid|expired|not found)"
)
_SETTING = re.compile(
    r"(?i)unsupported_(parameter|value)|unknown_parameter|unsupported (parameter|value)"
    r"|unrecognized request argument|extra inputs are not permitted|extra_forbidden"
    r"|does not support (the )?(parameter|setting)|unknown name"
)
_MODEL = re.compile(r"(?i)model_not_found|model not exist|not a valid model id")
_FLAGGED = re.compile(
    r"(?i)content_policy_violation|content_filter|invalid_prompt|moderation|flagged"
)
_DELAY = re.compile(r'"retryDelay"\s*:\s*"(\d+(?:\.\d+)?)s"')
_TOO_LARGE = re.compile(r"(?i)request too large")


def of_status(
    status: int, headers: Mapping[str, str], body: str, now_s: float, waited_s: float = 0.0
) -> Failure:
    """The failure for an error status, `waited_s` after the request; `now_s` is for Retry-After."""
    body = body[:_LONGEST_BODY]
    wait_s = retry_after_s(headers, body, now_s)
    if _MONEY.search(body):
        return MONEY
    match status:
        case 401:
            return KEY
        # OpenRouter: with a time to wait, credit is only short for the requests in flight.
        case 402:
            return MONEY if wait_s is None else _again(wait_s, busy=True)
        case 403:
            return REFUSED if _FLAGGED.search(body) else RIGHTS
        case 404:
            return MODEL
        case 429 if _DAY.search(body):
            return DAY
        case 429 if _TOO_LARGE.search(body):
            return Failure("failed")
        case 408 | 409 | 425 | 429:
            return _again(wait_s, busy=status == 429)
    if status >= 500:
        if status in (504, 524) or waited_s > AT_WORK_S:  # 504, 524: a proxy stopped waiting
            return MAYBE_PAID
        return _again(wait_s, busy=status in (503, 529))
    known = ((_KEY_WRONG, KEY), (_MODEL, MODEL), (_SETTING, SETTING), (_FLAGGED, REFUSED))
    return next((failure for words, failure in known if words.search(body)), Failure("failed"))


def _again(wait_s: float | None, busy: bool) -> Failure:
    if wait_s is not None and wait_s > LONGEST_WAIT_S:
        minutes = math.ceil(wait_s / 60)
        return Failure("stop", f"the provider asks to wait {minutes} minutes: try again after that")
    return Failure("again", wait_s=wait_s, busy=busy)


def retry_after_s(headers: Mapping[str, str], body: str, now_s: float) -> float | None:
    """Seconds that a reply asks to wait, from its headers (a number or a date) or Gemini's body.

    None if it does not ask, or if what it asks for is no time, such as Infinity.
    """
    readers: tuple[Callable[[], float], ...] = (
        lambda: float(headers["retry-after-ms"]) / 1000,
        lambda: float(headers["retry-after"]),
        lambda: mktime_tz(parsedate_tz(headers["retry-after"])) - now_s,  # type: ignore[arg-type]
        lambda: float(_DELAY.findall(body)[0]),
    )
    for read in readers:
        with suppress(Exception):  # the parser of dates raises errors of many types
            if (seconds := read()) < 1e9:
                return max(0.0, seconds)
    return None


def of_exception(error: BaseException, sent: bool, waited_s: float = 0.0) -> Failure:
    """The failure for a request without a status; `waited_s` is the time since it began.

    `sent` says whether it was seen to be sent, which shows only if it is captured. litellm wraps
    errors differently for each provider, but the HTTP client's own error is always at the end of
    the chain of causes.
    """
    import aiohttp
    import httpx

    chain = list(causes(error))
    # Not httpx's ConnectError, which litellm's transport also raises if a connection was reset.
    unconnected = httpx.ConnectTimeout | httpx.PoolTimeout | aiohttp.ClientConnectorError
    if any(isinstance(cause, unconnected) for cause in chain):
        refused = any(isinstance(cause, aiohttp.ClientConnectorError) for cause in chain)
        return Failure("again", unconnected=refused)
    for cause in chain:
        if isinstance(cause, ModuleNotFoundError) and not sent:
            return Failure("stop", f"litellm needs the module {cause.name}: install its package")
        if isinstance(cause, TimeoutError | httpx.TimeoutException):
            return MAYBE_PAID
        if isinstance(cause, httpx.TransportError):
            return MAYBE_PAID if waited_s > AT_WORK_S else Failure("again")
    return MAYBE_PAID if sent else Failure("stop", "the request cannot be sent: correct it first")


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error, its cause, the cause of that, and so on; each only once (there can be a circle)."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def error_text(error: Any) -> str:
    """The message of a provider's error object, with its code if it has one."""
    if not isinstance(error, Mapping):
        return _words(error)
    message = error.get("message") or error
    metadata = error.get("metadata")
    raw = metadata.get("raw") if isinstance(metadata, Mapping) else None
    code = error.get("code") or error.get("type")
    return " ".join(_words(part) for part in (code and f"{_words(code)}:", message, raw) if part)


def _words(value: Any) -> str:
    """A text for any value: itself, or as JSON."""
    try:
        return value if isinstance(value, str) else json.dumps(value)
    except (TypeError, ValueError, RecursionError):  # as deep as the stack, or a circle
        return "an error that cannot be shown"
