"""The application on the device: it answers frames with the model that is switched in.

A frame is answered whole by one model: a switch waits for the frame under way, and the next frame meets the new model.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from muster.agent.camera import Camera
from muster.agent.loaded import Answered, LoadedModel
from muster.agent.setbacks import StepFailed
from muster.agent.statistics import Figures, Statistics
from muster.artifacts.tensors import Tensor


class Worker:
    """One model's inference. `timer` in seconds.

    `on_error` is called when the model fails to answer, `on_answer` when it answers a frame.
    """

    def __init__(
        self,
        camera: Camera | None,
        timer: Callable[[], float] = time.perf_counter,
        on_error: Callable[[], None] = lambda: None,
        on_answer: Callable[[Tensor, LoadedModel, Answered], None] = lambda _frame, _model, _answered: None,
    ) -> None:
        self._on_answer = on_answer
        self._camera = camera
        self._timer = timer
        self._on_error = on_error
        self._lock = threading.Lock()
        self._model: LoadedModel | None = None
        self._statistics = Statistics()
        self._inferences = 0
        self._dropped = 0

    @property
    def has_camera(self) -> bool:
        """False: golden inputs stand in, and say nothing about the field."""
        return self._camera is not None

    @property
    def model(self) -> LoadedModel | None:
        """What answers now."""
        return self._model

    @property
    def inferences(self) -> int:
        """Inferences since the agent started."""
        return self._inferences

    @property
    def dropped_frames(self) -> int:
        """Frames since the agent started that came while another was being answered."""
        return self._dropped

    def switch(self, model: LoadedModel | None) -> None:
        """Answer with this model from the next frame on, and count from zero."""
        with self._lock:
            self._model = model
            self._statistics = Statistics()

    def figures(self) -> Figures:
        """The counts of the model that is switched in."""
        with self._lock:
            return self._statistics.figures()

    def work(self, frames: int = 1) -> None:
        """Answer this many frames."""
        for _ in range(frames):
            self._answer()

    def drop(self, frames: int) -> None:
        """Count frames that nobody had time for."""
        self._dropped += frames

    def _answer(self) -> None:
        with self._lock:
            if self._model is None:
                return
            began = self._timer()
            try:
                if self._camera is not None:
                    frame = self._camera.frame()
                    answered = self._model.answer(frame)
                    self._statistics.count_answer(confident=answered.confident, confidence=answered.confidence)
                    # Counted as a part of the inference, so that what it costs is seen.
                    self._on_answer(frame, self._model, answered)
                else:
                    self._model.replay(self._inferences)
            except StepFailed:
                self._statistics.count_error()
                failed = True
            else:
                failed = False
            self._statistics.count_latency((self._timer() - began) * 1_000)
            self._inferences += 1
        if failed:
            self._on_error()


class WorkerThread:
    """Answers a frame every `interval` seconds until it is stopped."""

    def __init__(self, worker: Worker, interval: float, stop: threading.Event) -> None:
        self._worker = worker
        self._interval = interval
        self._stop = stop
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def join(self) -> None:
        """Wait until it stopped."""
        self._thread.join()

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            self._worker.work()
            due += self._interval
            late = int((time.monotonic() - due) / self._interval)
            if late > 0:
                self._worker.drop(late)
                due += late * self._interval
