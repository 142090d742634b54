"""The server in a thread of the test's process, and the settings with which litellm finds it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from .server import PROVIDERS, Server
from .settings import Settings

# provider -> the environment variables of litellm for its base and its key
BASE_VARIABLES = {
    "openai": "OPENAI_BASE_URL",
    "anthropic": "ANTHROPIC_API_BASE",
    "deepseek": "DEEPSEEK_API_BASE",
    "gemini": "GEMINI_API_BASE",
    "openrouter": "OPENROUTER_API_BASE",
}
# provider -> the model. None is in the registry, where a name may stand for several variants.
MODELS = {
    "openai": "openai/gpt-4.1-mini",
    "anthropic": "anthropic/claude-opus-4-20250514",
    "deepseek": "deepseek/deepseek-chat",
    "gemini": "gemini/gemini-2.0-flash",
    "openrouter": "openrouter/qwen/qwen3-max",
}
KEY_VARIABLES = {name: f"{name.upper()}_API_KEY" for name in PROVIDERS}


def bases(server: Server) -> dict[str, str]:
    """provider -> its `api_base`."""
    return {name: f"{server.url}/{name}{provider.root}" for name, provider in PROVIDERS.items()}


@contextmanager
def serving(settings: Settings) -> Iterator[Server]:
    """A running server, with access to its settings and its ledger."""
    server, started = Server(settings), threading.Event()
    loop = asyncio.new_event_loop()
    done = asyncio.Event()

    async def serve() -> None:
        runner = await server.start()
        started.set()
        await done.wait()
        await runner.cleanup()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), daemon=True)
    thread.start()
    if not started.wait(30):
        raise RuntimeError("the server did not start")
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join()
        loop.close()
