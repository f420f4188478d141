"""`muster run` as a process: it sees a commit at once, and ends cleanly."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from controllers import EVERYONE, Scene
from fleets import make_release
from muster.kinds.errors import TryAgain
from muster.serve.client import ControllerClient
from scratch_repository import commit_all


def until(condition: Callable[[], object], seconds: float = 30) -> None:
    """Poll another process; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not seen in time"
        time.sleep(0.05)


class Run:
    """`muster run` on a scene, polling once an hour only."""

    def __init__(self, scene: Scene) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.client = ControllerClient(f"http://127.0.0.1:{port}", scene.state)
        command = [sys.executable, "-m", "muster", "run", "--repository", str(scene.repository), "-o", "json"]
        command += ["--state", str(scene.state), "--listen", f"127.0.0.1:{port}", "--interval", "1h"]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)

    def generation(self) -> int:
        try:
            return self.client.get("/v1/status").get("generation", -1)
        except TryAgain:
            assert self.process.poll() is None
            return -1


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene.set(tmp_path)


@pytest.fixture
def run(scene: Scene) -> Iterator[Run]:
    scene.commit_release("1.0.0", EVERYONE)
    run = Run(scene)
    yield run
    run.process.kill()
    run.process.wait()
    assert run.process.stderr
    run.process.stderr.close()


def test_a_commit_is_seen_at_once(scene: Scene, run: Run) -> None:
    """With an hour between two looks, a commit is published because its ref is watched."""
    until(lambda: run.generation() == 1)
    scene.commit_release("1.1.0", EVERYONE)
    until(lambda: run.generation() == 2)


def test_sigterm_drains(run: Run) -> None:
    """SIGTERM ends the process with 0 after what was under way, and its log is JSON lines."""
    until(lambda: run.generation() == 1)
    run.process.send_signal(signal.SIGTERM)
    assert run.process.wait(20) == 0
    assert run.process.stderr
    said = [json.loads(line)["message"] for line in run.process.stderr.read().decode().splitlines()]
    assert "publish: generation 1" in said
    # The tick that published may tell of it after it was asked to stop.
    assert any(message.startswith("stopping") for message in said[-2:])


def test_sigkill_and_a_start_lose_and_repeat_nothing(scene: Scene, run: Run) -> None:
    """After SIGKILL the next start goes on from what is on disk: no generation is skipped or made twice."""
    until(lambda: run.generation() == 1)
    run.process.kill()
    run.process.wait()
    scene.commit_release("1.1.0", EVERYONE)
    second = Run(scene)
    try:
        until(lambda: second.generation() == 2)
        events = [event["key"] for event in second.client.pages("/v1/ledger")]
        assert [key for key in events if key.startswith("published:")] == ["published:1", "published:2"]
    finally:
        second.process.kill()
        second.process.wait()
        assert second.process.stderr
        second.process.stderr.close()


def test_a_taken_address_is_refused(scene: Scene) -> None:
    """Two servers on one port would answer in turn: the second does not start, and says why."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        command = [sys.executable, "-m", "muster", "run", "--repository", str(scene.repository)]
        command += ["--state", str(scene.state), "--listen", address]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert f"cannot listen on {address}" in done.stderr


def test_once_tells_whether_everything_was_carried_out(scene: Scene) -> None:
    """`--once` publishes what is ready and exits 0; with a release that cannot be built it exits 1."""
    command = [sys.executable, "-m", "muster", "run", "--once", "--repository", str(scene.repository)]
    command += ["--state", str(scene.state)]
    scene.commit_release("1.0.0", EVERYONE)
    assert subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0
    scene.declare("releases/meter-reader/1.1.0.yaml", make_release("1.1.0", {"canary": "100%"}))
    commit_all(scene.repository, "A release without a builder lock")
    assert subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 1
