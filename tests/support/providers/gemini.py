"""Gemini's generateContent and streamGenerateContent, as of 2026-11.

Source: https://ai.google.dev/api/generate-content and
https://ai.google.dev/gemini-api/docs/troubleshooting. `candidatesTokenCount` excludes the
thoughts, which have their own count; every event of a stream has the usage so far; a stream ends
with its last event, without an end mark; a wrong key is a 400; a rate limit and a used-up quota are
both a 429 and RESOURCE_EXHAUSTED, and differ in the quota's name and the delay.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from .faults import Fault
from .model import Reply
from .provider import Problem, Rejection, Request, data_line, pieces

_FINISHES = {"stop": "STOP", "length": "MAX_TOKENS", "refusal": "SAFETY"}


class Gemini:
    """https://generativelanguage.googleapis.com/v1beta."""

    root = "/v1beta"
    key_header = "x-goog-api-key"
    key_prefix = ""

    def read(self, path: str, body: Mapping[str, Any], id: str) -> Request:
        """Read a request. Model and method are in the path."""
        model, _, method = path.removeprefix("/models/").partition(":")
        if method not in ("generateContent", "streamGenerateContent"):
            raise Rejection(404, _error(404, "NOT_FOUND", f"{path} is not found"))
        try:
            *_, content = body["contents"]
            prompt = "".join(part["text"] for part in content["parts"])
        except (KeyError, ValueError, TypeError):
            message = "* GenerateContentRequest.contents: contents is not specified"
            raise Rejection(400, _error(400, "INVALID_ARGUMENT", message)) from None
        seed = (body.get("generationConfig") or {}).get("seed")
        return Request(prompt, model, id, method == "streamGenerateContent", seed)

    def full_body(self, request: Request, reply: Reply) -> Mapping[str, Any]:
        """A whole reply."""
        parts: list[dict[str, Any]] = []
        if reply.reasoning is not None:
            parts.append({"text": reply.reasoning, "thought": True})
        if reply.text and reply.finish != "refusal":
            parts.append({"text": reply.text})
        return self._response(request, reply, parts, last=True)

    def events(self, request: Request, reply: Reply) -> Iterator[bytes]:
        """A streamed reply, in which each event is a complete response object."""
        for piece in pieces(reply.reasoning or ""):
            part = {"text": piece, "thought": True}
            yield data_line(self._response(request, reply, [part], last=False))
        for piece in pieces(reply.text if reply.finish != "refusal" else ""):
            yield data_line(self._response(request, reply, [{"text": piece}], last=False))
        yield data_line(self._response(request, reply, [{"text": ""}], last=True))

    def empty(self, request: Request, reply: Reply) -> Reply:
        """A candidate without parts that ends normally."""
        return replace(
            reply, text="", reasoning=None, finish="stop", reasoning_tokens=0, answer_tokens=0
        )

    def problem(self, fault: Fault, key: str) -> Problem:
        """Errors."""
        match fault:
            case "rate-limit":
                return _limited("GenerateRequestsPerMinutePerProjectPerModel", None)
            case "rate-limit-after":
                return _limited("GenerateRequestsPerMinutePerProjectPerModel", "0.05s")
            case "quota":
                return _limited("GenerateRequestsPerDayPerProjectPerModel-FreeTier", "40000s")
            case "wrong-key":
                message = "API key not valid. Please pass a valid API key."
                return Problem(400, _error(400, "INVALID_ARGUMENT", message, _KEY_INVALID))
            case "expired-key":
                message = "API key expired. Please renew the API key."
                return Problem(400, _error(400, "INVALID_ARGUMENT", message, _KEY_INVALID))
            case "forbidden":
                message = "Your API key was reported as leaked. Please use another API key."
                return Problem(403, _error(403, "PERMISSION_DENIED", message))
            case "unknown-model":
                message = "models/x is not found for API version v1beta"
                return Problem(404, _error(404, "NOT_FOUND", message))
            case "bad-request":
                message = "The input token count exceeds the maximum number of tokens allowed"
                return Problem(400, _error(400, "INVALID_ARGUMENT", message))
            case "bad-gateway":
                return Problem(502, "<html>Bad Gateway</html>", {"Content-Type": "text/html"})
            case "unavailable" | "overloaded":
                message = "The model is overloaded. Please try again later."
                return Problem(503, _error(503, "UNAVAILABLE", message))
        return Problem(500, _error(500, "INTERNAL", "An internal error has occurred."))

    def error_event(self, fault: Fault) -> bytes:
        """An error object instead of a response."""
        message = "The model is overloaded. Please try again later."
        return data_line(_error(503, "UNAVAILABLE", message))

    def _response(
        self, request: Request, reply: Reply, parts: list[dict[str, Any]], last: bool
    ) -> dict[str, Any]:
        content = {"parts": parts, "role": "model"} if parts else {"role": "model"}
        candidate: dict[str, Any] = {"content": content, "index": 0}
        if last:
            candidate["finishReason"] = _FINISHES[reply.finish]
        usage: dict[str, Any] = {
            "promptTokenCount": reply.prompt_tokens,
            "totalTokenCount": reply.prompt_tokens + reply.completion_tokens,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": reply.prompt_tokens}],
        }
        # Fields that are 0 are left out, as always in Google's JSON.
        if reply.cached_tokens:
            usage["cachedContentTokenCount"] = reply.cached_tokens
            details = [{"modality": "TEXT", "tokenCount": reply.cached_tokens}]
            usage["cacheTokensDetails"] = details
        if reply.answer_tokens and last:
            usage["candidatesTokenCount"] = reply.answer_tokens
        if reply.reasoning_tokens:
            usage["thoughtsTokenCount"] = reply.reasoning_tokens
        return {
            "candidates": [candidate],
            **({"usageMetadata": usage} if reply.tells_usage else {}),
            "modelVersion": request.model,
            "responseId": request.id,
        }


def _error(code: int, status: str, message: str, *details: Any) -> Any:
    error = {"code": code, "message": message, "status": status}
    return {"error": error | ({"details": list(details)} if details else {})}


_KEY_INVALID = {
    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
    "reason": "API_KEY_INVALID",
    "domain": "googleapis.com",
    "metadata": {"service": "generativelanguage.googleapis.com"},
}


def _limited(quota: str, delay: str | None) -> Problem:
    violation = {
        "quotaMetric": "generativelanguage.googleapis.com/generate_requests",
        "quotaId": quota,
        "quotaDimensions": {"location": "global", "model": "x"},
        "quotaValue": "250",
    }
    failure = {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [violation]}
    info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}
    message = (
        "You exceeded your current quota, please check your plan and billing details. For more "
        "information on this error, head to: https://ai.google.dev/gemini-api/docs/rate-limits."
    )
    details = [failure, *([info] if delay else [])]
    return Problem(429, _error(429, "RESOURCE_EXHAUSTED", message, *details))
