"""The real program: `muster agent` as a process, over HTTP on this machine."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from agent_simulator import CLASS_NAME, MODEL_NAME, TOKEN, Repository, SimulatedServer, build, hash_of
from click.testing import CliRunner

from muster.agent.folder import DeviceFolder
from muster.agent.http_server import HttpServer
from muster.agent.journal import read_journal
from muster.agent.rehash import Rehash
from muster.agent.setbacks import Postponed
from muster.agent.slots import Slots
from muster.artifacts.tensors import dump_tensors
from muster.cli import exit_code_of
from muster.cli.agent import agent

PATIENCE = 20.0
KILLS = 32


class Handler(BaseHTTPRequestHandler):
    """The simulated server, over a socket."""

    protocol_version = "HTTP/1.1"
    simulated: SimulatedServer
    lock = threading.Lock()

    def do_GET(self) -> None:
        if self.path == "/redirect":
            self._answer(302, {"location": "http://127.0.0.1:1/"}, b"")
            return
        if self.path == "/drip":
            self._drip()
            return
        headers = {
            name: value for name, value in self.headers.items() if name in ("If-None-Match", "Range", "If-Range")
        }
        with self.lock, self.simulated.get(self.path, headers) as answer:
            self._answer(answer.status, dict(answer.headers), b"".join(answer.chunks))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with self.lock:
            answer = self.simulated.post(self.path, {"Authorization": self.headers.get("Authorization", "")}, body)
            self._answer(answer.status, dict(answer.headers), b"".join(answer.chunks))

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _drip(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"x" * 10)
        self.close_connection = True

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[tuple[SimulatedServer, str]]:
    simulated = SimulatedServer(Repository())
    with _over_http(simulated) as url:
        yield simulated, url


@contextlib.contextmanager
def _over_http(simulated: SimulatedServer) -> Iterator[str]:
    handler = type("BoundHandler", (Handler,), {"simulated": simulated})
    http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    http.daemon_threads = True
    thread = threading.Thread(target=lambda: http.serve_forever(0.02), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{http.server_port}"
    http.shutdown()
    http.server_close()
    thread.join()


def _enrol(url: str, folder: Path, root: Path, device_id: str, *options: str) -> None:
    arguments = ["enrol", "--folder", str(folder), "--server", url, "--device-id", device_id, "--root", str(root)]
    arguments += ["--device-class", CLASS_NAME, "--model", MODEL_NAME, "--label", "site=north", *options]
    done = CliRunner().invoke(agent, arguments, env={"MUSTER_TOKEN": TOKEN}, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert TOKEN not in done.output


@contextlib.contextmanager
def _running(folders: list[Path], *options: str) -> Iterator[subprocess.Popen[bytes]]:
    arguments = [argument for folder in folders for argument in ("--folder", str(folder))]
    child = subprocess.Popen(
        [sys.executable, "-m", "muster", "agent", "run", *arguments, "--poll-interval", "100ms", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        yield child
    finally:
        if child.poll() is None:
            child.kill()
        child.communicate()


def _until(condition, what: str) -> None:
    """Wait for another process, which no clock of ours can move on."""
    deadline = time.monotonic() + PATIENCE
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"not within {PATIENCE} s: {what}"
        pause.wait(0.02)


def _status(folder: Path) -> dict[str, object]:
    done = CliRunner().invoke(agent, ["status", "--folder", str(folder), "-o", "json"], catch_exceptions=False)
    assert done.exit_code == 0
    return json.loads(done.output)


def test_two_devices_in_one_process_survive_sigkill_and_drain_on_sigterm(
    tmp_path: Path, server: tuple[SimulatedServer, str]
) -> None:
    """Killed in the middle of a promotion, the next process ends where the first was going; SIGTERM exits 0."""
    simulated, url = server
    root = tmp_path / "root.json"
    root.write_bytes(simulated.repository.root)
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        _enrol(url, folder, root, folder.name)
    # Each device counts its own reports; the simulated server knows one counter only.
    heard = []
    simulated._take = lambda values, _headers: (heard.extend(values), _accept())[1]
    frames = tmp_path / "bright.tensors"
    frames.write_bytes(dump_tensors({"frames": np.full((4, 4), 16, np.uint8)}))
    first = build("1.0.0")
    entry = first.entry(1).model_copy(update={"health_window": 300_000})
    simulated.repository.publish(1, [entry], artifacts=(first,))
    options = ["--frames", str(frames), "--frame-interval", "5ms"]

    with _running(folders, *options) as child:
        _until(lambda: any(report["phase"] == "activated" for report in heard), "a trial")
        os.kill(child.pid, signal.SIGKILL)
    with _running(folders, *options) as child:
        healthy = lambda: {r["device_id"] for r in heard if r["phase"] == "healthy"}  # noqa: E731
        _until(lambda: healthy() == {"one", "two"}, "both devices healthy")
        child.send_signal(signal.SIGTERM)
        output, _ = child.communicate(timeout=PATIENCE)
    assert child.returncode == 0, output
    assert b"Traceback" not in output
    for folder in folders:
        status = _status(folder)
        assert status["models"][0]["running"] == first.release
        assert status["models"][0]["state"] == "confirmed"
        assert status["models"][0]["modelHash"] == hash_of(first)
        assert status["downloads"] == 1
    for device in ("one", "two"):
        phases = [report["phase"] for report in heard if report["device_id"] == device]
        assert {"offered", "downloaded", "verified", "loaded", "activated", "confirmed", "healthy"} <= set(phases)


def test_a_device_that_is_killed_dozens_of_times_serves_whole_models_and_gets_there(
    tmp_path: Path, server: tuple[SimulatedServer, str]
) -> None:
    """Real processes and real onnxruntime, SIGKILL at random times while four releases come: every restart finds a
    journal and serves what it says, and in the end the last release is confirmed.
    """
    simulated, url = server
    root = tmp_path / "root.json"
    root.write_bytes(simulated.repository.root)
    folder = tmp_path / "one"
    _enrol(url, folder, root, "one")
    releases = [build(f"1.{number}.0", sharpness=8.0 + number) for number in range(5)]
    entries = [
        built.entry(since).model_copy(update={"health_window": 100_000}) for since, built in enumerate(releases, 1)
    ]
    simulated.repository.publish(1, entries[:1], artifacts=(releases[0],))
    killer = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("killed_agents.py")), str(folder), "7", str(KILLS), "0.6"],
        stdout=subprocess.PIPE,
        text=True,
    )
    with killer:
        for number, line in enumerate(killer.stdout):
            assert line.split() == [str(number), str(int(signal.SIGKILL))]
            _must_be_whole(folder)
            if (number + 1) % (KILLS // 4) == 0:
                published = (number + 1) // (KILLS // 4)
                simulated.repository.publish(published + 1, [entries[published]], artifacts=(releases[published],))
    assert killer.returncode == 0
    assert number == KILLS - 1
    with _running([folder]) as child:
        _until(lambda: _status(folder)["models"][0]["running"] == releases[-1].release, "the last release")
        _until(lambda: _status(folder)["models"][0]["state"] == "confirmed", "it is confirmed")
        child.send_signal(signal.SIGTERM)
        child.communicate(timeout=PATIENCE)
    known = {None, *map(hash_of, releases)}
    assert {report.model_hash for report in simulated.reports} <= known
    sequences = [report.sequence for report in simulated.reports]
    assert sorted(set(sequences)) == sequences


def test_a_device_takes_its_artifact_from_the_mirror_that_it_was_given(
    tmp_path: Path, server: tuple[SimulatedServer, str]
) -> None:
    """Through the program: `enrol --mirror`, then `run` with a cap on bandwidth. The server gives no artifact."""
    simulated, url = server
    mirror = SimulatedServer(simulated.repository)
    root, folder = tmp_path / "root.json", tmp_path / "one"
    root.write_bytes(simulated.repository.root)
    first = build("1.0.0")
    simulated.repository.publish(1, [first.entry(1)], artifacts=(first,))
    simulated.away_for = f"{first.artifact[7:]}.tar"
    with _over_http(mirror) as place:
        _enrol(url, folder, root, "one", "--mirror", place)
        with _running([folder], "--bandwidth", "64KiB") as child:
            _until(lambda: _status(folder)["models"][0]["running"] == first.release, "the release")
            child.send_signal(signal.SIGTERM)
            child.communicate(timeout=PATIENCE)
    assert [path for _, path in mirror.requests if not path.endswith(".tar")] == []
    assert {method for method, _ in mirror.requests} == {"GET"}


def _must_be_whole(folder: Path) -> None:
    """The journal is read at the first attempt, and every slot that it counts on verifies."""
    device = DeviceFolder(folder)
    state, recovery = read_journal(device)
    assert recovery in ("whole", "fresh")
    for model in state.models.values():
        for slot in (model.confirmed, model.previous, model.trial.slot if model.trial else None):
            assert slot is None or Rehash(Slots(device).place(slot.artifact), slot).round() is None


def _accept():
    from agent_simulator import _json

    return _json(200, {"accepted": 1})


def test_status_is_shown_as_text(tmp_path: Path, server: tuple[SimulatedServer, str]) -> None:
    """Before anything was fetched, there is nothing to show but the device."""
    simulated, url = server
    root = tmp_path / "root.json"
    root.write_bytes(simulated.repository.root)
    _enrol(url, tmp_path / "one", root, "one")
    done = CliRunner().invoke(agent, ["status", "--folder", str(tmp_path / "one")], catch_exceptions=False)
    assert "one\tmeter-a" in done.output
    assert "meter-reader\t0\t-\tempty" in done.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["status", "--folder", "nothing"], "holds no enrolled device"),
        (["run", "--folder", "nothing"], "holds no enrolled device"),
        (["run", "--folder", "nothing", "--poll-interval", "5"], "--poll-interval: not a duration"),
        (["run", "--folder", "nothing", "--frames", "missing.tensors"], "cannot read missing.tensors"),
        (["run", "--folder", "nothing", "--bandwidth", "64"], "--bandwidth: not a size"),
        (["run", "--folder", "nothing", "--bandwidth", "100B"], "--bandwidth: 100B is too little"),
    ],
)
def test_bad_usage_is_told_without_a_traceback(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    """What is wrong, on standard error, with exit code 2."""
    monkeypatch.chdir(tmp_path)
    assert exit_code_of(["agent", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_redirect_is_not_followed(server: tuple[SimulatedServer, str]) -> None:
    """It could lead the secret to another host."""
    with pytest.raises(Postponed, match="redirect"), HttpServer(server[1]).get("/redirect", {}):
        pass


def test_an_answer_that_breaks_off_is_an_error(server: tuple[SimulatedServer, str]) -> None:
    """Fewer bytes than announced are no body."""
    with pytest.raises(Postponed), HttpServer(server[1]).get("/drip", {}) as answer:
        answer.read(10_000)


def test_an_answer_that_is_too_long_is_cut_off(server: tuple[SimulatedServer, str]) -> None:
    """Bounded, whatever the server sends."""
    server[0].repository.files["/long"] = bytes(100_000)
    with pytest.raises(Postponed, match="more than"), HttpServer(server[1]).get("/long", {}) as answer:
        answer.read(1_000)


def test_nobody_listening_is_a_server_that_is_away() -> None:
    """A refused connection is no traceback."""
    with pytest.raises(Postponed) as caught, HttpServer("http://127.0.0.1:1").get("/", {}):
        pass
    assert caught.value.error_code == "server_away"
