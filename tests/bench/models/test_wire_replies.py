"""The facts of replies in the three forms, whole and streamed. The providers' own are in
test_providers, through the whole of bench; here is what those do not send."""

import json
from typing import Any

import pytest

from tclue.bench.models.wire import read


def sse(*events: Any) -> bytes:
    return b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)


def body(value: Any) -> bytes:
    return json.dumps(value).encode()


def choice(**more: Any) -> dict[str, Any]:
    return {"model": "m-1", "choices": [{"index": 0, "finish_reason": None, **more}]}


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
        b'{"choices": [], "usage": {"cost": NaN}}',
        b'{"choices": [], "usage": {"cost": 1e999}}',
    ],
)
def test_what_has_none_of_the_forms(rubbish: bytes) -> None:
    assert read(rubbish) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"choices": []},
        {"choices": [5]},
        {"choices": [{"message": "x", "finish_reason": 5}], "model": 7, "usage": "many"},
        {"candidates": []},
        {"candidates": [None], "usageMetadata": None},
        {"type": "message", "stop_reason": ["x"], "usage": 3},
    ],
)
def test_odd_fields_are_unknown(fields: dict[str, Any]) -> None:
    facts = read(body(fields))
    assert facts is not None
    assert (facts.finish_reason, facts.model_id, facts.usage) == (None, None, {})


def test_a_refusal_in_pieces() -> None:
    pieces = [choice(delta={"refusal": piece}) for piece in ("I will", " not")]
    facts = read(sse(*pieces, choice(delta={}, finish_reason="stop")))
    assert facts is not None
    assert (facts.refusal, facts.finish_reason) == ("I will not", "stop")


def test_an_error_beside_a_choice_and_one_within() -> None:
    ended = choice(delta={}, finish_reason="error")
    beside = read(sse(choice(delta={"content": "A"}), {**ended, "error": {"message": "gone"}}))
    within = read(body(choice(message={"content": "A"}, error={"code": 502, "message": "gone"})))
    for facts in (beside, within):
        assert facts is not None
        assert facts.error is not None
        assert facts.error["message"] == "gone"
    assert beside is not None
    assert beside.finish_reason == "error"


def test_an_error_in_the_place_of_a_reply() -> None:
    for error in ({"error": {"message": "x"}}, [{"error": {"message": "x"}}], {"error": "x"}):
        facts = read(body(error))
        assert facts is not None
        assert facts.error == {"message": "x"}


def test_a_prompt_that_gemini_blocks() -> None:
    blocked = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "modelVersion": "g"}
    facts = read(body(blocked | {"usageMetadata": {"promptTokenCount": 7}}))
    assert facts is not None
    assert (facts.blocked, facts.finish_reason, facts.model_id) == ("PROHIBITED_CONTENT", None, "g")
    assert facts.usage == {"promptTokenCount": 7}


def test_what_an_anthropic_stream_tells_at_its_start_and_at_its_end() -> None:
    start = {"model": "claude", "usage": {"input_tokens": 9, "output_tokens": 1}}
    events = [{"type": "message_start", "message": start}, {"type": "ping"}]
    cut = read(sse(*events))
    assert cut is not None
    assert (cut.finish_reason, cut.usage["input_tokens"]) == (None, 9)
    delta = {"stop_reason": "model_context_window_exceeded"}
    events.append({"type": "message_delta", "delta": delta, "usage": {"output_tokens": 70}})
    facts = read(sse(*events))
    assert facts is not None
    assert facts.finish_reason == "model_context_window_exceeded"
    assert facts.usage == {"input_tokens": 9, "output_tokens": 70}
