"""Which release of a model is active, and its session: read from the device's folder, never from the network.

The agent renames its journal into place, so that any other process reads a whole one. What cannot be loaded is not
switched to: what runs goes on running, and the agent is told why.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field, replace

from muster.agent.folder import DeviceFolder
from muster.agent.journal import ModelState, Slot, read_journal
from muster.agent.loaded import LoadedModel, load_slot
from muster.agent.runtime import Runtime
from muster.agent.sessions import Loaded, RefusedSlot
from muster.agent.setbacks import StepFailed
from muster.agent.slots import Slots
from muster.agent.statistics import Figures, Statistics
from muster.kinds.errors import Unusable

_TRIES = 3
_AT_ONCE = 256


@dataclass(frozen=True)
class Active:
    """A session and what was counted of it: one value, so that whoever holds it never mixes two releases."""

    loaded: LoadedModel
    generation: int
    lock: threading.Lock
    counts: Statistics = field(default_factory=Statistics)
    waiting: deque[tuple[float, float, bool]] = field(default_factory=deque)
    """Answers that are not counted yet: counting many at once takes a tenth of the time."""

    def count(self, milliseconds: float, confidence: float, *, confident: bool) -> None:
        """One answer."""
        self.waiting.append((milliseconds, confidence, confident))
        if len(self.waiting) >= _AT_ONCE:
            with self.lock:
                self._count_waiting()

    def count_error(self) -> None:
        """One frame without an answer."""
        with self.lock:
            self.counts.count_error()

    def figures(self) -> Figures:
        """What was counted since it was switched in."""
        with self.lock:
            self._count_waiting()
            return self.counts.figures()

    def _count_waiting(self) -> None:
        while self.waiting:
            milliseconds, confidence, confident = self.waiting.popleft()
            self.counts.count_latency(milliseconds)
            self.counts.count_answer(confident=confident, confidence=confidence)

    def told(self) -> Loaded:
        """What the agent is told of it."""
        loaded, figures = self.loaded, self.figures()
        return Loaded(
            artifact=loaded.slot.artifact,
            model_hash=loaded.model_hash,
            config_version=loaded.config_version,
            delegate=loaded.session.delegate[:64],
            load_time_ms=loaded.load_time_ms,
            answers=figures.answers,
            confident=figures.confident,
            errors=figures.errors,
            recent_confident_ppm=figures.recent_confident_ppm,
            p50_ms=figures.p50_ms,
            p95_ms=figures.p95_ms,
            confidence_histogram=figures.confidence_histogram,
        )


class Follower:
    """`active` is what answers; `refusal` is why the release that should answer does not. One thread looks."""

    def __init__(self, folder: DeviceFolder, model: str, runtime: Runtime) -> None:
        self._folder = folder
        self._model = model
        self._runtime = runtime
        self._slots = Slots(folder)
        self._seen: tuple[int, int, int] | None = None
        self.lock = threading.Lock()
        """Held while anything is counted, of whichever release."""
        self._before = 0
        self.active: Active | None = None
        self.refusal: StepFailed | None = None
        self.refused: RefusedSlot | None = None

    def inferences(self) -> int:
        """Answers since the model was opened, of all releases."""
        active = self.active
        return self._before + (active.figures().answers if active else 0)

    def look(self) -> bool:
        """Follow the journal if it changed. True if something else answers now, or something was refused."""
        before = (self.active, self.refused)
        for _ in range(_TRIES):
            seen = self._signature()
            if seen == self._seen:
                break
            self._seen = seen
            # A slot may be removed while it is read, because another has become active meanwhile: then look again.
            self._follow()
        return before != (self.active, self.refused)

    def _signature(self) -> tuple[int, int, int] | None:
        try:
            status = self._folder.journal.stat()
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size

    def _follow(self) -> None:
        try:
            state, recovery = read_journal(self._folder)
        except Unusable:
            return
        if recovery in ("lost", "fresh"):
            # The agent says nothing about what is to run: what runs goes on.
            return
        model = state.models.get(self._model, ModelState())
        slot = model.running
        if slot is None:
            self._switch(None)
        elif self.active is not None and _is_same(self.active.loaded.slot, slot):
            self._go_on(self.active, model.generation)
        else:
            self._load(slot, model.generation)

    def _go_on(self, active: Active, generation: int) -> None:
        self.refusal, self.refused = None, None
        if generation != active.generation:
            self.active = replace(active, generation=generation)

    def _load(self, slot: Slot, generation: int) -> None:
        try:
            loaded = load_slot(self._slots.place(slot.artifact), slot, self._runtime)
        except StepFailed as failure:
            self.refusal = failure
            self.refused = RefusedSlot(artifact=slot.artifact, error_code=failure.error_code)
        else:
            self._switch(Active(loaded, generation, self.lock))

    def _switch(self, active: Active | None) -> None:
        left, self.active, self.refusal, self.refused = self.active, active, None, None
        if left is not None:
            self._before += left.figures().answers


def _is_same(slot: Slot, other: Slot) -> bool:
    """Named anew on purpose, the same bytes are the same session."""
    return (slot.artifact, slot.manifest, slot.entry.provider) == (other.artifact, other.manifest, other.entry.provider)
