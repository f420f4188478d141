"""A channel that people read: a real HTTP server on 127.0.0.1 that takes CloudEvents and keeps them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class ServedChannel:
    """`status` is what it answers."""

    url: str = ""
    status: int = 200
    events: list[dict[str, Any]] = field(default_factory=list)


@contextmanager
def served_channel() -> Iterator[ServedChannel]:
    """The channel, while it is served."""
    channel = ServedChannel()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            channel.events.append(json.loads(body))
            self.send_response(channel.status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        channel.url = f"http://127.0.0.1:{server.server_port}/"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield channel
        finally:
            server.shutdown()
            thread.join()
