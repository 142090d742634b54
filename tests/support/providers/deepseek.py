"""DeepSeek's chat completions, as of 2026-11.

Source: https://api-docs.deepseek.com/api/create-chat-completion, .../quick_start/error_codes and
.../quick_start/rate_limit. Reasoning is in `reasoning_content`; usage has cache hits and misses,
and is in the last chunk with a choice; a busy server sends empty lines, or `: keep-alive` in a
stream, until it begins.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .chat import DONE, Chat
from .faults import Fault
from .model import Reply
from .provider import Problem, Request, data_line, masked, pieces


class DeepSeek(Chat):
    """https://api.deepseek.com."""

    keep_alive = b": keep-alive\n\n"

    def message(self, reply: Reply) -> dict[str, Any]:
        """Reasoning and content."""
        return super().message(reply) | (
            {"reasoning_content": reply.reasoning} if reply.reasoning is not None else {}
        )

    def deltas(self, reply: Reply) -> Iterator[dict[str, Any]]:
        """First all reasoning with null content, then the content."""
        yield {"role": "assistant", "content": "" if reply.reasoning is None else None}
        for piece in pieces(reply.reasoning or ""):
            yield {"content": None, "reasoning_content": piece}
        for piece in pieces(reply.text):
            yield {"content": piece, "reasoning_content": None}

    def events(self, request: Request, reply: Reply) -> Iterator[bytes]:
        """Usage is in the chunk that ends the choice."""
        yield self.keep_alive
        for delta in self.deltas(reply):
            yield self.chunk(request, [self.choice(delta, None)], usage=None)
        end = self.choice({"content": "", "reasoning_content": None}, self.finish(reply))
        yield self.chunk(request, [end], usage=self.usage(reply) if reply.tells_usage else None)
        yield DONE

    def usage(self, reply: Reply) -> dict[str, Any]:
        """Hits and misses add up to the prompt."""
        return super().usage(reply) | {
            "prompt_tokens_details": {"cached_tokens": reply.cached_tokens},
            "completion_tokens_details": {"reasoning_tokens": reply.reasoning_tokens},
            "prompt_cache_hit_tokens": reply.cached_tokens,
            "prompt_cache_miss_tokens": reply.prompt_tokens - reply.cached_tokens,
        }

    def extra(self) -> dict[str, Any]:
        """A fingerprint."""
        return {"system_fingerprint": "fp_loopback_prod"}

    def reply_id(self, request: Request) -> str:
        """A bare id."""
        return request.id

    def problem(self, fault: Fault, key: str) -> Problem:
        """Errors."""
        invalid = "invalid_request_error"
        match fault:
            case "rate-limit" | "rate-limit-after":
                message = "Rate limit reached"
                return Problem(429, self.error(message, "rate_limit_error", "rate_limit_error"))
            case "quota":
                return Problem(402, self.error("Insufficient Balance", "unknown_error", invalid))
            case "wrong-key" | "expired-key":
                message = f"Authentication Fails, Your api key: {masked(key)} is invalid"
                return Problem(401, self.error(message, "authentication_error", invalid))
            case "forbidden":
                return Problem(403, self.error("Permission denied", "permission_error", invalid))
            case "unknown-model":
                return Problem(400, self.error("Model Not Exist", invalid, invalid))
            case "bad-request":
                message = "This model's maximum context length is 65536 tokens."
                return Problem(400, self.error(message, invalid, invalid))
            case "bad-gateway":
                return self.proxy_error()
            case "unavailable" | "overloaded":
                message = "Service is too busy. We advise users to temporarily switch"
                return Problem(503, self.error(message, "service_unavailable_error"))
        return Problem(500, self.error("Internal Server Error", "internal_error"))

    def error_event(self, fault: Fault) -> bytes:
        """An error object in place of a chunk."""
        return data_line(self.error("Internal Server Error", "internal_error"))
