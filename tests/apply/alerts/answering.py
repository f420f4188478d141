"""A real HTTP server on 127.0.0.1 that answers in every way a channel can, good and bad."""

from __future__ import annotations

import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Asked:
    """One request that came in whole."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Answering:
    """`answers` are used in turn, the last one for good. Each is raw bytes, or the name of a way to misbehave."""

    url: str = ""
    answers: list[bytes | str] = field(default_factory=lambda: [answer(200)])
    asked: list[Asked] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)
    """Set at the end: lets answers that never come go."""

    def next_answer(self) -> bytes | str:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def answer(status: int, headers: str = "", body: bytes = b"ok") -> bytes:
    """A whole answer; `headers` are lines that end in CR LF."""
    return f"HTTP/1.1 {status} X\r\n{headers}content-length: {len(body)}\r\n\r\n".encode() + body


class _Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        state: Answering = self.server.state  # type: ignore[attr-defined]
        with suppress(OSError):
            line = self.rfile.readline(65_536).decode()
            headers: dict[str, str] = {}
            while (header := self.rfile.readline(65_536).decode().strip()) != "":
                name, _, value = header.partition(":")
                headers[name.lower()] = value.strip()
            body = self.rfile.read(int(headers.get("content-length", "0")))
            state.asked.append(Asked(line.split(" ")[1], headers, body))
            self._answer(state, state.next_answer())

    def _answer(self, state: Answering, given: bytes | str) -> None:
        if isinstance(given, bytes):
            self.wfile.write(given)
        elif given == "silence":
            state.released.wait(10)
        elif given == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        else:
            for part in _PARTS[given]():
                self.wfile.write(part)
                if given == "drip" and state.released.wait(0.02):
                    return


def _drip() -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\n"
    for _ in range(1_000):
        yield b"x: y\r\n"


def _huge() -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    for _ in range(10_000):
        yield b"10000\r\n" + b"x" * 65_536 + b"\r\n"


_PARTS: dict[str, Callable[[], Iterable[bytes]]] = {
    "drip": _drip,
    "huge": _huge,
    "half": lambda: [b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf"],
    "nonsense": lambda: [b"\x00\xff" * 100 + b"\r\n\r\n"],
}


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Quiet: clients leave in the middle on purpose."""


@contextmanager
def answering(context: ssl.SSLContext | None = None) -> Iterator[Answering]:
    """The server, while it runs; with `context` it speaks TLS as `localhost`."""
    state = Answering()
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.state = state  # type: ignore[attr-defined]
        port = server.server_address[1]
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        state.url = f"https://localhost:{port}/in" if context else f"http://127.0.0.1:{port}/in"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield state
        finally:
            state.released.set()
            server.shutdown()
            thread.join()
