"""The device is stopped before every call that changes its disk and before every request, and loses what it may lose.

The next start ends in exactly one of: the old confirmed model runs, the new one is on trial, the new one is confirmed.
From there the device gets where it would have got, and what it told the server before stays true.
"""

from __future__ import annotations

import copy
import hashlib
import os
import pickle
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

import pytest
from agent_simulator import BRIGHT, WINDOW_SECONDS, Bench, Built, Repository, SimulatedServer, hash_of
from lossy_disk import LOSSES, LossyDisk, QuickDisk, Tree, lay_out
from outcomes import hold
from simulated_runtime import SimulatedRuntime, simulated

from muster.agent.folder import DeviceFolder
from muster.kinds.desired import Halt

FIRST = simulated("1.0.0", 8.0)
SECOND = simulated("1.1.0", 9.0)
DOUBTFUL = simulated("1.2.0", 0.5)
"""Answers, but never with confidence: its trial fails."""
THIRD = simulated("1.3.0", 10.0)
FOURTH = simulated("1.4.0", 11.0)
RELEASES = (FIRST, SECOND, DOUBTFUL, THIRD, FOURTH)

Step = Literal[
    "first installation",
    "upgrade, trial, confirmation",
    "failing trial, rollback",
    "upgrade before the halt",
    "halt, return",
    "download interrupted and resumed",
]
STEPS: tuple[Step, ...] = get_args(Step)
OLD_AND_NEW: dict[Step, tuple[Built | None, Built, Built]] = {
    "first installation": (None, FIRST, FIRST),
    "upgrade, trial, confirmation": (FIRST, SECOND, SECOND),
    "failing trial, rollback": (SECOND, DOUBTFUL, SECOND),
    "upgrade before the halt": (SECOND, THIRD, THIRD),
    "halt, return": (THIRD, SECOND, SECOND),
    "download interrupted and resumed": (SECOND, FOURTH, FOURTH),
}
"""Step → what was confirmed before it, what it brings, and what is confirmed at its end."""
KNOWN = {"identity.json", "secret", "root.json", "journal", "journal.1", "slots", "staging", "tuf"}


@dataclass
class Served:
    """What a server holds, frozen."""

    files: dict[str, bytes]


@dataclass
class WatchedServer(SimulatedServer):
    """Every request may be the last thing that the device did."""

    on_call: object = None

    @contextmanager
    def get(self, path: str, headers) -> Iterator[object]:
        self.on_call("request")
        with super().get(path, headers) as answer:
            yield answer

    def post(self, path: str, headers, body: bytes):
        self.on_call("request")
        answer = super().post(path, headers, body)
        # The server took it, and the device never heard so.
        self.on_call("request")
        return answer


@dataclass
class CrashPoint:
    """A device as it is found, and its server as it was. `losses`: how many crashes leave just this, by their loss."""

    where: str
    step: Step
    tree: Tree
    server: SimulatedServer
    losses: Counter[str] = field(default_factory=Counter)


class Recorder:
    """Called before every call. Keeps what differs from all points before."""

    def __init__(self) -> None:
        self.step: Step = "first installation"
        self.calls = Counter[str]()
        self.points: dict[bytes, CrashPoint] = {}
        self.disk: LossyDisk | None = None
        self.server: SimulatedServer | None = None

    def __call__(self, call: str) -> None:
        if self.disk is None:
            return
        self.calls[call] += 1
        self.disk.look()
        number = self.calls.total()
        server = _snapshot(self.server)
        for loss in LOSSES:
            tree = self.disk.left(loss, number)
            stamp = (self.step, tree, self.server.repository.version, self.server.last_sequence)
            key = hashlib.sha256(pickle.dumps(stamp)).digest()
            where = f"{self.step}: before call {number} ({call}), loss: {loss}"
            self.points.setdefault(key, CrashPoint(where, self.step, tree, server)).losses[loss] += 1


def _snapshot(server: SimulatedServer) -> SimulatedServer:
    frozen = SimulatedServer(Served(dict(server.repository.files)))
    frozen.secrets, frozen.reports = dict(server.secrets), list(server.reports)
    frozen.last_sequence = server.last_sequence
    return frozen


@dataclass
class Rebooted(Bench):
    """A device that was found so."""

    server: SimulatedServer | None = None
    runtime: object = field(default_factory=SimulatedRuntime)
    frames: object = field(default_factory=lambda: BRIGHT)
    frames_per_tick: int = 25

    def __post_init__(self) -> None:
        self.folder = DeviceFolder(self.path, QuickDisk())


def _publish(bench: Bench, step: Step) -> None:
    publish = bench.repository.publish
    match step:
        case "first installation":
            publish(1, [FIRST.entry(1)], artifacts=(FIRST,))
        case "upgrade, trial, confirmation":
            publish(2, [SECOND.entry(2), FIRST.entry(1)], artifacts=(SECOND,))
        case "failing trial, rollback":
            publish(3, [DOUBTFUL.entry(3), SECOND.entry(2)], artifacts=(DOUBTFUL,))
        case "upgrade before the halt":
            publish(4, [THIRD.entry(4), SECOND.entry(2)], artifacts=(THIRD,))
        case "halt, return":
            halt = Halt(release=THIRD.release, artifact=THIRD.artifact, reason="low confidence")
            publish(5, [SECOND.entry(2)], halted=(halt,))
        case "download interrupted and resumed":
            publish(6, [FOURTH.entry(6), SECOND.entry(2)], artifacts=(FOURTH,))
            bench.server.cut_after = 2_048


def _run(bench: Bench, step: Step) -> None:
    """The step as it goes when nothing happens."""
    bench.tick()
    if bench.server.cut_after:
        bench.server.cut_after = None
        bench.tick()
    bench.tick(WINDOW_SECONDS)
    confirmed = OLD_AND_NEW[step][2]
    assert (confirmed.artifact, None) == (bench.state.confirmed.artifact, bench.state.trial)
    assert hash_of(confirmed) == bench.running


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorder:
    """The whole story once, with everything that could be found after a crash on its way."""
    recorder = Recorder()
    path = tmp_path_factory.mktemp("story")
    bench = Bench(path, runtime=SimulatedRuntime(), frames=BRIGHT, frames_per_tick=25)
    server = WatchedServer(bench.repository, on_call=recorder, chunk=2_048)
    server.secrets = bench.server.secrets
    bench.server = recorder.server = server
    recorder.disk = LossyDisk(bench.folder.path, recorder)
    bench.folder = DeviceFolder(bench.folder.path, recorder.disk)
    _publish(bench, STEPS[0])
    bench.start()
    for step in STEPS:
        recorder.step = step
        if step != STEPS[0]:
            _publish(bench, step)
        _run(bench, step)
    assert {"tuf"} == recorder.disk.unasked, "something was written past the disk"
    return recorder


def _outcome(bench: Bench, step: Step) -> str:
    """Which of the three it is. Anything else is a failure."""
    old, new, _ = OLD_AND_NEW[step]
    state = bench.state
    running = state.running
    assert bench.running == (hash_of(_built(running.artifact)) if running else None), "another model than it says"
    if running is None:
        assert old is None, "nothing runs"
        return "nothing yet"
    if old and running.artifact == old.artifact:
        assert state.trial is None
        return "old confirmed"
    assert new.artifact == running.artifact
    if state.trial:
        assert (old.artifact if old else None) == (state.confirmed.artifact if state.confirmed else None)
        return "new on trial"
    return "new confirmed"


def _built(artifact: str) -> Built:
    return next(built for built in RELEASES if built.artifact == artifact)


def _boot(point: CrashPoint, path: Path) -> tuple[Rebooted, str]:
    """Start on what was found, with the server away: what runs is the device's own doing."""
    lay_out(point.tree, path)
    bench = Rebooted(path, repository=Repository.__new__(Repository), server=copy.copy(point.server))
    bench.server.reports, bench.server.away = list(point.server.reports), True
    bench.start()
    outcome = _outcome(bench, point.step)
    new = OLD_AND_NEW[point.step][1]
    told = [report.phase for report in bench.server.reports if report.release == new.release]
    if point.step != "halt, return" and "confirmed" in told:
        assert outcome == "new confirmed", "it told the server that the release is confirmed, and forgot it"
    return bench, outcome


def _converge(bench: Bench, step: Step) -> None:
    """The server is back: the device gets there, and leaves nothing behind."""
    bench.server.away = False
    confirmed = OLD_AND_NEW[step][2]
    for _ in range(6):
        bench.tick(WINDOW_SECONDS)
        state = bench.state
        failed = step != "failing trial, rollback" or DOUBTFUL.artifact in state.quarantine
        if failed and state.trial is None and state.confirmed and state.confirmed.artifact == confirmed.artifact:
            break
    bench.tick()
    assert (confirmed.artifact, None, None) == (state.confirmed.artifact, bench.state.trial, bench.state.staging)
    assert hash_of(confirmed) == bench.running
    assert {name.removeprefix("sha256:") for name in bench.state.kept} == {
        path.name for path in bench.folder.slots.iterdir()
    }
    assert list(bench.folder.staging.iterdir() if bench.folder.staging.exists() else []) == []
    assert {path.name for path in bench.folder.path.iterdir()} <= KNOWN
    assert {built.artifact for built in RELEASES if built is not DOUBTFUL}.isdisjoint(bench.state.quarantine)
    sequences = [report.sequence for report in bench.server.reports]
    assert sorted(set(sequences)) == sequences
    assert "confirmed" not in [phase for phase, _ in bench.story(DOUBTFUL)]
    if step == "failing trial, rollback":
        assert ("rolled-back", "low_confidence") in bench.story(DOUBTFUL)
    assert bench.story(confirmed)[-1] == ("healthy", None)


@pytest.fixture
def in_memory(tmp_path: Path) -> Iterator[Path]:
    """Thousands of small files, which need no real disk."""
    place = Path("/dev/shm")
    if not os.access(place, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=place, prefix="muster-test-") as folder:
        yield Path(folder)


def test_the_device_serves_and_gets_there_whenever_it_is_stopped(recorded: Recorder, in_memory: Path) -> None:
    """Every call, every loss; points that leave the same disk and the same server are tried once."""
    outcomes = {step: Counter[str]() for step in STEPS}
    losses = {loss: Counter[str]() for loss in LOSSES}
    for number, point in enumerate(recorded.points.values()):
        try:
            bench, outcome = _boot(point, in_memory / str(number))
            _converge(bench, point.step)
        except Exception as error:
            error.add_note(point.where)
            raise
        shutil.rmtree(bench.path)
        outcomes[point.step][outcome] += point.losses.total()
        for loss, count in point.losses.items():
            losses[loss][outcome] += count
    assert recorded.calls.keys() >= {"open", "write", "sync file", "sync folder", "rename", "unlink", "request"}
    assert recorded.calls.total() > 300
    hold("crash points", {"calls": recorded.calls, "steps": outcomes, "losses": losses, "tried": len(recorded.points)})
