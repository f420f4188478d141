"""The running model, for the application: open the active model of a name, and let it answer.

    from muster.agent.active import open_model

    with open_model(Path("/var/lib/muster"), "meter-reader") as model:
        prediction = model.infer(frame)

Rules: an answer is given whole by one release, whose pinned pre- and post-processing it went through; another release
is loaded beside the one that answers, and takes its place between two calls, so that no call is lost, late or mixed;
nothing here reaches for the network; no provider stands in for the declared one. `infer` may be called by many threads.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from muster.agent.folder import DeviceFolder
from muster.agent.follower import Active, Follower
from muster.agent.loaded import Answered
from muster.agent.predictions import PredictionLog
from muster.agent.runtime import OnnxRuntime, Runtime
from muster.agent.sessions import Session, held_session, write_session
from muster.agent.setbacks import StepFailed
from muster.agent.statistics import Figures
from muster.agent.vitals import peak_ram_mb
from muster.artifacts.tensors import Tensor
from muster.kinds.errors import TryAgain

LOOK = 1.0
"""Seconds between two looks for another release, while the application asks for answers."""
_IDLE = 5
"""Looks that an application which asks for no answers leaves out."""
_TELL = 5
"""Looks between two times that the agent is told of figures."""


class Prediction(NamedTuple):
    """One answer, and which release gave it. `confidence` from 0 to 1; below the threshold it is not `confident`."""

    label: str
    confidence: float
    confident: bool
    release: str
    generation: int
    model_hash: str
    config_version: str


def open_model(
    folder: Path, name: str, runtime: Runtime | None = None, *, look: float = LOOK, log_predictions: bool = False
) -> ActiveModel:
    """The active model of a name, in the folder that `muster agent run` runs on. `look` in seconds.

    Each prediction is logged if the release's entry asks for that, or `log_predictions` is true. Raises `TryAgain` if
    no release is active yet, `StepFailed` with its `error_code` if the one that is cannot be loaded as it was declared,
    `Refused` if another process has the model open.
    """
    return ActiveModel(DeviceFolder(folder), name, runtime or OnnxRuntime(), look, log_predictions=log_predictions)


class ActiveModel:
    """Made by `open_model`; close it at the end."""

    def __init__(
        self, folder: DeviceFolder, name: str, runtime: Runtime, look: float, *, log_predictions: bool = False
    ) -> None:
        self._folder, self._name, self._runtime, self._interval = folder, name, runtime, look
        self._always_logs = log_predictions
        self._follower = Follower(folder, name, runtime)
        self._log = PredictionLog(folder, name)
        self._dropped = 0
        self._wake, self._stop = threading.Event(), False
        self._look_at = self._tell_at = 0.0
        self._held = contextlib.ExitStack()
        with contextlib.ExitStack() as held:
            held.enter_context(held_session(folder, name))
            self._follower.look()
            if self._follower.active is None:
                hint = "wait until `muster agent run` has confirmed one"
                raise self._follower.refusal or TryAgain(f"no release of {name} is active on {folder.path}", hint)
            self._tell()
            self._held = held.pop_all()
        self._thread = threading.Thread(target=self._follow, name=f"muster-{name}", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def infer(self, frame: Tensor) -> Prediction:
        """Answer one raw frame.

        Raises `StepFailed` (inference_failed) if the model does not, `TryAgain` if no release is active any more.
        """
        began = time.perf_counter()
        if began >= self._look_at:
            self._look_at = began + self._interval
            self._wake.set()
        active = self._follower.active
        if active is None:
            raise TryAgain(f"no release of {self._name} is active any more", "wait until another one is")
        try:
            answered = active.loaded.answer(frame)
        except StepFailed:
            active.count_error()
            self._tell_at = 0.0
            self._wake.set()
            raise
        active.count((time.perf_counter() - began) * 1_000, answered.confidence, confident=answered.confident)
        found = _prediction(active, answered)
        if self._always_logs or active.loaded.slot.entry.log_predictions:
            self._log.write(frame, _line(found))
        return found

    def drop(self, frames: int = 1) -> None:
        """Tell of frames that came while nobody had time for them."""
        with self._follower.lock:
            self._dropped += frames

    def figures(self) -> Figures | None:
        """What was counted of the release that answers now; None if there is none."""
        active = self._follower.active
        return active.figures() if active else None

    @property
    def lost_predictions(self) -> int:
        """Predictions that should have been logged, and that the disk refused."""
        return self._log.lost

    def close(self) -> None:
        """Tell for the last time, and let go. May be called again."""
        if self._stop:
            return
        self._stop = True
        self._wake.set()
        self._thread.join()
        self._log.close()
        self._held.close()

    def _follow(self) -> None:
        while not self._stop:
            self._wake.wait(_IDLE * self._interval)
            self._wake.clear()
            if self._follower.look():
                self._tell_at = 0.0
            if time.perf_counter() >= self._tell_at:
                self._tell()

    def _tell(self) -> None:
        self._tell_at = time.perf_counter() + _TELL * self._interval
        active = self._follower.active
        inferences = self._follower.inferences()
        session = Session(
            runtime_version=self._runtime.version,
            loaded=active.told() if active else None,
            refused=self._follower.refused,
            inferences=inferences,
            dropped_frames=self._dropped,
            peak_ram_mb=round(peak_ram_mb(), 3),
        )
        # The agent then goes on with what it was told before; the application's answers matter more.
        with contextlib.suppress(OSError):
            write_session(self._folder, self._name, session)


def _prediction(active: Active, answered: Answered) -> Prediction:
    loaded = active.loaded
    release, hashes = loaded.slot.entry.release, (loaded.model_hash, loaded.config_version)
    return Prediction(answered.label, answered.confidence, answered.confident, release, active.generation, *hashes)


def _line(found: Prediction) -> dict[str, object]:
    """A line of the log of predictions, but for what the log itself adds."""
    return {
        "release": found.release,
        "generation": found.generation,
        "modelHash": found.model_hash,
        "configVersion": found.config_version,
        "label": found.label,
        "confidence": round(found.confidence, 6) if math.isfinite(found.confidence) else None,
        "confident": found.confident,
    }
