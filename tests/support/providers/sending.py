"""Sends a reply, an error, or a part of either over the connection."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from dataclasses import replace

from aiohttp import web

from .ledger import Entry
from .model import Reply
from .provider import Problem, Provider, Request, compact
from .settings import Settings

BLOCK = 997  # bytes per write, so that lines and characters are split anywhere, as in a network
RUBBISH = (b"<html>hello</html>", b"[1, 2]", b"data: hello\n\n", b'{"hello": 1}', b"\x00\xff\xfe")
_JSON = {"Content-Type": "application/json"}
_SSE = {"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache"}


class Exchange:
    """A request on its connection, and its reply."""

    def __init__(
        self, http: web.Request, provider: Provider, settings: Settings, key: str, id: str
    ) -> None:
        self._http, self._provider, self._settings, self._key = http, provider, settings, key
        self._headers = {"x-request-id": f"req_{id}"} | ({"x-key": key} if settings.echo else {})

    async def send(self, request: Request, reply: Reply, entry: Entry) -> web.StreamResponse:
        """Send the reply, or what the entry's fault requires."""
        provider, fault = self._provider, entry.fault
        if self._settings.echo and reply.text:
            reply = replace(reply, text=f"My key is {self._key}.\n{reply.text}")
        match fault:
            case None:
                return await self._reply(request, reply, entry)
            case "empty":
                return await self._reply(request, provider.empty(request, reply), entry)
            case "rubbish":
                rubbish = random.Random(request.id).choice(RUBBISH)
                return await self._bytes(rubbish, _SSE if request.streamed else _JSON)
            case "reset" | "hang":
                if fault == "hang":
                    await self._hang(entry)
                assert self._http.transport
                self._http.transport.abort()
                return web.StreamResponse()
            case "cut" | "stall" | "ended":
                return await self._part(request, reply, entry)
            case "error-in-200" if request.streamed:
                first = next(event for event in provider.events(request, reply) if event)
                return await self._bytes(first + provider.error_event(fault), _SSE)
        problem = provider.problem(fault, self._key)
        if fault == "error-in-200":
            problem = replace(problem, status=200)
        says_when = fault in ("rate-limit-after", "unavailable")
        return await self.error(problem, self._settings.retry_after if says_when else None)

    async def error(self, problem: Problem, after: str | None = None) -> web.StreamResponse:
        """Send an error. `after` is the value of Retry-After."""
        body = problem.body if isinstance(problem.body, str) else compact(problem.body).decode()
        if self._settings.echo:
            # It is inserted into a string that every JSON error has, so the error stays valid JSON.
            body = body.replace('"message":"', f'"message":"The key {self._key} was sent. ', 1)
        headers = {**_JSON, **(problem.headers or {}), **({"Retry-After": after} if after else {})}
        return await self._bytes(body.encode(), headers, problem.status)

    async def _reply(self, request: Request, reply: Reply, entry: Entry) -> web.StreamResponse:
        if request.streamed:
            body = b"".join(self._provider.events(request, reply))
            response = web.StreamResponse(headers=self._headers | _SSE)
        else:
            body = compact(self._provider.full_body(request, reply))
            response = web.StreamResponse(headers=self._headers | _JSON)
            response.content_length = len(body)
        await response.prepare(self._http)
        start, block = 0, BLOCK if request.streamed else len(body)
        # The last write has everything that a client needs, which may disconnect before the
        # stream's end.
        while len(body) - start > 2 * block:
            await response.write(body[start : start + block])
            await asyncio.sleep(self._settings.pause_s)
            start += block
        await response.write(body[start:])
        entry.whole = entry.fault is None
        await response.write_eof()
        return response

    async def _part(self, request: Request, reply: Reply, entry: Entry) -> web.StreamResponse:
        """The beginning of a reply, then a normal end, a lost connection, or nothing more."""
        if request.streamed:
            events = list(self._provider.events(request, reply))
            # It stops before the finish reason, after which a reply would be complete.
            part, announced = b"".join(events[: len(events) // 3]), None
            response = web.StreamResponse(headers=self._headers | _SSE)
        else:
            body = compact(self._provider.full_body(request, reply))
            part, announced = body[: len(body) // 2], len(body)
            response = web.StreamResponse(headers=self._headers | _JSON)
        response.content_length = len(part) if announced and entry.fault == "ended" else announced
        await response.prepare(self._http)
        await response.write(part)
        if entry.fault == "ended":
            await response.write_eof()
            return response
        if entry.fault == "stall":
            await self._hang(entry)
        assert self._http.transport
        self._http.transport.close()
        return response

    async def _hang(self, entry: Entry) -> None:
        self._settings.on_hang(entry)
        await asyncio.sleep(self._settings.hang_s)

    async def _bytes(
        self, body: bytes, headers: Mapping[str, str], status: int = 200
    ) -> web.StreamResponse:
        response = web.StreamResponse(status=status, headers={**self._headers, **headers})
        response.content_length = len(body)
        await response.prepare(self._http)
        await response.write(body)
        await response.write_eof()
        return response
