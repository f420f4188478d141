"""The real server on a loopback port, over a state folder; and a device that enrols and reports by hand."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import urllib3
from sqlalchemy import Engine

from muster.attest.state_keys import StateKeys
from muster.observe.storage import metadata, open_storage, writing
from muster.plan.world import Published
from muster.serve.application import ANYONE, ServeFolders, build_application
from muster.serve.direct import Direct
from muster.serve.fleet_view import FleetView
from muster.serve.guard import Access
from muster.serve.server import run_server

SECRET = "s" * 43


class Site:
    """A server on a state folder, and an HTTP client. `around` is put around the application."""

    def __init__(
        self,
        state: Path,
        access: Access = ANYONE,
        around: Callable[[Any], Any] = lambda inner: inner,
        around_direct: Callable[[Direct], Direct] = lambda direct: direct,
    ) -> None:
        self.state = state
        self.access = access
        self.around = around
        self.around_direct = around_direct
        self.published = Published()
        self.keys = StateKeys.of(state)
        self.keys.make()
        self.engine: Engine = open_storage(state)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.http = urllib3.PoolManager(
            retries=urllib3.Retry(connect=50, backoff_factor=0.05, respect_retry_after_header=False), timeout=10
        )
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopped = asyncio.Event()
        self._ready.set()
        tokens = self.keys.enrolment_token_path, self.keys.operator_token_path
        folders = ServeFolders(
            self.state / "public", *tokens, self.state / "store", self.state, self.keys.gateway_token_path
        )
        view = FleetView(self.engine, lambda: self.published)
        application = build_application(self.engine, view, folders, timedelta(minutes=1), access=self.access)
        direct = self.around_direct(application.state.direct)
        await run_server(self.around(application), folders.public, "127.0.0.1", self.port, self._stopped, direct)

    def start(self) -> None:
        self._thread.start()
        self._ready.wait()
        # Retried until it listens: not every client of a test would.
        assert self.ask("GET", "/healthz")[0] == 200

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join()
        self.http.clear()
        self.engine.dispose()

    def empty(self) -> None:
        """Forget everything that was stored or published."""
        self.published = Published()
        with writing(self.engine) as connection:
            for table in metadata.sorted_tables:
                connection.execute(table.delete())

    def ask(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        answer = self.http.request(method, self.url + path, **options)
        kind = answer.headers.get("content-type", "")
        return answer.status, answer.json() if kind.startswith("application/json") else answer.data

    def enrol(self, device_id: str = "dev-1", **changes: Any) -> tuple[int, Any]:
        body = {
            "device_id": device_id,
            "device_class": "cam-day",
            "labels": {},
            "models": ["meter-reader"],
            "token": self.keys.enrolment_token(),
            "secret": SECRET,
        }
        return self.ask("POST", "/v1/enrol", json={**body, **changes})

    def report(self, *reports: dict[str, Any], token: str = f"dev-1:{SECRET}") -> tuple[int, Any]:
        return self.ask("POST", "/v1/reports", json=list(reports), headers={"Authorization": f"Bearer {token}"})


def report(sequence: int, **changes: Any) -> dict[str, Any]:
    return {
        "device_id": "dev-1",
        "sequence": sequence,
        "model": "meter-reader",
        "device_class": "cam-day",
        "generation": 1,
        "release": "meter-reader/1.0.0",
        "phase": "healthy",
        "model_hash": None,
        "config_version": None,
        "runtime_version": "1.31.1",
        **changes,
    }
