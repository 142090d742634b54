"""Anthropic's messages, as of 2026-11.

Source: https://docs.claude.com/en/api/messages, .../messages-streaming, .../errors and
.../build-with-claude/prompt-caching. `input_tokens` excludes tokens that were read from a cache
or written to one; `output_tokens` includes thinking; a stream has the prompt's tokens at its start
and the rest at its end; a streamed error is an event of that name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from .faults import Fault
from .model import Reply
from .provider import Problem, Rejection, Request, compact, pieces

_STOPS = {"stop": "end_turn", "length": "max_tokens", "refusal": "refusal"}
_LEAST_BUDGET = 1024
SIGNATURE = "EqQBCgIYAhIkbG9vcGJhY2s="


class Anthropic:
    """https://api.anthropic.com."""

    root = ""
    key_header = "x-api-key"
    key_prefix = ""

    def read(self, path: str, body: Mapping[str, Any], id: str) -> Request:
        """Read a request, and check the thinking settings as strictly as Anthropic does."""
        if path != "/v1/messages":
            raise Rejection(404, self._error("not_found_error", "Not Found"))
        limit, thinking = body.get("max_tokens"), body.get("thinking") or {}
        budget = thinking.get("budget_tokens", 0) if thinking.get("type") == "enabled" else None
        if not isinstance(limit, int):
            raise self._invalid("max_tokens: Field required")
        if "seed" in body:
            raise self._invalid("seed: Extra inputs are not permitted")
        if budget is not None and budget < _LEAST_BUDGET:
            raise self._invalid("thinking.enabled.budget_tokens: should be at least 1024")
        if budget is not None and budget >= limit:
            raise self._invalid("`max_tokens` must be greater than `thinking.budget_tokens`")
        if budget is not None and body.get("temperature", 1) != 1:
            raise self._invalid("`temperature` may only be set to 1 when thinking is enabled")
        try:
            *_, message = body["messages"]
            content, model = message["content"], body["model"]
        except (KeyError, ValueError, TypeError):
            raise self._invalid("messages: Field required") from None
        if not isinstance(content, str):
            content = "".join(part.get("text", "") for part in content)
        return Request(content, model, id, bool(body.get("stream")), wants_usage=True)

    def full_body(self, request: Request, reply: Reply) -> Mapping[str, Any]:
        """A whole reply."""
        content: list[dict[str, Any]] = []
        if reply.reasoning is not None:
            content.append(
                {"type": "thinking", "thinking": reply.reasoning, "signature": SIGNATURE}
            )
        if reply.text:
            content.append({"type": "text", "text": reply.text})
        return {
            "id": f"msg_{request.id}",
            "type": "message",
            "role": "assistant",
            "model": request.model,
            "content": content,
            "stop_reason": _STOPS[reply.finish],
            "stop_sequence": None,
            **(
                {"usage": self._prompt(reply) | {"output_tokens": reply.completion_tokens}}
                if reply.tells_usage
                else {}
            ),
        }

    def events(self, request: Request, reply: Reply) -> Iterator[bytes]:
        """A streamed reply: a message, its blocks, its end."""
        message = {**self.full_body(request, replace(reply, text="", reasoning=None))}
        message["stop_reason"] = None
        if reply.tells_usage:
            message["usage"] = self._prompt(reply) | {
                "output_tokens": min(1, reply.completion_tokens)
            }
        yield _event("message_start", message=message)
        index = -1
        if reply.reasoning is not None:
            index += 1
            block = {"type": "thinking", "thinking": "", "signature": ""}
            yield _event("content_block_start", index=index, content_block=block)
            yield _event("ping")
            for piece in pieces(reply.reasoning):
                yield _delta(index, "thinking_delta", thinking=piece)
            yield _delta(index, "signature_delta", signature=SIGNATURE)
            yield _event("content_block_stop", index=index)
        if reply.text:
            index += 1
            block = {"type": "text", "text": ""}
            yield _event("content_block_start", index=index, content_block=block)
            yield _event("ping")
            for piece in pieces(reply.text):
                yield _delta(index, "text_delta", text=piece)
            yield _event("content_block_stop", index=index)
        delta = {"stop_reason": _STOPS[reply.finish], "stop_sequence": None}
        usage = {
            "input_tokens": self._prompt(reply)["input_tokens"],
            "cache_creation_input_tokens": self._prompt(reply)["cache_creation_input_tokens"],
            "cache_read_input_tokens": reply.cached_tokens,
            "output_tokens": reply.completion_tokens,
        }
        yield _event(
            "message_delta", delta=delta, **({"usage": usage} if reply.tells_usage else {})
        )
        yield _event("message_stop")

    def empty(self, request: Request, reply: Reply) -> Reply:
        """A reply without blocks that ends normally."""
        return replace(
            reply, text="", reasoning=None, finish="stop", reasoning_tokens=0, answer_tokens=0
        )

    def problem(self, fault: Fault, key: str) -> Problem:
        """Errors."""
        match fault:
            case "rate-limit" | "rate-limit-after":
                message = "This request would exceed your organization's rate limit"
                return self._problem(429, "rate_limit_error", message)
            case "quota":
                message = (
                    "Your credit balance is too low to access the Anthropic API. Please go to "
                    "Plans & Billing to upgrade or purchase credits."
                )
                return self._problem(400, "invalid_request_error", message)
            case "wrong-key" | "expired-key":
                return self._problem(401, "authentication_error", "invalid x-api-key")
            case "forbidden":
                return self._problem(403, "permission_error", "no permission for this resource")
            case "unknown-model":
                return self._problem(404, "not_found_error", "model: x")
            case "bad-request":
                return self._problem(400, "invalid_request_error", "prompt is too long")
            case "bad-gateway":
                return Problem(502, "<html>Bad Gateway</html>", {"Content-Type": "text/html"})
            case "unavailable":
                return self._problem(503, "api_error", "Service Unavailable")
            case "overloaded":
                return self._problem(529, "overloaded_error", "Overloaded")
        return self._problem(500, "api_error", "Internal server error")

    def error_event(self, fault: Fault) -> bytes:
        """The event `error`."""
        return _event("error", error={"type": "overloaded_error", "message": "Overloaded"})

    def _prompt(self, reply: Reply) -> dict[str, Any]:
        five, hour = reply.cache_write_5m_tokens, reply.cache_write_1h_tokens
        return {
            "input_tokens": reply.prompt_tokens - reply.cached_tokens - five - hour,
            "cache_creation_input_tokens": five + hour,
            "cache_read_input_tokens": reply.cached_tokens,
            "cache_creation": {
                "ephemeral_5m_input_tokens": five,
                "ephemeral_1h_input_tokens": hour,
            },
            "service_tier": "standard",
        }

    def _error(self, kind: str, message: str) -> Any:
        error = {"type": kind, "message": message}
        return {"type": "error", "error": error, "request_id": "req_1"}

    def _problem(self, status: int, kind: str, message: str) -> Problem:
        return Problem(status, self._error(kind, message), {"request-id": "req_1"})

    def _invalid(self, message: str) -> Rejection:
        return Rejection(400, self._error("invalid_request_error", message))


def _event(name: str, **data: Any) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + compact({"type": name, **data}) + b"\n\n"


def _delta(index: int, kind: str, **data: str) -> bytes:
    return _event("content_block_delta", index=index, delta={"type": kind, **data})
