"""The HTTP side: reads a request, draws what becomes of it, sends it, and enters it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from aiohttp import web

from .anthropic import Anthropic
from .deepseek import DeepSeek
from .faults import FAULTS, Fault, draw
from .gemini import Gemini
from .ledger import Entry, Ledger
from .model import Model, Reply
from .openai import OpenAI
from .openrouter import OpenRouter
from .provider import Problem, Provider, Rejection, Request, compact

PROVIDERS: Mapping[str, Provider] = {
    "openai": OpenAI(),
    "anthropic": Anthropic(),
    "deepseek": DeepSeek(),
    "gemini": Gemini(),
    "openrouter": OpenRouter(),
}
BLOCK = 997  # bytes of a write: lines and characters are cut anywhere, as a network cuts them
RUBBISH = (b"<html>hello</html>", b"[1, 2]", b"data: hello\n\n", b'{"hello": 1}', b"\x00\xff\xfe")
_JSON = {"Content-Type": "application/json"}
_SSE = {"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache"}


@dataclass
class Settings:
    """How the server behaves; may be changed while it runs."""

    model: Model = field(default_factory=lambda: Model(()))
    # share of requests that meet a fault, of which kinds, and the seed of the draws
    faults: float = 0.0
    kinds: Sequence[Fault] = FAULTS
    seed: int = 0
    # what the first request for a puzzle meets, by the puzzle's id
    first: Mapping[str, Fault] = field(default_factory=dict)
    # what a provider says to every request, once it served so many whole
    broken: Mapping[str, Fault] = field(default_factory=dict)
    broken_after: int = 0
    # seconds before a reply begins, and between the writes of a stream
    latency_s: float = 0.0
    pause_s: float = 0.0
    # seconds after which a request that hangs is dropped
    hang_s: float = 600.0
    # value of the header, in seconds; a provider that is not there for long sends 1 at least
    retry_after: str = "1"
    # repeat the key in every header, error and text
    echo: bool = False


class Server:
    """The five providers, each in a folder of its own: `/openai/v1`, `/anthropic`, ..."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.ledger = Ledger()
        self.url = ""
        # distinct keys that were sent
        self.keys: set[str] = set()
        self._whole: dict[str, int] = dict.fromkeys(PROVIDERS, 0)

    async def start(self, port: int = 0) -> web.AppRunner:
        """Listen on loopback; the runner's `cleanup` ends it."""
        app = web.Application(client_max_size=2**24)
        app.router.add_post("/{provider}/{path:.*}", self._answer)
        app.router.add_get("/ledger", self._show)
        # A client that goes ends its request, so a reply to it does not count as served.
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
        # The same request has the same id, whenever it comes.
        digest = hashlib.sha256(compact(body)).hexdigest()[:24]
        try:
            request = provider.read(path.removeprefix(provider.root), body, digest)
        except Rejection as rejection:
            entry = Entry(name, str(body.get("model")), "?", None, False, "bad-request")
            self.ledger.enter(entry, body)
            return await self._error(http, Problem(rejection.status, rejection.body), key, None)
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
            sent = await self._send(http, provider, request, reply, entry.fault, key)
            if entry.fault is None:
                entry.whole = True
                self._whole[name] += 1
            return sent
        except ConnectionResetError:
            return web.Response()  # nobody is there to get it
        finally:
            self.ledger.in_flight -= 1

    def _fault(self, entry: Entry, key: str) -> Fault | None:
        settings = self.settings
        if not key:
            return "wrong-key"
        broken = settings.broken.get(entry.provider)
        if broken and self._whole[entry.provider] >= settings.broken_after:
            return broken
        request, before = "/".join(map(str, entry.request)), self.ledger.came[entry.request]
        if entry.puzzle in settings.first and not before:
            return settings.first[entry.puzzle]
        return draw(settings.seed, settings.faults, settings.kinds, request, before)

    async def _send(
        self,
        http: web.Request,
        provider: Provider,
        request: Request,
        reply: Reply,
        fault: Fault | None,
        key: str,
    ) -> web.StreamResponse:
        headers = {"x-request-id": f"req_{request.id}"} | (
            {"x-key": key} if self.settings.echo else {}
        )
        if self.settings.echo and reply.text:
            reply = Reply(**{**vars(reply), "text": f"My key is {key}.\n{reply.text}"})
        match fault:
            case None:
                return await self._reply(http, provider, request, reply, headers)
            case "empty":
                reply = provider.empty(request, reply)
                return await self._reply(http, provider, request, reply, headers)
            case "rubbish":
                rubbish = random.Random(request.id).choice(RUBBISH)
                kind = _SSE if request.streamed else _JSON
                return await self._bytes(http, rubbish, headers | kind)
            case "reset" | "hang" | "cut" | "stall" | "ended":
                return await self._broken_off(http, provider, request, reply, fault, headers)
            case "error-in-200" if request.streamed:
                first = next(event for event in provider.events(request, reply) if event)
                body = first + provider.error_event(fault)
                return await self._bytes(http, body, headers | _SSE)
        problem = provider.problem(fault, key)
        if fault == "error-in-200":
            problem = Problem(200, problem.body)
        after = self.settings.retry_after if fault in ("rate-limit-after", "unavailable") else None
        return await self._error(http, problem, key, after)

    async def _reply(
        self,
        http: web.Request,
        provider: Provider,
        request: Request,
        reply: Reply,
        headers: Mapping[str, str],
    ) -> web.StreamResponse:
        if not request.streamed:
            return await self._bytes(
                http, compact(provider.whole(request, reply)), {**headers, **_JSON}
            )
        response = web.StreamResponse(headers={**headers, **_SSE})
        await response.prepare(http)
        body = b"".join(provider.events(request, reply))
        for start in range(0, len(body), BLOCK):
            await response.write(body[start : start + BLOCK])
            await asyncio.sleep(self.settings.pause_s)
        await response.write_eof()
        return response

    async def _broken_off(
        self,
        http: web.Request,
        provider: Provider,
        request: Request,
        reply: Reply,
        fault: Fault,
        headers: Mapping[str, str],
    ) -> web.StreamResponse:
        """A reply of which some comes, or none."""
        assert http.transport
        if request.streamed:
            events = list(provider.events(request, reply))
            part, announced = b"".join(events[: len(events) // 2]), None
        else:
            body = compact(provider.whole(request, reply))
            part, announced = body[: len(body) // 2], len(body)
        response = web.StreamResponse(headers={**headers, **(_SSE if request.streamed else _JSON)})
        if fault in ("hang", "reset"):
            await asyncio.sleep(self.settings.hang_s if fault == "hang" else 0)
            http.transport.abort()
            return response
        response.content_length = len(part) if fault == "ended" and announced else announced
        await response.prepare(http)
        await response.write(part)
        if fault == "ended":
            await response.write_eof()
            return response
        if fault == "stall":
            await asyncio.sleep(self.settings.hang_s)
        http.transport.close()
        return response

    async def _error(
        self, http: web.Request, problem: Problem, key: str, after: str | None
    ) -> web.StreamResponse:
        body = problem.body if isinstance(problem.body, str) else compact(problem.body).decode()
        headers = {**_JSON, **(problem.headers or {})}
        if after:
            headers["Retry-After"] = after
        if self.settings.echo:
            # In a string that every JSON error holds, so that it stays JSON.
            body = body.replace('"message":"', f'"message":"The key {key} was sent. ', 1)
            headers["x-key"] = key
        return await self._bytes(http, body.encode(), headers, problem.status)

    async def _bytes(
        self, http: web.Request, body: bytes, headers: Mapping[str, str], status: int = 200
    ) -> web.StreamResponse:
        response = web.StreamResponse(status=status, headers=headers)
        response.content_length = len(body)
        await response.prepare(http)
        await response.write(body)
        await response.write_eof()
        return response
