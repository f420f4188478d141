"""Every route of a real server under Schemathesis, which makes requests from the OpenAPI document, good and bad ones.

The server counts what it answers itself: by handler and status. `make fuzz` runs it for five minutes.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from captured import SAMPLE, published, terms
from muster.kinds.cohort import Selector
from muster.kinds.desired import DesiredDocument, Entry, OrderedCohort
from muster.observe.status import write_status
from muster.observe.storage import writing
from muster.serve.answers import HttpError
from muster.serve.direct import Direct, DirectRequest, Handler
from muster.serve.guard import Access, Rates
from muster.serve.limits import Rate
from muster.serve.published_cache import LARGEST
from sites import SECRET, Site, report

TESTS = Path(__file__).resolve().parent
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
# Limits would answer nearly everything themselves; they have tests of their own.
UNLIMITED = Rate(10**9, 10**9)
PINS = {"model_hash": "sha256:" + "0" * 64, "config_version": "sha256:" + "1" * 64, "artifact": "sha256:" + "2" * 64}
REPORTER = "reporter"
UPDATE_CLASS = "cam-swu"
Send = Callable[[Any], Awaitable[None]]


class Counting:
    """An ASGI application that counts what the one inside answers."""

    def __init__(self, inner: Any, counts: Counter[tuple[str, int]]) -> None:
        self._inner = inner
        self._counts = counts

    async def __call__(self, scope: Any, receive: Any, send: Send) -> None:
        async def noting(message: Any) -> None:
            if message["type"] == "http.response.start":
                endpoint = scope.get("endpoint")
                name = getattr(endpoint, "__qualname__", type(endpoint).__name__ if endpoint else "-")
                self._counts[name, message["status"]] += 1
            await send(message)

        await self._inner(scope, receive, noting)


def counting(direct: Direct, counts: Counter[tuple[str, int]]) -> Direct:
    """The same for what is answered without ASGI."""

    def around(handler: Handler) -> Handler:
        async def noting(request: DirectRequest) -> bytes:
            status = 500
            try:
                body = await handler(request)
                status = 200
            except HttpError as error:
                status = error.status
                raise
            finally:
                counts[handler.__qualname__, status] += 1
            return body

        return noting

    return {route: around(handler) for route, handler in direct.items()}


@dataclass(frozen=True)
class Fuzzed:
    """What was answered, by handler and status; and what Schemathesis said of it."""

    counts: Counter[tuple[str, int]]
    said: str
    exit_code: int

    @property
    def server_errors(self) -> dict[tuple[str, int], int]:
        return {key: count for key, count in self.counts.items() if key[1] >= 500}

    def handlers(self, status: int) -> set[str]:
        """Those that ever answered so."""
        return {name for name, code in self.counts if code == status}


def prepare(site: Site) -> None:
    """What the loop would have said, and some devices in every state."""
    now = datetime.now(UTC)
    # Ahead, so that the loop is not late while this runs.
    loop = {"at": (now + timedelta(days=1)).isoformat(), "ready": True, "reason": "fine", "suspensions": []}
    with writing(site.engine) as connection:
        write_status(connection, "loop", loop, now)
        write_status(connection, "releases", {"meter-reader/1.0.0": PINS}, now)
        write_status(connection, "declared", {"commit": "d" * 40}, now)
        write_status(connection, "plan", {"verdicts": [], "waits": [], "actions": []}, now)
    for number in range(3):
        site.enrol(f"dev-{number}", labels={"site": "north"})
    # Not one of those that are revoked meanwhile.
    site.enrol(REPORTER)
    site.report(report(1, device_id=REPORTER), token=f"{REPORTER}:{SECRET}")
    site.published = published(terms())
    device = {"Authorization": f"Bearer {REPORTER}:{SECRET}"}
    assert site.ask("POST", "/v1/captures", json=SAMPLE, headers=device)[0] == 201
    prepare_update_client(site, now)
    (site.state / "public" / "targets").mkdir(parents=True, exist_ok=True)
    # Too large for the answers that are kept in memory, which this would not see.
    (site.state / "public" / "targets" / "file").write_bytes(bytes(LARGEST + 1))


def prepare_update_client(site: Site, now: datetime) -> None:
    """A class whose devices speak DDI, one device of it, a release and its package."""
    site.keys.make_gateway_token()
    site.enrol("client-1", device_class=UPDATE_CLASS)
    entry = Entry(
        release="meter-reader/1.0.0",
        version="1.0.0",
        since=1,
        artifact={"digest": PINS["artifact"], "size": 10},
        model_hash=PINS["model_hash"],
        config_version=PINS["config_version"],
        runtime_version="1.31.1",
        provider="CPUExecutionProvider",
        health_window="1us",
        salt="meter-reader/1.0.0",
        ppm={"fleet": 1_000_000},
    )
    document = DesiredDocument(
        model="meter-reader",
        device_class=UPDATE_CLASS,
        generation=1,
        commit="0" * 40,
        poll_interval="1s",
        cohorts=(OrderedCohort(name="fleet", selector=Selector()),),
        entries=(entry,),
    )
    documents = {**site.published.documents, ("meter-reader", UPDATE_CLASS): document}
    site.published = replace(site.published, documents=documents)
    package = site.state / "package.tar"
    package.write_bytes(b"0123456789")
    hashes = {"sha1": "0" * 40, "md5": "0" * 32, "sha256": "0" * 64}
    file = {"filename": "p.tar", "path": package.name, "size": 10, "version": "1.0.0", **hashes}
    said = {UPDATE_CLASS: {"package": "tar", "models": ["meter-reader"], "files": {PINS["artifact"]: file}}}
    with writing(site.engine) as connection:
        write_status(connection, "ddi", said, now)


def fuzz(folder: Path, seed: int, seconds: int | None, *more: str) -> Fuzzed:
    """Run Schemathesis on a server below `folder`: for that long, or (None) once through what `more` asks for."""
    counts: Counter[tuple[str, int]] = Counter()
    rates = Rates(UNLIMITED, UNLIMITED, UNLIMITED)
    site = Site(
        folder / "state",
        Access(rates=rates),
        lambda inner: Counting(inner, counts),
        lambda direct: counting(direct, counts),
    )
    site.start()
    try:
        prepare(site)
        gateway_token = site.keys.gateway_token_path.read_text().strip()
        config = folder / "schemathesis.toml"
        config.write_text(
            f'[auth.openapi.operator]\nbearer = "{site.keys.operator_token()}"\n'
            f'[auth.openapi.updateClient]\napi_key = "GatewayToken {gateway_token}"\n'
            f'[auth.openapi.device]\nbearer = "{REPORTER}:{SECRET}"\n'
        )
        environment = {**os.environ, "SCHEMATHESIS_HOOKS": "http_fuzz_hooks", "FUZZ_TOKEN": site.keys.enrolment_token()}
        environment["FUZZ_SAMPLE"] = json.dumps(SAMPLE)
        environment["PYTHONPATH"] = os.pathsep.join([str(TESTS), environment.get("PYTHONPATH", "")])
        command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run"]
        options = [f"--seed={seed}", f"--checks={CHECKS}", "--continue-on-failure", *more]
        options += [f"--max-time={seconds}"] if seconds else []
        done = subprocess.run(
            [*command, f"{site.url}/openapi.json", *options],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=(seconds or 60) + 120,
        )
    finally:
        site.stop()
    return Fuzzed(counts, re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr), done.returncode)
