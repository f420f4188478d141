"""A proxy on 127.0.0.1 between agents and a real server, which does to answers what networks do. Seeded.

Each client has a line of its own: its server is `<url>/<line>`, and the n-th request of a line meets the same fault
in every run with the same seed.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

FAULTS = (
    "truncate",
    "corrupt",
    "corrupt header",
    "stall",
    "stall in header",
    "reset",
    "server error",
    "redirect loop",
    "length too long",
    "length too short",
    "slow-loris",
    "slow-loris in header",
)
DRIP = 0.02
"""Seconds from one byte of a slow-loris to the next."""

_REQUEST = re.compile(rb"(GET|POST) /([^/ ]+)(/\S*) HTTP/1\.1\r\n")
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_HOP = re.compile(rb"(?i)\r\n(?:connection|keep-alive):[^\r]*")


@dataclass
class FaultProxy:
    """`rate`: the share of requests that meet a fault. `dealt` counts (fault, what was asked for)."""

    upstream: int
    seed: int
    rate: float
    dealt: Counter[tuple[str, str]] = field(default_factory=Counter)
    asked: int = 0
    _dice: dict[bytes, random.Random] = field(default_factory=dict)

    @contextlib.contextmanager
    def served(self) -> Iterator[str]:
        """The proxy's URL, while it serves."""
        loop = asyncio.new_event_loop()
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            started, stopped = threading.Event(), asyncio.Event()
            thread = threading.Thread(
                target=lambda: loop.run_until_complete(self._serve(listening, started, stopped)), daemon=True
            )
            thread.start()
            started.wait()
            try:
                yield f"http://127.0.0.1:{listening.getsockname()[1]}"
            finally:
                loop.call_soon_threadsafe(stopped.set)
                thread.join()
                loop.close()

    async def _serve(self, listening: socket.socket, started: threading.Event, stopped: asyncio.Event) -> None:
        clients: set[asyncio.Task[None]] = set()
        writers: set[asyncio.StreamWriter] = set()

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writers.add(writer)
            task = asyncio.ensure_future(self._client(reader, writer))
            clients.add(task)
            task.add_done_callback(lambda done: (clients.discard(done), writer.close(), writers.discard(writer)))

        server = await asyncio.start_server(connected, sock=listening, backlog=512)
        started.set()
        await stopped.wait()
        server.close()
        for task in clients:
            task.cancel()
        left = list(writers)
        await asyncio.gather(*clients, return_exceptions=True)
        for writer in left:
            writer.transport.abort()
        # What was closed is told so in the next round of the loop.
        for _ in range(3):
            await asyncio.sleep(0)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while await self._exchange(reader, writer):
                pass

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its answer. True if the connection may go on."""
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.readexactly(_length(head))
        request = _REQUEST.match(head)
        assert request, head
        method, line, path = request.groups()
        dice = self._dice.setdefault(line, random.Random(f"{self.seed}/{line.decode()}"))
        self.asked += 1
        fault = dice.choice(FAULTS) if dice.random() < self.rate else None
        if fault:
            self.dealt[fault, _kind(path)] += 1
        if fault == "server error":
            status = dice.choice((500, 502, 503, 504))
            hint = b"Retry-After: 7\r\n" if status == 503 else b""
            writer.write(b"HTTP/1.1 %d Away\r\n%sContent-Length: 4\r\n\r\naway" % (status, hint))
            return True
        if fault == "redirect loop":
            here = b"http://127.0.0.1:%d/%s%s" % (writer.get_extra_info("sockname")[1], line, path)
            writer.write(b"HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % here)
            return True
        passed = (
            b"%s %s HTTP/1.1\r\nConnection: close\r\n" % (method, path) + _HOP.sub(b"", head[request.end() - 2 :])[2:]
        )
        answer, content = await self._ask(passed + body)
        return await _Dealing(reader, writer, dice).deal(fault, answer, content)

    async def _ask(self, request: bytes) -> tuple[bytes, bytes]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.upstream)
        try:
            writer.write(request)
            head, _, content = (await reader.read(-1)).partition(b"\r\n\r\n")
        finally:
            writer.close()
        return _HOP.sub(b"", head) + b"\r\n\r\n", content


@dataclass
class _Dealing:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    dice: random.Random

    async def deal(self, fault: str | None, head: bytes, body: bytes) -> bool:
        """Give the answer as the fault has it. True if the connection may go on."""
        whole = head + body
        half = len(head) + len(body) // 2 if body else len(head) // 2
        match fault:
            case "truncate":
                await self._send(whole[:half])
            case "stall" | "stall in header":
                await self._send(whole[: half if fault == "stall" else len(head) // 2])
                await self._until_left()
            case "reset":
                await self._send(whole[:half])
                # Without lingering, closing resets the connection.
                linger = struct.pack("ii", 1, 0)
                self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                self.writer.transport.abort()
            case "slow-loris" | "slow-loris in header":
                await self._drip(whole, len(head) if fault == "slow-loris" else 0)
            case "length too long":
                await self._send(_LENGTH.sub(b"\r\ncontent-length: %d" % (len(body) + 64), head) + body)
            case "length too short":
                await self._send(_LENGTH.sub(b"\r\ncontent-length: %d" % (len(body) // 2), head) + body)
                return True
            case _:
                await self._send(self._altered(fault, head, body))
                return True
        return False

    def _altered(self, fault: str | None, head: bytes, body: bytes) -> bytes:
        altered = bytearray(head + body)
        if fault:
            begin, end = (0, len(head) - 4) if fault == "corrupt header" or not body else (len(head), len(altered))
            for _ in range(self.dice.choice((1, 1, 8))):
                altered[self.dice.randrange(begin, end)] ^= 1 << self.dice.randrange(8)
        return bytes(altered)

    async def _send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def _drip(self, data: bytes, at_once: int) -> None:
        await self._send(data[:at_once])
        leaving = asyncio.ensure_future(self._until_left())
        try:
            for place in range(at_once, len(data)):
                await self._send(data[place : place + 1])
                if (await asyncio.wait({leaving}, timeout=DRIP))[0]:
                    return
        finally:
            leaving.cancel()

    async def _until_left(self) -> None:
        """Until the client closes; what it says meanwhile is not heard."""
        with contextlib.suppress(OSError):
            while await self.reader.read(65_536):
                pass


def _length(head: bytes) -> int:
    found = _LENGTH.search(head)
    return int(found[1]) if found else 0


def _kind(path: bytes) -> str:
    """What is asked for, in one word: metadata, desired, artifacts, trust, reports, enrol."""
    parts = path.decode().strip("/").split("/")
    return parts[2] if parts[:2] == ["tuf", "targets"] else parts[1]
