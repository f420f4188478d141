"""Many agents in one process: a thread for each device and one for its camera, until somebody asks them to stop."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from muster.agent.agent import Agent, Outcome
from muster.agent.bandwidth import Bandwidth
from muster.agent.camera import read_frames
from muster.agent.capture.taking import TakerThread
from muster.agent.connections import make_pool
from muster.agent.device import Surroundings
from muster.agent.first_load import FirstLoad
from muster.agent.folder import DeviceFolder
from muster.agent.http_server import HttpServer
from muster.agent.identity import read_identity
from muster.agent.moment import this_moment
from muster.agent.runtime import OnnxRuntime
from muster.agent.schedule import START_SPREAD, first_poll, next_poll, phase
from muster.agent.worker import WorkerThread
from muster.artifacts.tensors import Tensor

Say = Callable[[str, str], None]
"""(device id, what happened): one line for people."""

_SHORTEST_POLL = 0.05
_LOOK = 1.0


@dataclass(frozen=True)
class Options:
    """`poll_interval` in seconds overrides what the fleet's owner declared; `frame_interval` in seconds.

    `bandwidth`: bytes a second that all devices of the process receive together; None: no cap.
    """

    frames: Tensor | None = None
    frame_interval: float = 0.05
    poll_interval: float | None = None
    bandwidth: float | None = None


def run_agents(folders: Sequence[DeviceFolder], options: Options, say: Say) -> int:
    """Run until SIGTERM or SIGINT. Returns the exit code. Raises `MusterError` if a folder cannot be used."""
    stop = threading.Event()
    runtime, first_load = OnnxRuntime(), FirstLoad()
    pool = make_pool(bandwidth=Bandwidth(options.bandwidth, pause=stop.wait) if options.bandwidth else None)
    loops: list[_DeviceLoop] = []
    with contextlib.ExitStack() as held, _stopped_by_signals(stop, loops):
        for folder in folders:
            identity = read_identity(folder)
            server, *mirrors = (HttpServer(url, pool, stop.is_set) for url in (identity.server, *identity.mirrors))
            held.enter_context(folder.held())
            mirrored = dict(zip(identity.mirrors, mirrors, strict=True))
            surroundings = Surroundings(server, runtime, mirrored, first_load=first_load)
            loops.append(_DeviceLoop(folder, surroundings, options, stop, say))
        threads = [threading.Thread(target=loop.run, name=loop.device_id) for loop in loops]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return max((loop.exit_code for loop in loops), default=0)


@dataclass(frozen=True)
class _Told:
    """What was said last."""

    running: str | None = None
    problem: str | None = None
    waits: str | None = None


class _DeviceLoop:
    """One device: a round at each slot of its phase, and a look in between when a trial can be judged."""

    def __init__(
        self, folder: DeviceFolder, surroundings: Surroundings, options: Options, stop: threading.Event, say: Say
    ) -> None:
        frames = options.frames
        if frames is None and folder.frames.exists():
            frames = read_frames(folder.frames)
        self._options = options
        self._stop = stop
        self._say = say
        self._wake = threading.Event()
        self._agent = Agent(folder, surroundings, this_moment(), frames=frames, on_error=self.wake)
        self._has_camera = frames is not None
        self.device_id = self._agent.device.identity.device_id
        self.exit_code = 0

    def wake(self) -> None:
        """There is something to see before the next round."""
        self._wake.set()

    def run(self) -> None:
        """Until the process is to stop."""
        try:
            self._agent.start(this_moment())
            taking = TakerThread(self._agent.captures.taker)
            taking.start()
            cameras = self._start_cameras()
            self._rounds()
            for camera in cameras:
                camera.join()
            taking.stop()
            self._agent.stop(this_moment())
        except Exception as error:  # noqa: BLE001 - one device must not take the others of its process with it
            self._say(self.device_id, f"stopped: {type(error).__name__}: {error}")
            self.exit_code = 2

    def _start_cameras(self) -> list[WorkerThread]:
        if not self._has_camera:
            return []
        workers = [model.worker for model in self._agent.models if model.worker.has_camera]
        cameras = [WorkerThread(worker, self._options.frame_interval, self._stop) for worker in workers]
        for camera in cameras:
            camera.start()
        return cameras

    def _rounds(self) -> None:
        failures, place = 0, phase(self.device_id)
        # What ran before answers again: nobody waits for the server to hear that.
        told = self._tell(Outcome(), _Told())
        if self._agent.runs_all:
            self._rest(time.monotonic() + first_poll(self._options.poll_interval or START_SPREAD, place))
        while not self._stop.is_set():
            outcome = self._agent.tick(this_moment())
            failures = failures + 1 if outcome.away else 0
            interval = max(self._options.poll_interval or outcome.poll_interval, _SHORTEST_POLL)
            wall = time.time()
            pause = next_poll(wall, interval, place, failures=failures, retry_after=outcome.retry_after) - wall
            told = self._tell(outcome, told)
            self._rest(time.monotonic() + pause)

    def _rest(self, until: float) -> None:
        """Wait for the next round; judge trials meanwhile, as soon as they can be."""
        looked = -_LOOK
        while not self._stop.is_set() and (now := time.monotonic()) < until:
            verdict = self._agent.next_verdict()
            # A window that goes on, because too few frames were answered, is looked at once a second.
            due = min(until, max(verdict, looked + _LOOK)) if verdict is not None else until
            self._wake.wait(max(0.0, due - now))
            if self._stop.is_set():
                return
            if self._wake.is_set() or (verdict is not None and time.monotonic() >= due < until):
                self._wake.clear()
                looked = time.monotonic()
                self._agent.watch(this_moment())

    def _tell(self, outcome: Outcome, told: _Told) -> _Told:
        """Say what is new since the last round."""
        running = ", ".join(
            f"{slot.entry.release} ({'on trial' if model.state.trial else 'confirmed'})"
            for model in self._agent.models
            if (slot := model.state.running)
        )
        if running != told.running:
            self._say(self.device_id, f"runs {running or 'nothing'}")
        if outcome.problem != told.problem:
            self._say(
                self.device_id, f"{outcome.problem}: {outcome.reason}" if outcome.problem else "all is well again"
            )
        if outcome.waits and outcome.waits != told.waits:
            self._say(self.device_id, outcome.waits)
        return _Told(running, outcome.problem, outcome.waits)


@contextlib.contextmanager
def _stopped_by_signals(stop: threading.Event, loops: Sequence[_DeviceLoop]) -> Iterator[None]:
    """The first signal drains, and wakes who waits; a second one ends the process as it always would."""

    def on_signal(number: int, _frame: object) -> None:
        if stop.is_set():
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        stop.set()
        for loop in loops:
            loop.wake()

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
