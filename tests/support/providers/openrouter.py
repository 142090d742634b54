"""OpenRouter's chat completions, as of 2026-11.

Source: https://openrouter.ai/docs/api-reference/overview, .../streaming, .../errors and
https://openrouter.ai/docs/use-cases/usage-accounting. It adds `reasoning` with its details, the
provider's own finish reason, dollars in the usage, comments in a stream, and errors of the provider
behind it in a reply with status 200.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .chat import DONE, Chat
from .faults import Fault
from .model import Reply
from .provider import Problem, Request, data_line, masked, pieces

# Dollars per million tokens, for `usage.cost`.
PROMPT_USD, CACHED_USD, COMPLETION_USD = 0.5, 0.1, 2.0


def cost_usd(reply: Reply) -> float:
    """The cost of a reply."""
    return (
        (reply.prompt_tokens - reply.cached_tokens) * PROMPT_USD
        + reply.cached_tokens * CACHED_USD
        + reply.completion_tokens * COMPLETION_USD
    ) / 1e6


class OpenRouter(Chat):
    """https://openrouter.ai/api/v1."""

    root = "/api/v1"
    keep_alive = b": OPENROUTER PROCESSING\n\n"

    def message(self, reply: Reply) -> dict[str, Any]:
        """Reasoning as text and as blocks."""
        refused = reply.finish == "refusal"
        return {
            "role": "assistant",
            "content": reply.text,
            "refusal": reply.text if refused else None,
            "reasoning": reply.reasoning,
            **({"reasoning_details": self._details(reply.reasoning)} if reply.reasoning else {}),
        }

    def deltas(self, reply: Reply) -> Iterator[dict[str, Any]]:
        """Each with its role, as OpenRouter sends them."""
        for piece in pieces(reply.reasoning or ""):
            yield {
                "role": "assistant",
                "content": "",
                "reasoning": piece,
                "reasoning_details": self._details(piece),
            }
        for piece in pieces(reply.text):
            yield {"role": "assistant", "content": piece}

    def events(self, request: Request, reply: Reply) -> Iterator[bytes]:
        """The event with the usage still has a choice. Usage is sent without a request for it."""
        yield self.keep_alive
        for delta in self.deltas(reply):
            yield self.chunk(request, [self.choice(delta, None)])
        end = {"role": "assistant", "content": ""}
        yield self.chunk(request, [self.choice(end, self.finish(reply)) | self.choice_extra(reply)])
        yield self.keep_alive
        if reply.tells_usage:
            last = self.choice(end, None) | {"native_finish_reason": None}
            yield self.chunk(request, [last], usage=self.usage(reply))
        yield DONE

    def choice_extra(self, reply: Reply) -> dict[str, Any]:
        """The finish reason of the provider behind it."""
        return {"native_finish_reason": "completed" if reply.finish == "stop" else reply.finish}

    def usage(self, reply: Reply) -> dict[str, Any]:
        """Tokens, and dollars."""
        cost = cost_usd(reply)
        return super().usage(reply) | {
            "cost": cost,
            "is_byok": False,
            "prompt_tokens_details": {"cached_tokens": reply.cached_tokens, "audio_tokens": 0},
            "cost_details": {"upstream_inference_cost": cost},
            "completion_tokens_details": {
                "reasoning_tokens": reply.reasoning_tokens,
                "image_tokens": 0,
            },
        }

    def extra(self) -> dict[str, Any]:
        """The provider that answered."""
        return {"provider": "Loopback"}

    def reply_id(self, request: Request) -> str:
        """The id of the generation."""
        return f"gen-{request.id}"

    def error(self, message: str, kind: str, code: str | None = None, status: int = 400) -> Any:
        """The body of an error: the code is the status."""
        return {"error": {"message": message, "code": status}, "user_id": "user_1"}

    def problem(self, fault: Fault, key: str) -> Problem:
        """Errors."""
        match fault:
            case "rate-limit" | "rate-limit-after":
                return self._upstream(429, "x is temporarily rate-limited upstream. Please retry")
            case "quota":
                message = (
                    "Insufficient credits. Add more using https://openrouter.ai/settings/credits"
                )
                return self._own(402, message)
            case "wrong-key":
                return self._own(401, f"User not found for {masked(key)}.")
            case "expired-key":
                return self._own(401, "API key expired.")
            case "forbidden":
                return self._own(403, "This key may not use the model.")
            case "unknown-model":
                return self._own(404, "No endpoints found for x.")
            case "bad-request":
                return self._upstream(400, "maximum context length is 8192 tokens")
            case "bad-gateway":
                return self._upstream(502, "<html>502 Bad Gateway</html>")
            case "unavailable" | "overloaded":
                return self._own(503, "There is no available model provider that meets your needs.")
            case "error-in-200":
                return Problem(200, self._upstream(502, "upstream connect error").body)
        return self._own(500, "Internal Server Error")

    def error_event(self, fault: Fault) -> bytes:
        """An error together with a choice that ended with an error."""
        end = {
            "index": 0,
            "delta": {"role": "assistant", "content": ""},
            "finish_reason": "error",
            "native_finish_reason": "error",
        }
        return data_line(
            {
                "id": "gen-failed",
                "object": "chat.completion.chunk",
                "provider": "Loopback",
                "model": "x",
                "created": 1,
                "error": {"code": 502, "message": "Provider disconnected"},
                "choices": [end],
            }
        )

    def _details(self, text: str) -> list[dict[str, Any]]:
        return [{"type": "reasoning.text", "text": text, "format": "unknown", "index": 0}]

    def _own(self, status: int, message: str) -> Problem:
        return Problem(status, self.error(message, "", status=status))

    def _upstream(self, status: int, raw: str) -> Problem:
        error = {
            "message": "Provider returned error",
            "code": status,
            "metadata": {"raw": raw, "provider_name": "Loopback", "is_byok": False},
        }
        return Problem(status, {"error": error, "user_id": "user_1"})
