"""Polls and reports under load: one `muster run` on one core, beside nginx and beside a naive server.

    python benchmarks/serve_load.py [--rounds 5] [--seconds 2] [--devices 5000] [--only polls|reports]

Needs wrk, nginx and taskset (Debian: `make peers`), and two cores: whoever serves has core 0, wrk has core 1. All of
them run all the time, and one after the other gets the load, in short rounds. Two rates: requests per second of
processor time that the server's process spent, its loop and all threads included, and per second of the wall, with the
latencies that wrk saw. Medians of the rounds; a ratio is that of one round, with its least and its largest.

- polls: `timestamp.json`, 64 connections kept open, with the tag that the server gave (304) and without one (200).
  nginx serves the same folder. Judged by processor time: the wall's rate says as much about the neighbours.
- reports: one a request, each of another enrolled device, with its secret, on 256 connections. Muster answers when it
  is on disk. The naive server commits each report: FULL, so that it is on disk as well, and NORMAL, which a power cut
  may undo. Judged by the wall beside FULL: what a commit for each report costs is waiting for the disk, which no
  processor time tells.
- lines: a thousand reports of one device a request, as newline-delimited JSON, on 8 connections, beside the same naive
  server that gets one report a request. Judged by processor time.

What was acknowledged is counted in the storage after each round: a report that is not there fails the run.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import shutil
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "controller")]

import urllib3  # noqa: E402
from sqlalchemy import text  # noqa: E402

from controllers import EVERYONE, SECRET, Scene  # noqa: E402
from muster.observe.status import read_status  # noqa: E402
from muster.observe.storage import writing  # noqa: E402

POLL, SINGLE, BATCH = 1 / 3, 3.0, 12.0
"""Targets: Muster's rate over that of its peer."""

BATCHED = 1_000
FIRST_NUMBER, MOST_IN_A_ROUND = 1_000_000_000, 10_000_000
"""Reports count up from there: all numbers of a run have as many digits."""
CONNECTIONS = 64
OF_REPORTS, OF_LINES = 256, 8
TIMESTAMP = "/tuf/metadata/timestamp.json"

ENROL = """
WITH RECURSIVE number(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM number WHERE n + 1 < :count)
INSERT INTO devices (device_id, device_class, labels, models, secret_hash, enrolled_at, last_sequence, habit_ms)
SELECT printf('load-%08d', n), 'cam-day', '{}', '["meter-reader"]', :hash, '2026-01-01', 0, 0 FROM number
"""

NGINX = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/nginx.log crit;
events {{ worker_connections 1024; }}
http {{
    access_log off; keepalive_requests 1000000000; sendfile on; tcp_nopush on;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    types {{ application/json json; }}
    server {{ listen 127.0.0.1:{port}; location /tuf/ {{ alias {public}/; }} }}
}}
"""

DONE = """
function done(summary, latency, requests)
  local errors = summary.errors
  print("RESULT " .. summary.requests .. " " .. summary.duration .. " " .. latency:percentile(50) .. " "
    .. latency:percentile(99) .. " " .. (errors.connect + errors.read + errors.write + errors.timeout) .. " "
    .. errors.status)
end
"""

LUA_REPORT = """
local device, sequence, last = {first}, {sequence}, {last}
local tail = ',"model":"meter-reader","device_class":"cam-day","generation":1,"release":"meter-reader/1.0.0",'
  .. '"phase":"healthy","model_hash":"{model}","config_version":"{config}","runtime_version":"1.31.1",'
  .. '"delegate_active":"CPUExecutionProvider","p50_ms":1.25,"p95_ms":2.5,"peak_ram_mb":81.5,"inferences":1200}}'
local function id_of(number) return string.format("load-%08d", number) end
local function head_of(number) return '{{"device_id":"' .. id_of(number) .. '","sequence":' end
local function next_device(each)
  local found, from = device, sequence
  device = device + 1
  if device >= last then device, sequence = 0, sequence + each end
  return found, from
end
"""

# Made once for each device, but for the number: where cores share caches or more, what the load costs itself slows the
# server down.
LUA_REPORTS = """
local heads = {{}}
for number = 0, last - 1 do
  local head = "[" .. head_of(number)
  heads[number] = "POST /v1/reports HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\nAuthorization: Bearer " .. id_of(number)
    .. ":{secret}\\r\\nContent-Type: application/json\\r\\nContent-Length: "
    .. #head + #tostring(sequence) + #tail + 1 .. "\\r\\n\\r\\n" .. head
end
local tail = tail .. "]"
request = function()
  local found, from = next_device(1)
  return heads[found] .. from .. tail
end
"""

LUA_LINES = """
request = function()
  local found, from = next_device({each})
  local head, lines = head_of(found), {{}}
  for n = 0, {each} - 1 do
    lines[n + 1] = head .. (from + n) .. tail
  end
  return wrk.format("POST", "/v1/reports", {{["Authorization"] = "Bearer " .. id_of(found) .. ":{secret}",
    ["Content-Type"] = "application/x-ndjson"}}, table.concat(lines, "\\n") .. "\\n")
end
"""


@dataclass(frozen=True)
class Round:
    """What one round brought: requests answered, seconds of the wall and of the server's processor, ms."""

    answered: int
    wall: float
    spent: float
    p50: float
    p99: float

    @property
    def rate(self) -> float:
        """Requests per second of processor time."""
        return self.answered / self.spent

    @property
    def wall_rate(self) -> float:
        """Requests per second of the wall."""
        return self.answered / self.wall


class Peer:
    """A server in a process of its own, on core 0."""

    def __init__(self, name: str, command: list[str], port: int, log: Path, **environment: str) -> None:
        self.name = name
        self.port = port
        self._process = subprocess.Popen(
            ["/usr/bin/env", "taskset", "-c", "0", *command], env={**os.environ, **environment}, stderr=log.open("wb")
        )

    def wait(self, path: str) -> None:
        """Until it answers there."""
        pool = urllib3.PoolManager(retries=urllib3.Retry(150, backoff_factor=0.1, backoff_max=0.2))
        assert pool.request("GET", f"http://127.0.0.1:{self.port}{path}", timeout=5).status < 500

    def spent(self) -> float:
        """Seconds of processor time so far, of all its threads."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def load(self, script: str, scratch: Path, seconds: int, connections: int = CONNECTIONS) -> Round:
        """One round of wrk on core 1. Raises `AssertionError` if a request was refused."""
        lua = scratch / "load.lua"
        lua.write_text(script + DONE)
        command = ["taskset", "-c", "1", "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "20s"]
        before = self.spent()
        said = subprocess.run(
            [*command, "-s", str(lua), f"http://127.0.0.1:{self.port}"], capture_output=True, text=True, check=True
        ).stdout
        spent = self.spent() - before
        line = next(line for line in said.splitlines() if line.startswith("RESULT "))
        answered, duration, p50, p99, broken, refused = map(float, line.split()[1:])
        assert broken == refused == 0, f"{self.name}: {broken:g} broken, {refused:g} refused"
        return Round(int(answered), duration / 1e6, spent, p50 / 1e3, p99 / 1e3)

    def stop(self) -> None:
        """End it."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Site:
    """A fleet's repository and state folder, with something published and devices enrolled."""

    def __init__(self, folder: Path, devices: int) -> None:
        self.folder = folder
        self.devices = devices
        self.scene = Scene.set(folder / "muster")
        controller = self.scene.controller()
        self.scene.commit_release("1.0.0", EVERYONE)
        self.scene.tick(controller)
        with writing(controller.engine) as connection:
            self._pins = read_status(connection, "releases")["meter-reader/1.0.0"]
            connection.execute(text(ENROL), {"count": devices, "hash": hashlib.sha256(SECRET.encode()).hexdigest()})
        controller.close()
        self._begun = FIRST_NUMBER
        self._next = 0

    @contextlib.contextmanager
    def running(self, name: str, port: int) -> Iterator[Peer]:
        """One of `muster`, `nginx`, `naive-full`, `naive-normal`."""
        kind, _, synchronous = name.partition("-")
        environment = {"PYTHONPATH": f"{ROOT / 'controller'}:{ROOT / 'benchmarks'}"}
        python = sys.executable
        if kind == "muster":
            command = [python, "-m", "muster", "run", "--repository", str(self.scene.repository)]
            command += ["--state", str(self.scene.state), "--listen", f"127.0.0.1:{port}"]
        elif kind == "nginx":
            configuration = self.folder / "nginx.conf"
            public = self.scene.state / "public"
            configuration.write_text(NGINX.format(folder=self.folder, public=public, port=port))
            command = ["nginx", "-p", str(self.folder), "-c", str(configuration)]
        else:
            command = [python, "-m", "uvicorn", "--port", str(port), "--log-level", "critical", "--no-access-log"]
            command.append("naive_reports:app")
            environment |= {
                "NAIVE_DATABASE": str(self.folder / f"{name}.db"),
                "NAIVE_SYNCHRONOUS": synchronous.upper(),
            }
        log = self.folder / f"{name}.log"
        peer = Peer(name, command, port, log, **environment)
        try:
            peer.wait(TIMESTAMP)
            yield peer
        except Exception:
            print(log.read_text()[-2_000:])
            raise
        finally:
            peer.stop()

    def script(self, each: int) -> str:
        """Reports of one device after the other, `each` a request, with numbers above those of the round before."""
        self._begun += MOST_IN_A_ROUND
        return (LUA_REPORT + (LUA_REPORTS if each == 1 else LUA_LINES)).format(
            first=self._next,
            last=self.devices,
            sequence=self._begun + 1,
            each=each,
            # What the release pins, so that the figures count as its own.
            model=self._pins["model_hash"],
            config=self._pins["config_version"],
            secret=SECRET,
        )

    def ended(self, answered: int) -> None:
        """The next round begins with other devices than those whose last requests may still be under way."""
        self._next = (self._next + answered + 2 * OF_REPORTS) % self.devices

    def reports_taken(self) -> int:
        """Reports of the round that the storage has, of all devices."""
        with contextlib.closing(sqlite3.connect(self.scene.state / "muster.db")) as database:
            query = "SELECT coalesce(sum(last_sequence - ?), 0) FROM devices WHERE last_sequence > ?"
            return int(database.execute(query, (self._begun, self._begun)).fetchone()[0])


def tag(peer: Peer) -> str:
    """The tag that the server gives its timestamp; that it honours it is seen as well."""
    pool, url = urllib3.PoolManager(), f"http://127.0.0.1:{peer.port}{TIMESTAMP}"
    found = str(pool.request("GET", url).headers["etag"])
    assert pool.request("GET", url, headers={"If-None-Match": found}).status == 304
    return found


def poll_script(condition: str | None) -> str:
    """One request, which wrk sends again and again."""
    headers = f'{{["If-None-Match"] = {json.dumps(condition)}}}' if condition else "{}"
    return f'wrk.path = "{TIMESTAMP}"\nwrk.headers = {headers}\n'


def measure_polls(site: Site, ports: Iterator[int], options: argparse.Namespace) -> bool:
    """Beside nginx."""
    with site.running("muster", next(ports)) as muster, site.running("nginx", next(ports)) as nginx:
        rounds: dict[str, list[Round]] = {}
        for _ in range(options.rounds):
            for status in ("304", "200"):
                for peer in (muster, nginx):
                    script = poll_script(tag(peer) if status == "304" else None)
                    done = peer.load(script, site.folder, options.seconds)
                    rounds.setdefault(f"{status} {peer.name}", []).append(done)
    for name, done in rounds.items():
        tell(name, done)
    held = [compare(rounds[f"{status} muster"], rounds[f"{status} nginx"], status, POLL) for status in ("304", "200")]
    return all(held)


def measure_reports(site: Site, ports: Iterator[int], options: argparse.Namespace) -> bool:
    """Beside the naive server."""
    rounds: dict[str, list[Round]] = {}
    with contextlib.ExitStack() as running:
        names = ("muster", "naive-full", "naive-normal")
        peers = [running.enter_context(site.running(name, next(ports))) for name in names]
        # Once before, unmeasured: every row is there, and the devices are known, as in a fleet that reports.
        for number in range(options.rounds + 1):
            for peer, each in [*((peer, 1) for peer in peers), (peers[0], BATCHED)]:
                script = site.script(each)
                done = peer.load(script, site.folder, options.seconds, OF_LINES if each > 1 else OF_REPORTS)
                site.ended(done.answered)
                said = done.answered * each
                if peer.name == "muster":
                    there = site.reports_taken()
                    assert there >= said, f"{said} acknowledged, {there} there"
                if number:
                    what = "lines" if each > 1 else "reports"
                    rounds.setdefault(f"{what} {peer.name}", []).append(replace(done, answered=said))
    for name, measured in rounds.items():
        tell(name, measured)
    naive = rounds["reports naive-full"]
    compare(rounds["reports muster"], rounds["reports naive-normal"], "reports, beside NORMAL", None)
    held = compare(rounds["reports muster"], naive, "reports", SINGLE, by_wall=True)
    return compare(rounds["lines muster"], naive, "lines", BATCH) and held


def tell(name: str, rounds: list[Round]) -> None:
    """Print what one server did."""
    figures = ((one.rate, one.wall_rate, one.p50, one.p99) for one in rounds)
    rate, wall, p50, p99 = (statistics.median(values) for values in zip(*figures, strict=True))
    best = max(one.rate for one in rounds)
    print(
        f"{name:>22}: {rate:9,.0f}/CPU-s (best {best:9,.0f}) {wall:9,.0f}/s, p50 {p50:7.2f} ms, p99 {p99:8.2f} ms",
        flush=True,
    )


def compare(ours: list[Round], theirs: list[Round], what: str, target: float | None, *, by_wall: bool = False) -> bool:
    """Print both ratios; true if the one that is judged reaches the target."""
    pairs = list(zip(ours, theirs, strict=True))
    ratios = {
        "processor time": [own.rate / other.rate for own, other in pairs],
        "wall": [own.wall_rate / other.wall_rate for own, other in pairs],
    }
    said = [f"{median(found):.2f} ({min(found):.2f} to {max(found):.2f}) by {by}" for by, found in ratios.items()]
    judged = median(ratios["wall" if by_wall else "processor time"])
    aim = f"; target {target:.2f} by {'wall' if by_wall else 'processor time'}" if target else ""
    print(f"{what:>22}: {', '.join(said)}{aim}", flush=True)
    return target is None or judged >= target


def main() -> int:
    """Exit 1 if a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--devices", type=int, default=5_000)
    parser.add_argument("--port", type=int, default=18_470)
    parser.add_argument("--only", choices=["polls", "reports"])
    options = parser.parse_args()
    missing = [name for name in ("wrk", "nginx", "taskset") if shutil.which(name) is None]
    if missing or (os.cpu_count() or 1) < 2:
        print(f"skipped: needs two cores and {', '.join(missing) or 'nothing else'} (make peers)")
        return 0
    held = True
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        site = Site(Path(scratch), options.devices)
        ports = iter(range(options.port, options.port + 16))
        if options.only != "reports":
            held &= measure_polls(site, ports, options)
        if options.only != "polls":
            held &= measure_reports(site, ports, options)
    print(f"{time.monotonic() - began:.0f} s")
    return int(not held)


if __name__ == "__main__":
    sys.exit(main())
