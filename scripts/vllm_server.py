"""Serve a checkpoint with vLLM until Ctrl-C, with the server that the trainer uses.

python scripts/vllm_server.py CHECKPOINT
"""

from __future__ import annotations

import argparse
import signal
import sys
from contextlib import closing, suppress
from pathlib import Path

from tclue_grpo.vllm_server import Server, ServerSettings, find_python, new_log


def main() -> None:
    """Serve the checkpoint on the command line until a signal."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--venv", default="", help="an environment with vLLM, or its Python")
    parser.add_argument("--gpu", action="store_true", help="bf16, compiled, on a GPU")
    parser.add_argument("args", nargs="*", help="further arguments for the server, after --")
    options = parser.parse_args()
    # A plain `kill` ends the block in the same way as Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    python, settings = find_python(options.venv), ServerSettings(on_gpu=options.gpu)
    server = Server(options.checkpoint, python, settings, new_log(), args=options.args)
    with closing(server):
        print(f"{server.url}/v1  model={server.model}  log={server.log}", flush=True)
        with suppress(KeyboardInterrupt):
            signal.pause()


if __name__ == "__main__":
    main()
