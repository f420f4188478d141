"""Connections whose every part ends: connecting, the header, a silence, the whole answer.

http.client starts its time limit anew with every byte, so a server that sends one at a time could hold an agent for
days, in the header or in the lengths of chunks. All reading goes through `_Reader`, which counts. A cap on bandwidth is
kept in the same place; pauses that it makes are not laid to the server.
"""

from __future__ import annotations

import http.client
import io
import socket
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from muster.agent.bandwidth import Bandwidth

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


@dataclass(frozen=True)
class Limits:
    """Seconds: to connect, until the header is complete, of silence, and for a whole answer.

    `slowest`: bytes a second. Each that came gives a long answer its time more; below, it is given up (and a download
    goes on at the next poll).
    """

    connect: float = 5.0
    header: float = 30.0
    idle: float = 30.0
    whole: float = 60.0
    slowest: int = 4_096


def make_pool(limits: Limits | None = None, bandwidth: Bandwidth | None = None) -> urllib3.PoolManager:
    """Connections for every device of a process, which share the cap on bandwidth."""
    limits = limits or Limits()
    response = staticmethod(partial(_Response, limits, bandwidth))
    plain = _variant(HTTPConnection, response_class=response)
    secure = _variant(HTTPSConnection, response_class=response)
    timeout = urllib3.Timeout(connect=limits.connect, read=limits.idle)
    pool = urllib3.PoolManager(num_pools=16, maxsize=32, block=False, timeout=timeout)
    pool.pool_classes_by_scheme = {
        "http": _variant(HTTPConnectionPool, ConnectionCls=plain),
        "https": _variant(HTTPSConnectionPool, ConnectionCls=secure),
    }
    return pool


def _variant(base: type, **attributes: object) -> Any:
    """The class with other attributes: urllib3 and http.client ask their classes for what they make."""
    return type(base.__name__, (base,), attributes)


class _Reader(io.RawIOBase):
    """A socket's bytes. Raises `TimeoutError` when they come too slowly."""

    def __init__(self, sock: socket.socket, limits: Limits, bandwidth: Bandwidth | None) -> None:
        super().__init__()
        self._sock = sock
        self._raw = sock.makefile("rb", buffering=0)
        self._limits = limits
        self._bandwidth = bandwidth
        self._began = time.monotonic()
        self._received = 0
        self._in_header = True

    def header_ends(self) -> None:
        """What comes now is the body."""
        self._in_header = False

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """What came, at most as much as fits."""
        limits = self._limits
        allowed = limits.header if self._in_header else limits.whole + self._received / limits.slowest
        left = self._began + allowed - time.monotonic()
        if left <= 0:
            raise TimeoutError("the server is too slow")
        self._sock.settimeout(min(limits.idle, left))
        view = memoryview(buffer)
        count = self._raw.readinto(view[: self._bandwidth.piece] if self._bandwidth else view) or 0
        self._received += count
        if self._bandwidth:
            self._began += self._bandwidth.spend(count)
        return count

    def close(self) -> None:
        """Give the socket back."""
        if not self.closed:
            self._raw.close()
        super().close()


class _Bounded:
    """What http.client takes for a socket: it only makes a file of it."""

    def __init__(self, reader: _Reader) -> None:
        self._reader = reader

    def makefile(self, _mode: str) -> io.BufferedReader:
        """The reader, with a buffer for lines of the header."""
        return io.BufferedReader(self._reader)


class _Response(http.client.HTTPResponse):
    def __init__(self, limits: Limits, bandwidth: Bandwidth | None, sock: socket.socket, **given: Any) -> None:
        self._reader = _Reader(sock, limits, bandwidth)
        super().__init__(_Bounded(self._reader), **given)  # type: ignore[arg-type]

    def begin(self) -> None:
        """Read the header."""
        super().begin()
        self._reader.header_ends()
