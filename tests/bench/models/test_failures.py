"""What each provider's errors mean, from their own bodies; see the sources in `failures`."""

import json
from types import SimpleNamespace
from typing import Any

import aiohttp
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tclue.bench.models.failures import (
    DAY,
    KEY,
    LONGEST_WAIT_S,
    MODEL,
    MONEY,
    RIGHTS,
    SETTING,
    causes,
    error_text,
    of_exception,
    of_status,
)
from tclue.secrets import error_line

NOW_S = 1_800_000_000.0


def gemini(quota: str, delay: str | None = None) -> dict[str, Any]:
    details: list[Any] = [{"@type": "QuotaFailure", "violations": [{"quotaId": quota}]}]
    if delay:
        details.append({"@type": "RetryInfo", "retryDelay": delay})
    message = "You exceeded your current quota, please check your plan and billing details."
    return {
        "error": {
            "code": 429,
            "message": message,
            "status": "RESOURCE_EXHAUSTED",
            "details": details,
        }
    }


def error(message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, **more}}


@pytest.mark.parametrize(
    ("status", "body", "failure"),
    [
        (401, error("Incorrect API key provided"), KEY),
        (400, error("API key not valid.", details=[{"reason": "API_KEY_INVALID"}]), KEY),
        (400, error("API key expired. Please renew the API key."), KEY),
        (403, error("no permission for this resource"), RIGHTS),
        (402, error("Insufficient Balance"), MONEY),
        (402, error("This request requires more credits"), MONEY),
        (429, error("You exceeded your current quota", code="insufficient_quota"), MONEY),
        (400, error("Your credit balance is too low to access the Anthropic API."), MONEY),
        (429, gemini("GenerateRequestsPerDayPerProjectPerModel-FreeTier", "36s"), DAY),
        (404, error("The model `x` does not exist", code="model_not_found"), MODEL),
        (400, error("Model Not Exist"), MODEL),
        (400, error("x is not a valid model ID"), MODEL),
        (400, error("Unsupported parameter: 'temperature'", code="unsupported_parameter"), SETTING),
        (400, error("Unsupported value: 'temperature'", code="unsupported_value"), SETTING),
        (400, error("seed: Extra inputs are not permitted"), SETTING),
    ],
)
def test_what_stops_a_model(status: int, body: Any, failure: Any) -> None:
    classified = of_status(status, {}, json.dumps(body), NOW_S)
    assert classified == failure
    assert classified.kind == "stop"
    assert classified.to_do


@pytest.mark.parametrize(
    ("status", "headers", "body", "wait_s", "busy"),
    [
        (429, {}, error("Rate limit reached"), None, True),
        (429, {"retry-after": "7"}, error("Rate limit reached"), 7.0, True),
        (429, {"retry-after-ms": "250", "retry-after": "1"}, error(""), 0.25, True),
        (503, {"retry-after": "Fri, 15 Jan 2027 08:00:09 GMT"}, error(""), 9.0, True),
        (503, {"retry-after": "Fri, 15 Jan 2027 08:00:09"}, error(""), 9.0, True),
        (503, {"retry-after": "Fri, 15 Jan 2027 10:00:09 +0200"}, error(""), 9.0, True),
        (503, {"retry-after": "Thu, 01 Jan 1970 00:00:00 GMT"}, error(""), 0.0, True),
        (429, {"retry-after": "Fri, 15 Jan 99999 08:00:09 GMT"}, error(""), None, True),
        (429, {"retry-after": "Infinity"}, error(""), None, True),
        (429, {"retry-after": "nan"}, error(""), None, True),
        (429, {"retry-after": "-1"}, error(""), 0.0, True),
        (429, {"retry-after": "1e400"}, error(""), None, True),
        (429, {"retry-after": "9" * 400}, error(""), None, True),
        (429, {"retry-after-ms": "inf", "retry-after": "3"}, error(""), 3.0, True),
        (429, {"retry-after": "\udcff\x00"}, error(""), None, True),
        (429, {}, gemini("PerMinute", f"{'9' * 400}s"), None, True),
        (429, {"retry-after": "soon"}, error(""), None, True),
        (429, {}, gemini("GenerateRequestsPerMinutePerProjectPerModel", "34.5s"), 34.5, True),
        # OpenRouter: money that is in flight, not money that is gone.
        (402, {"retry-after": "2"}, error("in-flight budget"), 2.0, True),
        (529, {}, error("Overloaded", type="overloaded_error"), None, True),
        (408, {}, error(""), None, False),
        (409, {}, error(""), None, False),
        (425, {}, error(""), None, False),
        (500, {}, error(""), None, False),
        (502, {}, "<html>Bad Gateway</html>", None, False),
    ],
)
def test_what_may_pass(
    status: int, headers: dict[str, str], body: Any, wait_s: float | None, busy: bool
) -> None:
    classified = of_status(status, headers, json.dumps(body), NOW_S)
    assert (classified.kind, classified.wait_s, classified.busy) == (
        "again",
        wait_s,
        busy,
    )


def test_too_long_a_wait_stops_the_model() -> None:
    classified = of_status(429, {"retry-after": "7201"}, "", NOW_S)
    assert classified.kind == "stop"
    assert "121 minutes" in (classified.to_do or "")


@pytest.mark.parametrize("status", [500, 502, 503, 504, 524, 529])
def test_a_late_5xx_may_be_paid(status: int) -> None:
    # A proxy sends 504 and 524 when a server has worked for too long.
    at_once = "maybe-paid" if status in (504, 524) else "again"
    assert of_status(status, {}, "", NOW_S, 9.9).kind == at_once
    assert of_status(status, {}, "", NOW_S, 10.1).kind == "maybe-paid"
    assert of_status(429, {}, "", NOW_S, 11.0).kind == "again"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
WAIT = st.text() | st.floats().map(str) | st.integers().map(str) | st.datetimes().map(str)
NAMES = st.sampled_from(["retry-after", "retry-after-ms"])


@given(st.integers(400, 999), st.dictionaries(NAMES, WAIT), st.text() | JSON.map(repr), st.floats())
def test_reading_a_failure_never_fails(
    status: int, headers: dict[str, str], body: str, waited_s: float
) -> None:
    failure = of_status(status, headers, body, NOW_S, waited_s)
    assert failure.wait_s is None or 0 <= failure.wait_s <= LONGEST_WAIT_S


FIELDS = st.sampled_from(["message", "metadata", "code", "type", "raw"])


@given(st.dictionaries(FIELDS, JSON) | JSON)
def test_an_error_object_is_always_a_text(error: Any) -> None:
    error_line(error_text(error))


def test_what_is_deep_or_long_or_a_circle_is_read() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    for error in (deep, {"message": deep}, {"code": deep, "message": "x"}, {"message": 10**5000}):
        assert "an error that cannot be shown" in error_text(error)
    first, second = ValueError("first"), ValueError("second")
    first.__context__, second.__context__ = second, first
    assert list(causes(first)) == [first, second]
    assert of_exception(first, sent=True).kind == "maybe-paid"
    long = "sk-0123456789 " * 4_000_000
    assert of_status(500, {}, long, NOW_S).kind == "again"
    assert "0123456789" not in error_line(long)
    assert error_line(" ") == "no message"  # an error is never empty, which would be none


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (
            400,
            error("maximum context length", code="context_length_exceeded"),
            "failed",
        ),
        (400, error("prompt is too long: 9 tokens > 8 maximum"), "failed"),
        (413, error("Request exceeds the maximum size"), "failed"),
        (429, error("Request too large for gpt-x on tokens per min (TPM)"), "failed"),
        (400, error("The response was filtered", code="content_filter"), "refused"),
        (400, error("Invalid prompt: usage policy", code="invalid_prompt"), "refused"),
        (403, error("Your input was flagged", metadata={"reasons": ["violence"]}), "refused"),
    ],
)
def test_what_concerns_one_request_alone(status: int, body: Any, kind: str) -> None:
    assert of_status(status, {}, json.dumps(body), NOW_S).kind == kind


@pytest.mark.parametrize(
    ("cause", "sent", "kind"),
    [
        (httpx.ConnectError("refused"), True, "again"),
        (httpx.ReadError("lost"), True, "again"),
        (httpx.RemoteProtocolError("lost"), True, "again"),
        (httpx.ConnectTimeout("slow"), True, "again"),
        (httpx.ReadTimeout("slow"), True, "maybe-paid"),
        (TimeoutError(), True, "maybe-paid"),
        (TimeoutError(), False, "maybe-paid"),  # without a capture, nobody knows
        (ValueError("odd"), True, "maybe-paid"),
        (ValueError("odd"), False, "stop"),
    ],
)
def test_what_never_got_a_status(cause: Exception, sent: bool, kind: str) -> None:
    wrapped = RuntimeError("litellm's own")
    wrapped.__cause__ = cause
    assert of_exception(wrapped, sent).kind == kind


def test_a_missing_package_is_named() -> None:
    # litellm asks models such as gpt-5-pro by way of a module that imports it.
    failure = of_exception(ModuleNotFoundError("No module named 'mcp'", name="mcp"), sent=False)
    assert (failure.kind, failure.to_do) == (
        "stop",
        "litellm needs the module mcp: install its package",
    )


UNREACHABLE = aiohttp.ClientConnectorError(
    SimpleNamespace(host="h", port=1, ssl=True),  # type: ignore[arg-type]
    OSError(110, "Connection timed out"),
)


@pytest.mark.parametrize(
    ("error", "cause", "kind"),
    [
        (httpx.ReadError("lost"), None, "maybe-paid"),
        # What litellm's transport makes of a connection that was reset, and of none.
        (httpx.ConnectError("reset"), aiohttp.ClientOSError(104, "reset"), "maybe-paid"),
        (httpx.ConnectError("unreachable"), UNREACHABLE, "again"),
    ],
)
def test_a_server_that_was_lost_at_work_may_be_paid(
    error: Exception, cause: Exception | None, kind: str
) -> None:
    error.__cause__ = cause
    assert of_exception(error, True, 60.0).kind == kind
    assert of_exception(error, True, 1.0).kind == "again"


def test_what_an_error_says() -> None:
    behind = {"message": "Provider returned error", "code": 502, "metadata": {"raw": "boom"}}
    assert error_text(behind) == "502: Provider returned error boom"
    assert error_text({"odd": 1}) == '{"odd": 1}'
    assert error_text("plain") == "plain"
