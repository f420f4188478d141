"""Prometheus as a metric source: Debian's real one, and servers that answer anything but what they should."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from source_conformance import CLASS, NEW, TALLY, SourceConformance, question

from muster.observe import tallies
from muster.observe.prometheus_source import ANSWER_LIMIT, PrometheusSource, open_prometheus
from muster.observe.storage import open_storage, writing
from muster.plan.metric_source import CannotTell
from muster.serve.metrics import render


@cache
def begun() -> datetime:
    """When the real Prometheus is first asked for: it goes by its own clock, and answers about the last minutes."""
    return datetime.now(UTC).replace(microsecond=0)


MISSING = [program for program in ("prometheus", "promtool") if shutil.which(program) is None]
needs_prometheus = pytest.mark.skipif(bool(MISSING), reason=f"{', '.join(MISSING)} missing: make peers")


def exposition(folder: Path) -> str:
    """Our /metrics page as OpenMetrics with a time beside each sample, which is what promtool makes blocks from."""
    engine = open_storage(folder / "state")
    with writing(engine) as connection:
        tallies.add(connection, TALLY)
    page = render(engine).decode()
    engine.dispose()
    lines = []
    for family in text_string_to_metric_families(page):
        if not family.name.startswith("muster_tally"):
            continue
        lines.append(f"# TYPE {family.name} gauge")
        for sample in family.samples:
            labels = ",".join(f"{name}={json.dumps(value)}" for name, value in sample.labels.items())
            lines.append(f"{sample.name}{{{labels}}} {sample.value} {begun().timestamp()}")
    return "\n".join([*lines, "# EOF", ""])


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prometheus that has what the page said when it was `begun`."""
    folder = tmp_path_factory.mktemp("prometheus")
    (folder / "page").write_text(exposition(folder))
    (folder / "prometheus.yml").write_text("global: {}\n")
    data = folder / "data"
    make_blocks = ["promtool", "tsdb", "create-blocks-from", "openmetrics", folder / "page", data]
    subprocess.run(make_blocks, check=True, capture_output=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{free.getsockname()[1]}"
    command = [
        "prometheus",
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={data}",
        f"--web.listen-address={place}",
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            said.append(line)
            if "ready to receive web requests" in line:
                break
        else:
            pytest.fail("".join(said))
        # It goes on talking; a full pipe would stop it.
        threading.Thread(target=process.stderr.read, daemon=True).start()
        yield f"http://{place}"
        process.terminate()


@needs_prometheus
class TestPrometheus(SourceConformance):
    """All of the suite, against the real server."""

    @pytest.fixture
    def source(self, address: str) -> Iterator[PrometheusSource]:
        found = open_prometheus("theirs", address, None, lambda: begun() + timedelta(seconds=30))
        yield found
        found.client.close()

    def test_old_counts_cannot_tell(self, address: str) -> None:
        """Scrapes that stopped an hour ago say nothing about now, and neither do those of a clock that is ahead."""
        for hours in (1, -1):
            late = open_prometheus("theirs", address, None, lambda hours=hours: begun() + timedelta(hours=hours))
            assert isinstance(late.counts(question("failure-share")), CannotTell)
            late.client.close()

    def test_a_name_is_never_part_of_a_query(self, source: PrometheusSource) -> None:
        """Quotes and braces are a name that nobody has."""
        assert source.strata('x"} or vector(1) #\\', CLASS) == ()


Respond = Callable[[str], tuple[int, bytes]]


def vector(*samples: Any) -> bytes:
    return json.dumps({"status": "success", "data": {"resultType": "vector", "result": list(samples)}}).encode()


NOW = datetime.now(UTC)
FRESH = {"metric": {}, "value": [0, str(NOW.timestamp())]}
CELL = {name: str(int(part)) if isinstance(part, int) else part for name, part in next(iter(TALLY))._asdict().items()}


def cells(metric: Any, value: Any = "1") -> Respond:
    """A fresh time, and this one sample for every other query."""
    return lambda query: (200, vector(FRESH if "timestamp" in query else {"metric": metric, "value": [0, value]}))


def always(status: int, body: bytes) -> Respond:
    return lambda _query: (status, body)


WRONG: dict[str, Respond] = {
    "an error page": always(502, b"<html>bad gateway</html>"),
    "no JSON": always(200, b"<html>welcome</html>"),
    "half an answer": always(200, vector(FRESH)[:-9]),
    "nested without end": always(200, b"[" * 200_000),
    "a list": always(200, b"[]"),
    "a redirect": always(302, b""),
    "too long": always(200, b" " * (ANSWER_LIMIT + 1)),
    "a refusal": always(422, b'{"status":"error","errorType":"execution","error":"query timed out"}'),
    "no time": always(200, vector()),
    "a time that is no number": always(200, vector({"metric": {}, "value": [0, "NaN"]})),
    "another shape": always(200, b'{"status":"success","data":{"resultType":"scalar","result":[0,"1"]}}'),
    "a warning": lambda query: (
        200,
        vector(FRESH)[:-1] + (b"}" if "timestamp" in query else b',"warnings":["remote read: partial"]}'),
    ),
    "less than no devices": cells(CELL, "-1"),
    "half a device": cells(CELL, "0.5"),
    "more devices than there are": cells(CELL, "1e300"),
    "no number": cells(CELL, None),
    "labels that are none": cells(["x"]),
    "a label that is a number": cells({**CELL, "release": 7}),
    "a generation that is none": cells({**CELL, "generation": "new"}),
    "a side that is neither": cells({**CELL, "left": "maybe"}),
    "a bucket that is none": cells({**CELL, "what": "p95-latency", "bucket": "fast"}),
}


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    """A server that answers what a test puts into `respond`."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = self.rfile.read(int(self.headers["Content-Length"])).decode()
            status, body = self.server.respond(query)
            self.send_response(status)
            self.send_header("Location", "http://127.0.0.1:1/")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            try:
                self.wfile.write(body)
            except OSError:
                self.close_connection = True

        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield found
        found.shutdown()


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_cannot_tell(server: Any, name: str) -> None:
    """No counts, the source's name, and a reason; never an exception, and never a pass."""
    server.respond = WRONG[name]
    source = open_prometheus("theirs", f"http://127.0.0.1:{server.server_address[1]}", "secret", lambda: NOW)
    found = source.counts(question("p95-latency"))
    assert isinstance(found, CannotTell)
    assert found.source == "theirs"
    assert "secret" not in found.reason
    assert isinstance(source.strata(NEW, CLASS), CannotTell)
    source.client.close()


def test_nobody_there_cannot_tell() -> None:
    """A port that nothing listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        source = open_prometheus("theirs", f"http://127.0.0.1:{taken.getsockname()[1]}", None, lambda: NOW)
        assert isinstance(source.counts(question("failure-share")), CannotTell)
        source.client.close()
