"""The HTTP server, inside this process: one process to start, one to kill."""

from __future__ import annotations

import asyncio

from granian.constants import Interfaces
from granian.server.embed import Server
from starlette.applications import Starlette


async def run_server(application: Starlette, host: str, port: int, stopped: asyncio.Event) -> None:
    """Serve until `stopped` is set, then finish the requests that are under way."""
    server = Server(
        application, address=host, port=port, interface=Interfaces.ASGI, log_enabled=False, websockets=False
    )
    serving = asyncio.create_task(server.serve())
    stopping = asyncio.create_task(stopped.wait())
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not serving.done():
        server.stop()  # type: ignore[no-untyped-call]
    await serving
