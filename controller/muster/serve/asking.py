"""What is looked at of a request to find out who asks, whichever way it came: through ASGI, or without (`direct`)."""

from __future__ import annotations

from typing import Protocol


class Headers(Protocol):
    """Header fields, found by name in any case."""

    def get(self, key: str, default: str, /) -> str:
        """The field, or `default` without one."""

    def getlist(self, key: str, /) -> list[str]:
        """Every field of that name."""

    def __contains__(self, key: object, /) -> bool: ...


class Address(Protocol):
    """Of a connection."""

    @property
    def host(self) -> str:
        """An IP address."""


class Asking(Protocol):
    """A request."""

    @property
    def headers(self) -> Headers:
        """Its header fields."""

    @property
    def client(self) -> Address | None:
        """The other end of its connection."""
