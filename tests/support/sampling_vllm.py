"""A server with vLLM's endpoints that samples with transformers, and starts in a moment.

    python sampling_vllm.py FOLDER

imports torch once and listens on FOLDER/socket. FOLDER/bin/python, which is to be the Python of
vLLM's environment, asks it for a server and lives as long as that server: a child of this process,
in the process group of the caller. FOLDER/servers.jsonl has the id and the weights of each server.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import torch
from aiohttp import web
from transformers import AutoModelForCausalLM
from transformers.utils.logging import disable_progress_bar

from tclue.bench.models.local import TINY
from tclue_grpo.engine_hf import HFEngine
from tclue_grpo.rollout import Sample, SamplingRequest

# Not torch's Python: the caller starts it, and it has to be fast.
CALLER = """#!{python} -ISs
import json, os, socket, sys
asked = socket.socket(socket.AF_UNIX)
asked.connect({address!r})
asked.sendall(json.dumps([sys.argv, os.getpgid(0)]).encode() + b"\\n")
asked.recv(1)  # nothing comes until the server has ended
"""


def main() -> None:
    """Fork a server for each caller, until this process is killed."""
    folder = Path(sys.argv[1])
    torch.set_num_threads(1)
    disable_progress_bar()  # type: ignore[no-untyped-call]
    # What is imported on the way is imported here, and not by each server.
    HFEngine(load(TINY), set(), 2).sample([SamplingRequest([1, 2], 2, seed=0)])
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / "socket"))
    listener.listen(64)
    caller = folder / "bin" / "python"
    caller.parent.mkdir()
    caller.write_text(CALLER.format(python=sys.executable, address=str(folder / "socket")))
    caller.chmod(0o755)
    print("ready", flush=True)
    while True:
        connection, _ = listener.accept()
        with connection, connection.makefile() as lines:
            line = lines.readline()
            if line and not os.fork():
                listener.close()
                arguments, group = json.loads(line)
                os.setpgid(0, group)
                named = dict(itertools.pairwise(arguments))
                with (folder / "servers.jsonl").open("a") as file:
                    file.write(json.dumps([os.getpid(), named["--model"]]) + "\n")
                serve(Path(named["--model"]), int(named["--port"]))
                os._exit(0)


def load(weights: Path) -> Any:
    """The model of a checkpoint."""
    return AutoModelForCausalLM.from_pretrained(weights, dtype=torch.float32)


def serve(weights: Path, port: int) -> None:
    """Serve until a signal."""
    state = {"module": load(weights)}

    async def health(_: web.Request) -> web.Response:
        return web.Response()

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(
            text='vllm:cache_config_info{block_size="16",num_gpu_blocks="4096"} 1.0\n'
        )

    async def reload(request: web.Request) -> web.Response:
        state["module"] = load(Path((await request.json())["kwargs"]["weights_path"]))
        return web.json_response({"results": [None]})

    async def reset(_: web.Request) -> web.Response:
        return web.json_response({"success": True})

    async def complete(request: web.Request) -> web.Response:
        body = await request.json()
        engine = HFEngine(
            state["module"], set(body["stop_token_ids"]), body["max_tokens"], body["temperature"]
        )
        asked = SamplingRequest(body["prompt"], body["n"], body["seed"])
        (samples,) = engine.sample([asked])
        return web.json_response({"choices": [choice(i, s) for i, s in enumerate(samples)]})

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
    web.run_app(app, host="127.0.0.1", port=port, print=None)


def choice(index: int, sample: Sample) -> dict[str, Any]:
    """A sample as vLLM sends it."""
    return {
        "index": index,
        "token_ids": sample.ids,
        "logprobs": {"token_logprobs": sample.logprobs},
        "finish_reason": sample.finish,
    }


if __name__ == "__main__":
    main()
