"""OpenAI's chat completions, as of 2026-11.

Source: https://platform.openai.com/docs/api-reference/chat (objects and chunks) and
https://platform.openai.com/docs/guides/error-codes. Reasoning is billed and never shown; the
reply has a dated model id; usage is streamed only on request, in an event without choices.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .chat import Chat
from .faults import Fault
from .model import Reply
from .provider import Problem, Request, data_line, masked


class OpenAI(Chat):
    """https://api.openai.com/v1."""

    def message(self, reply: Reply) -> dict[str, Any]:
        """A refusal is separate from the content."""
        refused = reply.finish == "refusal"
        return {
            "role": "assistant",
            "content": None if refused else reply.text,
            "refusal": reply.text if refused else None,
            "annotations": [],
        }

    def deltas(self, reply: Reply) -> Iterator[dict[str, Any]]:
        """A refusal is streamed in its own field."""
        if reply.finish == "refusal":
            yield {"role": "assistant", "content": None, "refusal": ""}
            yield {"refusal": reply.text}
        else:
            first, *rest = super().deltas(reply)
            yield first | {"refusal": None}
            yield from rest

    def finish(self, reply: Reply) -> str:
        """A refusal ends normally."""
        return "stop" if reply.finish == "refusal" else super().finish(reply)

    def usage(self, reply: Reply) -> dict[str, Any]:
        """Reasoning tokens are part of the completion tokens."""
        return super().usage(reply) | {
            "prompt_tokens_details": {"cached_tokens": reply.cached_tokens, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": reply.reasoning_tokens,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        }

    def extra(self) -> dict[str, Any]:
        """Tier and fingerprint."""
        return {"service_tier": "default", "system_fingerprint": "fp_loopback"}

    def served_model(self, request: Request) -> str:
        """The dated name."""
        return f"{request.model}-2026-11-01"

    def problem(self, fault: Fault, key: str) -> Problem:
        """Errors."""
        limit = self.error(
            "Rate limit reached for the model in organization org-1 on tokens per min (TPM): Limit "
            "30000, Used 29990, Requested 1200. Please try again in 50ms.",
            "tokens",
            "rate_limit_exceeded",
        )
        match fault:
            case "rate-limit" | "rate-limit-after":
                return Problem(429, limit, {"x-ratelimit-remaining-tokens": "0"})
            case "quota":
                message = (
                    "You exceeded your current quota, please check your plan and billing details. "
                    "For more information on this error, read the docs: "
                    "https://platform.openai.com/docs/guides/error-codes/api-errors."
                )
                return Problem(429, self.error(message, "insufficient_quota", "insufficient_quota"))
            case "wrong-key" | "expired-key":
                message = (
                    f"Incorrect API key provided: {key}. You can find your API key at "
                    "https://platform.openai.com/account/api-keys."
                )
                return Problem(401, self.error(message, "invalid_request_error", "invalid_api_key"))
            case "forbidden":
                message = f"Project `proj_1` of {masked(key)} does not have access to the model"
                return Problem(403, self.error(message, "invalid_request_error", "model_not_found"))
            case "unknown-model":
                message = "The model `x` does not exist or you do not have access to it."
                return Problem(404, self.error(message, "invalid_request_error", "model_not_found"))
            case "bad-request":
                message = "This model's maximum context length is 8192 tokens."
                return Problem(
                    400, self.error(message, "invalid_request_error", "context_length_exceeded")
                )
            case "bad-gateway":
                return self.proxy_error()
            case "unavailable" | "overloaded":
                message = "The engine is currently overloaded, please try again later"
                return Problem(503, self.error(message, "server_error"))
        return Problem(500, self.error("The server had an error", "server_error"))

    def error_event(self, fault: Fault) -> bytes:
        """An error object instead of a chunk."""
        message = "The server had an error processing your request"
        return data_line(self.error(message, "server_error"))
