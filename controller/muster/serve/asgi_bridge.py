"""An ASGI application behind an RSGI server: RSGI answers a poll for half of what ASGI costs, and routes are ASGI.

Specifications: ASGI 3.0 (HTTP 2.4), RSGI 1.6. HTTP only.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from starlette.types import ASGIApp, Message

from muster.serve.direct import address_of, as_text, is_short

if TYPE_CHECKING:
    # Its public name, which granian does not mark for type checkers.
    from granian.rsgi import HTTPProtocol, Scope  # type: ignore[attr-defined]


async def answer(application: ASGIApp, scope: Scope, protocol: HTTPProtocol) -> None:
    """Let the application answer one request. Whatever it raises is raised."""
    exchange = _Exchange(scope, protocol)
    await application(_http_scope(scope), exchange.receive, exchange.send)


def _http_scope(scope: Scope) -> dict[str, Any]:
    path = scope.path
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": scope.http_version,
        "method": scope.method,
        "scheme": scope.scheme,
        "path": path,
        "raw_path": path.encode(),
        "query_string": scope.query_string.encode(),
        "root_path": "",
        "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in scope.headers.items()],
        "client": address_of(scope.client),
        "server": address_of(scope.server),
    }


class _Exchange:
    """One request's body, and its answer."""

    def __init__(self, scope: Scope, protocol: HTTPProtocol) -> None:
        self._protocol = protocol
        self._chunks: AsyncIterator[bytes] | None = None
        self._at_once = scope.method in ("GET", "HEAD") or is_short(scope.headers)
        self._received = False
        self._status = 0
        self._headers: list[tuple[str, str]] = []
        self._stream: Any = None
        self._ended = False

    async def receive(self) -> Message:
        """The next piece of the body; behind its end, that the client is gone."""
        if self._received:
            if not self._ended:
                await self._protocol.client_disconnect()
            return {"type": "http.disconnect"}
        if self._at_once:
            self._received = True
            return {"type": "http.request", "body": await self._protocol(), "more_body": False}
        self._chunks = self._chunks or aiter(self._protocol)
        try:
            return {"type": "http.request", "body": await anext(self._chunks), "more_body": True}
        except StopAsyncIteration:
            self._received = True
            return {"type": "http.request", "body": b"", "more_body": False}

    async def send(self, message: Message) -> None:
        """Start the answer, or go on with it. Raises `OSError` if the client is gone."""
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._headers = as_text(message.get("headers", ()))
        elif message["type"] == "http.response.body":
            await self._send_body(message.get("body", b""), more=message.get("more_body", False))

    async def _send_body(self, body: bytes, *, more: bool) -> None:
        self._ended = not more
        if self._stream is None and not more:
            self._protocol.response_bytes(self._status, self._headers, bytes(body))
            return
        if self._stream is None:
            self._stream = self._protocol.response_stream(self._status, self._headers)
        if body:
            try:
                await self._stream.send_bytes(bytes(body))
            except RuntimeError as error:
                raise OSError("the client is gone") from error
