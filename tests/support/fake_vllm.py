"""A small server with vLLM's endpoints, which a wrapper script runs like `python -m vllm...`.

Every token is 5, with the log-probability `level` of model.safetensors. A stream sends three tokens
in each event. A file in the folder
FAKE_VLLM is a fault: `die` ends the process at the next completion, `stale` makes reloads keep the
old weights, and `bare` leaves out log-probabilities.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from aiohttp import web
from safetensors.numpy import load_file

FAULTS = Path(os.environ["FAKE_VLLM"])


def level(folder: str) -> float:
    """The log-probability in weights."""
    return float(load_file(Path(folder) / "model.safetensors")["level"])


def main() -> None:
    """Serve until a signal."""
    named = dict(zip(sys.argv, sys.argv[1:], strict=False))
    state = {"level": level(named["--model"])}

    async def health(_: web.Request) -> web.Response:
        return web.Response()

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(
            text='vllm:cache_config_info{block_size="16",num_gpu_blocks="64"} 1.0\n'
        )

    async def reload(request: web.Request) -> web.Response:
        if not (FAULTS / "stale").exists():
            state["level"] = level((await request.json())["kwargs"]["weights_path"])
        return web.json_response({"results": [None]})

    async def reset(_: web.Request) -> web.Response:
        return web.json_response({"success": True})

    async def complete(request: web.Request) -> web.StreamResponse:
        body = await request.json()
        if (FAULTS / "die").exists():
            (FAULTS / "die").unlink()
            os._exit(9)
        if (FAULTS / "broken").exists():
            return web.Response(status=500, text="engine dead")
        count = body["max_tokens"]
        choice: dict[str, Any] = {
            "token_ids": [5] * count,
            "logprobs": {"token_logprobs": [state["level"]] * count},
            "finish_reason": "length",
        }
        if (FAULTS / "bare").exists():
            choice["logprobs"] = None
        if body.get("stream"):
            reply = web.StreamResponse()
            await reply.prepare(request)
            for start in range(0, count, 3):
                size = min(3, count - start)
                event = {
                    "index": 0,
                    "token_ids": [5] * size,
                    "logprobs": {"token_logprobs": [state["level"]] * size},
                    "finish_reason": "length" if start + size == count else None,
                }
                await reply.write(b"data: " + json.dumps({"choices": [event]}).encode() + b"\n\n")
            await reply.write(b"data: [DONE]\n\n")
            return reply
        return web.json_response({"choices": [{**choice, "index": i} for i in range(body["n"])]})

    app = web.Application()
    app.add_routes(
        [
            web.get("/health", health),
            web.get("/metrics", metrics),
            web.post("/collective_rpc", reload),
            web.post("/reset_prefix_cache", reset),
            web.post("/v1/completions", complete),
        ]
    )
    web.run_app(app, host="127.0.0.1", port=int(named["--port"]), print=None)


main()
