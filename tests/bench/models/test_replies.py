"""Replies in the four forms, whole and streamed: what the providers' own replies, which
test_provider_replies has, do not contain."""

import json
from typing import Any

import pytest

from tclue.bench.models.replies import Reply, ReplyReader


def sse(*events: Any) -> bytes:
    return b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)


def body(value: Any) -> bytes:
    return json.dumps(value).encode()


def choice(**more: Any) -> dict[str, Any]:
    return {"model": "m-1", "choices": [{"index": 0, "finish_reason": None, **more}]}


def message(content: Any, **more: Any) -> dict[str, Any]:
    return choice(message={"content": content, **more}, finish_reason="stop")


def reading(data: bytes, size: int | None = None) -> ReplyReader:
    reader = ReplyReader()
    for start in range(0, len(data), size or max(1, len(data))):
        reader.feed(data[start : start + (size or len(data))])
    reader.finish()
    return reader


def read(data: bytes) -> Reply:
    reader = reading(data)
    assert reader.recognized
    return reader.reply


@pytest.mark.parametrize(
    "rubbish",
    [
        b"",
        b"<html>",
        b"[1, 2]",
        b"data: hello\n\n",
        b'{"hello": 1}',
        b"\x00\xff",
        b"data: [DONE]",
        b'{"choices": [',
        b'{"choices": 5}',
        b"[" * 100_000,
    ],
)
def test_what_has_none_of_the_forms(rubbish: bytes) -> None:
    assert not reading(rubbish).recognized


@pytest.mark.parametrize(
    "odd",
    [
        b'{"choices": [{"index": 0, "delta": {"content": "b"}, "logprob": -Infinity}]}',
        b'{"choices": [{"index": 0, "delta": {"content": "b"}}], "usage": {"cost": NaN}}',
        b'{"choices": [{"index": "0", "delta": {"content": "b"}}], "x": 1e999}',
        b'{"choices": [{"delta": {"content": "b"}, "x": "a\tb\x01"}]}',
        b'{"choices": [{"delta": {"content": "b"}, "x": "\xe2\x82"}]}',
    ],
)
def test_no_piece_of_a_stream_is_lost(odd: bytes) -> None:
    events = sse(choice(delta={"content": "a"})), b"data: " + odd + b"\n\n"
    reply = read(b"".join(events) + sse(choice(delta={"content": "c"}, finish_reason="stop")))
    assert (reply.text, reply.error) == ("abc", None)
    json.dumps(reply.usage, allow_nan=False)


def test_a_piece_that_cannot_be_read_is_an_error() -> None:
    end = sse(choice(delta={"content": "c"}, finish_reason="stop"))
    assert read(b'data: {"choices": [{"delta": {"con\n\n' + end).error
    assert read(b"data: ping\n\n" + end).error is None


@pytest.mark.parametrize(
    "fields",
    [
        {"choices": []},
        {"choices": [5]},
        {"choices": [{"message": "x", "finish_reason": 5}], "model": 7, "usage": "many"},
        {"choices": [{"message": {"content": "", "refusal": 7}}], "model": ["m"], "provider": 3},
        {"choices": [{"message": {"content": [5, None, {"text": 3}]}}], "service_tier": {}},
        {"candidates": []},
        {"candidates": [None], "usageMetadata": None},
        {"candidates": [{"content": {"parts": "x"}}]},
        {"type": "message", "stop_reason": ["x"], "usage": 3, "content": [7]},
        {"object": "response", "output": [3, {"content": None}], "usage": []},
    ],
)
def test_odd_fields_are_unknown(fields: dict[str, Any]) -> None:
    reply = read(body(fields))
    assert (reply.finish_reason, reply.model_id, reply.usage) == (None, None, {})
    assert (reply.refusal, reply.provider, reply.service_tier) == (None, None, None)


PARTS = [
    {"type": "thinking", "thinking": [{"type": "text", "text": "h"}]},  # Mistral
    {"type": "reasoning", "text": "m"},
    {"type": "text", "text": "A. "},
    {"type": "output_text", "text": "x"},
    {"type": "image_url", "image_url": {"url": "data:"}},
]


@pytest.mark.parametrize(
    ("data", "text", "reasoning"),
    [
        (body(message("A. x", reasoning_content="hm")), "A. x", "hm"),
        (body(message("A. x", reasoning="hm")), "A. x", "hm"),
        (body(message(PARTS)), "A. x", "hm"),
        (body(message(["A. ", "x"])), "A. x", ""),
        (
            sse(choice(delta={"content": PARTS[:3]}), choice(delta={"content": PARTS[3:]})),
            "A. x",
            "hm",
        ),
        # OpenRouter repeats the reasoning in its details.
        (
            body(message("x", reasoning="hm", reasoning_details=[{"text": "hm"}])),
            "x",
            "hm",
        ),
        (
            body(message("x", reasoning_details=[{"text": "h"}, {"summary": "m"}, {"data": 1}])),
            "x",
            "hm",
        ),
        (body(message("x", thinking="hm")), "x", "hm"),
        (body(choice(text="A. x", finish_reason="stop")), "A. x", ""),
        # a whole JSON body, in answer to a request for a stream; events in answer to another
        (body([choice(delta={"content": "A. "}), choice(delta={"content": "x"})]), "A. x", ""),
        (sse(message("A. x")), "A. x", ""),
        # a last event that repeats the whole message
        (sse(choice(delta={"content": "A. "}), message("A. x")), "A. x", ""),
    ],
)
def test_text_and_reasoning_in_every_known_place(data: bytes, text: str, reasoning: str) -> None:
    reply = read(data)
    assert (reply.text, reply.reasoning) == (text, reasoning)


@pytest.mark.parametrize("wrap", [lambda m: {"message": m}, lambda m: {"delta": m}])
def test_of_several_choices_index_0_counts(wrap: Any) -> None:
    choices = [
        {"index": 1, "finish_reason": "length", **wrap({"content": "B. wrong"})},
        {"index": 0, "finish_reason": "stop", **wrap({"content": "A. right"})},
    ]
    whole = read(body({"choices": choices}))
    apart = read(sse(*({"choices": [one]} for one in choices), {"choices": [choices[0]]}))
    for reply in (whole, apart):
        assert (reply.text, reply.finish_reason) == ("A. right", "stop")
    gemini = [
        {"index": i, "finishReason": reason, "content": {"parts": [{"text": reason}]}}
        for i, reason in ((1, "MAX_TOKENS"), (0, "STOP"))
    ]
    assert read(body({"candidates": gemini})).text == "STOP"


def test_content_of_an_unknown_form_is_an_error() -> None:
    assert read(body(message(5))).error
    assert read(body(message({"text": "x"}))).error


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_a_stream_in_pieces_of_any_size(size: int, line_end: bytes) -> None:
    events = [choice(delta={"content": piece}) for piece in ("A. ", "é", "x")]
    events.append(choice(delta={}, finish_reason="stop") | {"usage": {"prompt_tokens": 3}})
    lines = [b": comment", b"event: message", b"id: 7"]
    for event in events:
        # An event may have several data lines: they are joined by a line break.
        lines += [b"data: " + line.encode() for line in json.dumps(event, indent=1).split("\n")]
        lines.append(b"")
    reader = reading(line_end.join([*lines, b"data: [DONE]", b""]), size)
    assert reader.streamed
    assert (reader.reply.text, reader.reply.finish_reason) == ("A. éx", "stop")
    assert reader.reply.usage == {"prompt_tokens": 3}


def test_a_stream_without_empty_lines_and_with_rubbish() -> None:
    events = [body(choice(delta={"content": piece})) for piece in ("A. ", "x")]
    data = b"data: " + b"\ndata: hello\ndata: ".join(events) + b"\ndata: [DONE]"
    assert read(data).text == "A. x"


def test_of_a_long_stream_only_the_reply_is_kept() -> None:
    reader = ReplyReader()
    for i in range(3000):
        reader.feed(sse(choice(delta={"content": f"piece {i} "}) | {"padding": "y" * 300}))
    assert len(reader.reply.text) > 30_000
    assert not reader.body()


def test_a_refusal_in_pieces() -> None:
    pieces = [choice(delta={"refusal": piece}) for piece in ("I will", " not")]
    reply = read(sse(*pieces, choice(delta={}, finish_reason="stop")))
    assert (reply.refusal, reply.finish_reason) == ("I will not", "stop")
    assert read(body(message([{"type": "refusal", "refusal": "no"}]))).refusal == "no"


def test_an_error_beside_a_choice_and_one_within() -> None:
    ended = choice(delta={}, finish_reason="error")
    beside = read(sse(choice(delta={"content": "A"}), {**ended, "error": {"message": "gone"}}))
    within = read(body(choice(message={"content": "A"}, error={"code": 502, "message": "gone"})))
    for reply in (beside, within):
        assert reply.error is not None
        assert reply.error["message"] == "gone"
    assert beside.finish_reason == "error"


def test_an_error_in_the_place_of_a_reply() -> None:
    for error in ({"error": {"message": "x"}}, [{"error": {"message": "x"}}], {"error": "x"}):
        assert read(body(error)).error == {"message": "x"}


def test_a_prompt_that_gemini_blocks() -> None:
    blocked = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "modelVersion": "g"}
    reply = read(body(blocked | {"usageMetadata": {"promptTokenCount": 7}}))
    assert (reply.blocked, reply.finish_reason, reply.model_id) == ("PROHIBITED_CONTENT", None, "g")
    assert reply.usage == {"promptTokenCount": 7}


def test_what_an_anthropic_stream_tells_at_its_start_and_at_its_end() -> None:
    start = {"model": "claude", "usage": {"input_tokens": 9, "output_tokens": 1}}
    events = [{"type": "message_start", "message": start}, {"type": "ping"}]
    cut = read(sse(*events))
    assert (cut.finish_reason, cut.usage["input_tokens"]) == (None, 9)
    delta = {"stop_reason": "model_context_window_exceeded"}
    events.append({"type": "message_delta", "delta": delta, "usage": {"output_tokens": 70}})
    reply = read(sse(*events))
    assert reply.finish_reason == "model_context_window_exceeded"
    assert reply.usage == {"input_tokens": 9, "output_tokens": 70}


def response(status: str, **more: Any) -> dict[str, Any]:
    """A reply in OpenAI's Responses form."""
    output = [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
        {"type": "message", "content": [{"type": "output_text", "text": "A. x"}]},
    ]
    usage = {"input_tokens": 3, "output_tokens": 5, "input_tokens_details": {"cached_tokens": 0}}
    fields = {"object": "response", "status": status, "model": "o", "output": output}
    return {**fields, "usage": usage, "service_tier": "flex", **more}


@pytest.mark.parametrize("streamed", [False, True])
def test_the_responses_form(streamed: bool) -> None:
    cut = response("incomplete", incomplete_details={"reason": "max_output_tokens"})
    for last, reason in ((response("completed"), "completed"), (cut, "max_output_tokens")):
        events = [
            {"type": "response.created", "response": response("in_progress")},
            {"type": "response.output_text.delta", "delta": "A. "},
            {"type": f"response.{last['status']}", "response": last},
        ]
        reply = read(sse(*events) if streamed else body(last))
        assert (reply.text, reply.reasoning, reply.finish_reason) == ("A. x", "hm", reason)
        assert (reply.usage["output_tokens"], reply.service_tier) == (5, "flex")
    failed = response("failed", error={"code": "server_error", "message": "boom"})
    assert read(body(failed)).error == {"code": "server_error", "message": "boom"}
