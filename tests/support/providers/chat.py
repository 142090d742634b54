"""Chat completions, as defined by OpenAI, with variants by DeepSeek and OpenRouter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from .model import Reply
from .provider import CREATED, Problem, Rejection, Request, data_line, pieces

DONE = b"data: [DONE]\n\n"


class Chat:
    """The parts of the format that all three share."""

    root = "/v1"
    key_header = "Authorization"
    key_prefix = "Bearer "
    # the comment that keeps a slow connection open; empty if none is sent
    keep_alive = b""
    finishes: Mapping[str, str] = {
        "stop": "stop",
        "length": "length",
        "refusal": "content_filter",
    }

    def read(self, path: str, body: Mapping[str, Any], id: str) -> Request:
        """Read a request."""
        if path != "/chat/completions":
            raise Rejection(404, self.error(f"Invalid URL (POST {path})", "invalid_request_error"))
        try:
            *_, message = body["messages"]
            content, model = message["content"], body["model"]
        except (KeyError, ValueError, TypeError):
            problem = self.error("you must provide a model and messages", "invalid_request_error")
            raise Rejection(400, problem) from None
        if not isinstance(content, str):
            content = "".join(part.get("text", "") for part in content)
        return Request(
            prompt=content,
            model=model,
            id=id,
            streamed=bool(body.get("stream")),
            seed=body.get("seed"),
            wants_usage=bool((body.get("stream_options") or {}).get("include_usage")),
        )

    def full_body(self, request: Request, reply: Reply) -> Mapping[str, Any]:
        """A whole reply."""
        choice = {
            "index": 0,
            "message": self.message(reply),
            "logprobs": None,
            "finish_reason": self.finish(reply),
        }
        return {
            "id": self.reply_id(request),
            "object": "chat.completion",
            "created": CREATED,
            "model": self.served_model(request),
            "choices": [choice | self.choice_extra(reply)],
            **({"usage": self.usage(reply)} if reply.tells_usage else {}),
            **self.extra(),
        }

    def events(self, request: Request, reply: Reply) -> Iterator[bytes]:
        """A streamed reply."""
        yield self.keep_alive
        # If usage is requested, every chunk has the field, and the last one has its content.
        none = {"usage": None} if request.wants_usage else {}
        for delta in self.deltas(reply):
            yield self.chunk(request, [self.choice(delta, None)], **none)
        yield self.chunk(request, [self.choice({}, self.finish(reply))], **none)
        if request.wants_usage and reply.tells_usage:
            yield self.chunk(request, [], usage=self.usage(reply))
        yield DONE

    def chunk(self, request: Request, choices: list[Any], **more: Any) -> bytes:
        """One event of a stream."""
        return data_line(
            {
                "id": self.reply_id(request),
                "object": "chat.completion.chunk",
                "created": CREATED,
                "model": self.served_model(request),
                **self.extra(),
                "choices": choices,
                **more,
            }
        )

    def choice(self, delta: Mapping[str, Any], finish: str | None) -> dict[str, Any]:
        """The one choice of an event."""
        return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}

    def deltas(self, reply: Reply) -> Iterator[dict[str, Any]]:
        """The content of the events of a stream."""
        yield {"role": "assistant", "content": ""}
        for piece in pieces(reply.text):
            yield {"content": piece}

    def empty(self, request: Request, reply: Reply) -> Reply:
        """A reply without text and without billed tokens that ends normally."""
        return replace(
            reply, text="", reasoning=None, finish="stop", reasoning_tokens=0, answer_tokens=0
        )

    def message(self, reply: Reply) -> dict[str, Any]:
        """The message of a whole reply."""
        return {"role": "assistant", "content": reply.text}

    def finish(self, reply: Reply) -> str:
        """The finish reason in the provider's words."""
        return self.finishes[reply.finish]

    def choice_extra(self, reply: Reply) -> dict[str, Any]:
        """The fields that this provider adds to a choice that has ended."""
        return {}

    def usage(self, reply: Reply) -> dict[str, Any]:
        """The usage as this provider reports it."""
        return {
            "prompt_tokens": reply.prompt_tokens,
            "completion_tokens": reply.completion_tokens,
            "total_tokens": reply.prompt_tokens + reply.completion_tokens,
        }

    def extra(self) -> dict[str, Any]:
        """The fields that this provider adds to a reply."""
        return {}

    def reply_id(self, request: Request) -> str:
        """The id of a reply."""
        return f"chatcmpl-{request.id}"

    def served_model(self, request: Request) -> str:
        """The model id in the reply."""
        return request.model

    def error(self, message: str, kind: str, code: str | None = None) -> Any:
        """The body of an error."""
        return {"error": {"message": message, "type": kind, "param": None, "code": code}}

    def proxy_error(self) -> Problem:
        """The error of a proxy in front of the provider."""
        return Problem(
            502,
            "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n"
            "<center><h1>502 Bad Gateway</h1></center>\r\n</body>\r\n</html>\r\n",
            {"Content-Type": "text/html"},
        )
