"""The HTTP server: reads a request, draws its fault if any, and enters it in the ledger."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict

from aiohttp import web

from .anthropic import Anthropic
from .deepseek import DeepSeek
from .faults import Fault, draw
from .gemini import Gemini
from .ledger import Entry, Ledger
from .openai import OpenAI
from .openrouter import OpenRouter
from .provider import Problem, Provider, Rejection, compact
from .sending import Exchange
from .settings import Settings

PROVIDERS: Mapping[str, Provider] = {
    "openai": OpenAI(),
    "anthropic": Anthropic(),
    "deepseek": DeepSeek(),
    "gemini": Gemini(),
    "openrouter": OpenRouter(),
}


class Server:
    """The five providers, each below its own path: `/openai/v1`, `/anthropic`, ..."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.ledger = Ledger()
        self.url = ""
        # distinct keys that were sent
        self.keys: set[str] = set()
        # requests that were accepted for a good reply
        self._granted: dict[str, int] = dict.fromkeys(PROVIDERS, 0)

    async def start(self, port: int = 0) -> web.AppRunner:
        """Listen on loopback. The runner's `cleanup` ends it."""
        app = web.Application(client_max_size=2**24)
        app.router.add_post("/{provider}/{path:.*}", self._answer)
        app.router.add_get("/ledger", self._show)
        # If a client disconnects, its request ends and does not count as served.
        runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", port, backlog=1024)
        await site.start()
        host, bound = runner.addresses[0][:2]
        self.url = f"http://{host}:{bound}"
        return runner

    async def _show(self, _: web.Request) -> web.Response:
        shown = {
            "entries": [asdict(entry) for entry in self.ledger.entries],
            "most_in_flight": self.ledger.most_in_flight,
        }
        return web.json_response(shown)

    async def _answer(self, http: web.Request) -> web.StreamResponse:
        name = http.match_info["provider"]
        provider = PROVIDERS.get(name)
        if provider is None:
            raise web.HTTPNotFound
        body = json.loads(await http.read())
        key = http.headers.get(provider.key_header, "").removeprefix(provider.key_prefix)
        self.keys.add(key)
        path = "/" + http.match_info["path"]
        if not path.startswith(f"{provider.root}/"):
            raise web.HTTPNotFound
        # The same request always has the same id.
        digest = hashlib.sha256(compact(body)).hexdigest()[:24]
        exchange = Exchange(http, provider, self.settings, key, digest)
        try:
            request = provider.read(path.removeprefix(provider.root), body, digest)
        except Rejection as rejection:
            entry = Entry(name, str(body.get("model")), "?", None, False, "bad-request")
            self.ledger.enter(entry, body)
            return await exchange.error(Problem(rejection.status, rejection.body))
        settings = self.settings
        puzzle = settings.model.puzzle(request.prompt)
        entry = Entry(name, request.model, puzzle, request.seed, request.streamed, None)
        entry.fault = self._fault(entry, key)
        self.ledger.enter(entry, body)
        self.ledger.in_flight += 1
        self.ledger.most_in_flight = max(self.ledger.most_in_flight, self.ledger.in_flight)
        try:
            await asyncio.sleep(settings.latency_s)
            reply = settings.model.reply(request.prompt, request.seed)
            return await exchange.send(request, reply, entry)
        except ConnectionResetError:
            return web.Response()  # the client has disconnected
        finally:
            self.ledger.in_flight -= 1

    def _fault(self, entry: Entry, key: str) -> Fault | None:
        settings = self.settings
        if not key:
            return "wrong-key"
        broken = settings.broken.get(entry.provider)
        if broken and self._granted[entry.provider] >= settings.broken_after:
            return broken
        self._granted[entry.provider] += 1
        request, before = "/".join(map(str, entry.request)), self.ledger.came[entry.request]
        if entry.puzzle in settings.first and not before:
            return settings.first[entry.puzzle]
        return draw(settings.seed, settings.faults, settings.kinds, request, before)
