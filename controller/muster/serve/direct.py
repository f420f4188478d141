"""Requests that are answered without ASGI: routes that most requests want, at a third of what the way through it costs.

The route is the application's all the same: what comes in pieces, or says of itself that it is long, goes that way.
Specification: RSGI 1.6.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from starlette.datastructures import Address

from muster.serve.answers import HttpError

if TYPE_CHECKING:
    # Its public name, which granian does not mark for type checkers.
    from granian.rsgi import Headers, HTTPProtocol, Scope  # type: ignore[attr-defined]

AT_ONCE: Final = 64 * 1024
"""Bytes. A body that says to be no longer is received in one piece."""
_JSON: Final = [("content-type", "application/json")]


class DirectRequest:
    """A request as the server gives it."""

    def __init__(self, scope: Scope, protocol: HTTPProtocol) -> None:
        self.headers = DirectHeaders(scope.headers)
        self._scope = scope
        self._protocol = protocol

    @property
    def client(self) -> Address | None:
        """The other end of its connection."""
        return address_of(self._scope.client)

    async def read(self, limit: int) -> bytes:
        """The body. Raises `HttpError`, 413, if it is longer than `limit` bytes."""
        body = await self._protocol()
        if len(body) > limit:
            raise HttpError(413, f"the body is larger than {limit} bytes")
        return bytes(body)


class DirectHeaders:
    """Its header fields, under Starlette's names."""

    def __init__(self, headers: Headers) -> None:
        self._headers = headers

    def get(self, key: str, default: str = "") -> str:
        """The field, or `default` without one."""
        found: str = self._headers.get(key, default)
        return found

    def getlist(self, key: str) -> list[str]:
        """Every field of that name."""
        return [value for name, value in self._headers.items() if name == key.lower()]

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and key in self._headers


Handler = Callable[[DirectRequest], Awaitable[bytes]]
"""From a request to the JSON of a 200. Raises `HttpError` for everything else."""
Direct = Mapping[tuple[str, str], Handler]
"""(method, path) → who answers."""


def address_of(text: str) -> Address | None:
    """The end of a connection that RSGI writes as `host:port`."""
    host, _, port = text.rpartition(":")
    return Address(host.strip("[]"), int(port)) if port.isdigit() else None


def as_text(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    """Header fields of ASGI, as RSGI has them."""
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]


def is_short(headers: Any) -> bool:
    """True if a request says that its body is."""
    length = headers.get("content-length", "")
    return length.isdecimal() and int(length) <= AT_ONCE


async def answer_directly(handler: Handler, scope: Scope, protocol: HTTPProtocol) -> None:
    """Let the handler answer one request. Whatever it raises, beside `HttpError`, is raised."""
    try:
        body = await handler(DirectRequest(scope, protocol))
    except HttpError as error:
        refusal = error.response()
        protocol.response_bytes(refusal.status_code, as_text(refusal.raw_headers), bytes(refusal.body))
        return
    protocol.response_bytes(200, _JSON, body)
