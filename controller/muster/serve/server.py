"""The HTTP server, inside this process: one process to start, one to kill.

Polls are answered before anything else is asked about a request (`published_cache`), and reports without ASGI
(`direct`); the rest is the application's.
"""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path
from typing import TYPE_CHECKING, Final

from granian.asgi import LifespanProtocol
from granian.constants import Interfaces
from granian.server.embed import Server
from starlette.types import ASGIApp

from muster.kinds.errors import Unusable
from muster.serve.asgi_bridge import answer
from muster.serve.direct import Direct, answer_directly, is_short
from muster.serve.published_cache import PREFIX, PublishedCache, answers

if TYPE_CHECKING:
    # Its public name, which granian does not mark for type checkers.
    from granian.rsgi import HTTPProtocol, Scope  # type: ignore[attr-defined]

_BEHIND = len(PREFIX)
AT_A_TIME: Final = 1_024
"""Requests that are under way together, and connections that wait to be taken: devices come in herds."""


class Front:
    """What the server calls for every request."""

    def __init__(self, application: ASGIApp, public: Path, direct: Direct) -> None:
        self._application = application
        self._published = PublishedCache(public)
        self._direct = direct

    async def __rsgi__(self, scope: Scope, protocol: HTTPProtocol) -> None:
        """Answer one request."""
        path = scope.path
        if path.startswith(PREFIX) and scope.method == "GET":
            kept = self._published.find(path[_BEHIND:])
            status = answers(kept, scope.headers) if kept is not None else None
            if kept is not None and status == 304:
                protocol.response_empty(304, kept.unchanged)
                return
            if kept is not None and status == 200:
                protocol.response_bytes(200, kept.headers, kept.body)
                return
        handler = self._direct.get((scope.method, path))
        if handler is not None and is_short(scope.headers):
            await answer_directly(handler, scope, protocol)
            return
        await answer(self._application, scope, protocol)


async def run_server(
    application: ASGIApp, public: Path, host: str, port: int, stopped: asyncio.Event, direct: Direct
) -> None:
    """Serve until `stopped` is set, then finish the requests that are under way. `public`: what devices poll for;
    `direct`: routes of the application that are answered without it.

    Raises `Unusable` if the application does not start.
    """
    lifespan = LifespanProtocol(application)  # type: ignore[no-untyped-call]
    await lifespan.startup()  # type: ignore[no-untyped-call]
    if lifespan.interrupt:
        raise Unusable("the HTTP application did not start") from lifespan.exc
    server = Server(
        Front(application, public, direct),
        address=host,
        port=port,
        interface=Interfaces.RSGI,
        log_enabled=False,
        websockets=False,
        backlog=AT_A_TIME,
    )
    # What is there by now stays: to look through it again and again for garbage costs a fifth of a small request.
    gc.freeze()
    serving = asyncio.create_task(server.serve())
    stopping = asyncio.create_task(stopped.wait())
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not serving.done():
        server.stop()  # type: ignore[no-untyped-call]
    try:
        await serving
    finally:
        await lifespan.shutdown()  # type: ignore[no-untyped-call]
