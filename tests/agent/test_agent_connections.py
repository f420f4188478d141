"""Every part of an answer has its time, and a cap on bandwidth holds over a real socket."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from muster.agent.bandwidth import Bandwidth
from muster.agent.connections import Limits, make_pool
from muster.agent.http_server import HttpServer
from muster.agent.setbacks import Postponed

LIMITS = Limits(connect=1.0, header=0.3, idle=0.2, whole=0.4, slowest=2**20)
HEAD = b"HTTP/1.1 200 OK\r\n"
DRIP = 0.03


@contextlib.contextmanager
def _served(answer: Callable[[socket.socket, threading.Event], None]) -> Iterator[str]:
    """A server that answers one request after the other like this."""
    over = threading.Event()

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                connection.recv(65_536)
                answer(connection, over)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            over.set()
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def _drips(begin: bytes, drop: bytes) -> Callable[[socket.socket, threading.Event], None]:
    def answer(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(begin)
        while not over.wait(DRIP):
            connection.sendall(drop)

    return answer


@pytest.mark.parametrize(
    ("begin", "drop"),
    [
        (b"", b"H"),
        (HEAD, b"x"),
        (HEAD, b"X-More: x\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (HEAD + b"Content-Length: 100000\r\n\r\n", b"x"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"0"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        (HEAD + b"\r\n", b"x"),
    ],
    ids=["status", "header", "headers", "continue", "body", "length of a chunk", "chunks", "no end"],
)
def test_an_answer_that_drips_ends(begin: bytes, drop: bytes) -> None:
    """No silence is long enough to count, and yet it is over after the time of the header, or of the whole."""
    with _served(_drips(begin, drop)) as url:
        pool = make_pool(LIMITS)
        began = time.monotonic()
        with pytest.raises(Postponed) as caught, HttpServer(url, pool).get("/", {}) as answer:
            answer.read(10**9)
        assert time.monotonic() - began < 5
        assert caught.value.error_code == "server_away"
        pool.clear()


@pytest.mark.parametrize("begin", [b"", HEAD, HEAD + b"Content-Length: 10\r\n\r\nxx"], ids=["nothing", "head", "body"])
def test_an_answer_that_stalls_ends(begin: bytes) -> None:
    """Silence has its limit wherever it falls."""
    with _served(lambda connection, over: (connection.sendall(begin), over.wait())) as url:
        pool = make_pool(LIMITS)
        with pytest.raises(Postponed), HttpServer(url, pool).get("/", {}) as answer:
            answer.read(10**9)
        pool.clear()


def test_a_cap_on_bandwidth_paces_what_comes_and_is_not_laid_to_the_server() -> None:
    """200,000 bytes at 50,000 a second: a second's burst at once, three more seconds of pauses, which are simulated
    here. They are longer than the whole answer may take, and count for nothing.
    """
    body = bytes(200_000)
    pauses: list[float] = []
    clock = [0.0]

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        clock[0] += seconds

    def answer(connection: socket.socket, _over: threading.Event) -> None:
        connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)

    with _served(answer) as url:
        pool = make_pool(Limits(whole=1.0, slowest=2**20), Bandwidth(50_000, lambda: clock[0], pause))
        with HttpServer(url, pool).get("/", {}) as found:
            assert body == found.read(10**6)
        pool.clear()
    assert 2.9 < sum(pauses) < 3.1
    assert max(pauses) <= 0.26
