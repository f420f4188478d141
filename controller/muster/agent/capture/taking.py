"""Taking samples beside inference: an offer looks at memory and two file times, and hands over; a thread writes.

What is handed over waits in memory, a few samples at most, the oldest dropped first. Whether it may be kept is asked
twice: when it is offered, and, with the place held, when it is written. A withdrawal between the two leaves nothing.
"""

from __future__ import annotations

import math
import secrets
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Generic, TypeVar, cast

import numpy as np
from pydantic import ValidationError

from muster.agent.capture.conditions import Settings, read_settings
from muster.agent.capture.consent import Consent, read_consent
from muster.agent.capture.place import CapturePlace
from muster.agent.capture.queue import Envelope, put
from muster.agent.capture.terms import Terms, read_terms
from muster.artifacts.tensors import DTYPES, Tensor
from muster.kinds.capture import LARGEST_SAMPLE, Capture, CaptureRecord, ElementType, TakenBecause
from muster.kinds.digest import digest_of
from muster.kinds.errors import MusterError, Unusable
from muster.kinds.ppm import PPM

HANDED_OVER = 16
"""Samples that wait in memory for the thread that writes."""
HANDED_OVER_BYTES = LARGEST_SAMPLE
"""And of all together."""


@dataclass(frozen=True)
class Sample:
    """What a model answered to one raw frame. `corrected`: what somebody says is right.

    `failure_mode`: what the application makes of it, such as `glare`; `locale`: where the settings' is not right.
    """

    model: str
    release: str
    model_hash: str
    device_class: str
    frame: Tensor
    label: str
    confidence: float
    corrected: str | None = None
    failure_mode: str | None = None
    locale: str | None = None


@dataclass(frozen=True)
class _HandedOver:
    sample: Sample
    terms: Capture
    because: TakenBecause
    consent: int
    at: datetime


def _share(ppm: int) -> bool:
    return secrets.randbelow(PPM) < ppm


class Taker:
    """For one process; others may take on the same place. `share` draws whether a sample belongs to a share in ppm."""

    def __init__(
        self,
        place: CapturePlace,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        share: Callable[[int], bool] = _share,
    ) -> None:
        self._place = place
        self._clock = clock
        self._share = share
        self._terms = _Followed(place.terms, lambda: read_terms(place), Terms())
        self._consent = _Followed(place.consent, lambda: read_consent(place), Consent())
        self._settings = _Followed(place.settings, lambda: _settings(place), Settings())
        self._waiting: deque[_HandedOver] = deque(maxlen=HANDED_OVER)
        self._lock = threading.Lock()
        self._wake = threading.Event()

    def offer(self, sample: Sample) -> bool:
        """Hand over what fits a purpose that somebody consented to. True if it was. Writes nothing, raises nothing."""
        captures = self._terms.value().models.get(sample.model, ())
        if not captures:
            return False
        consent = self._consent.value().given
        kept: Sample | None = None
        for terms in captures:
            because = terms.reason(sample.confidence, sample.label, sample.corrected)
            number = consent.get(terms.purpose)
            largest = min(terms.size, LARGEST_SAMPLE)
            if because and number and 0 < sample.frame.nbytes <= largest and self._share(terms.share):
                # The frame may be overwritten as soon as the inference is over.
                kept = kept or replace(sample, frame=np.array(sample.frame))
                self._hand_over(_HandedOver(kept, terms, because, number, self._clock()))
        if kept is not None:
            self._wake.set()
        return kept is not None

    def write(self) -> int:
        """Write what was handed over. How many samples were. Raises nothing: a full disk costs samples only."""
        self._wake.clear()
        written = 0
        while handed := self._next():
            try:
                written += self._write(handed)
            except (MusterError, OSError, ValidationError):
                continue
        return written

    def _hand_over(self, handed: _HandedOver) -> None:
        with self._lock:
            size = handed.sample.frame.nbytes + sum(other.sample.frame.nbytes for other in self._waiting)
            while self._waiting and size > HANDED_OVER_BYTES:
                size -= self._waiting.popleft().sample.frame.nbytes
            self._waiting.append(handed)

    def _next(self) -> _HandedOver | None:
        with self._lock:
            return self._waiting.popleft() if self._waiting else None

    def wait(self) -> None:
        """Until something was handed over, or `wake` is called."""
        self._wake.wait()

    def wake(self) -> None:
        """End a wait."""
        self._wake.set()

    def _write(self, handed: _HandedOver) -> bool:
        content, envelope = self._packed(handed)
        purpose = handed.terms.purpose
        with self._place.held():
            terms = read_terms(self._place).of(handed.sample.model, purpose)
            if terms is None or read_consent(self._place).given.get(purpose) != handed.consent:
                return False
            return put(self._place, envelope, content, terms) is not None

    def _packed(self, handed: _HandedOver) -> tuple[bytes, Envelope]:
        """Raises `ValidationError` or `Unusable` for what no record can say."""
        sample = handed.sample
        dtype = sample.frame.dtype.name
        if dtype not in DTYPES:
            raise Unusable(f"a frame has elements of type {dtype}")
        content = np.ascontiguousarray(sample.frame, DTYPES[dtype]).tobytes()
        confidence = sample.confidence if math.isfinite(sample.confidence) else 0.0
        record = CaptureRecord(
            id=secrets.token_hex(16),
            purpose=handed.terms.purpose,
            model=sample.model,
            release=sample.release,
            model_hash=sample.model_hash,
            device_class=sample.device_class,
            because=handed.because,
            label=sample.label,
            confidence=round(min(max(confidence, 0.0), 1.0) * PPM),
            corrected=sample.corrected,
            locale=sample.locale or self._settings.value().locale,
            failure_mode=sample.failure_mode,
            taken_on=f"{handed.at:%Y-%m-%d}",
            dtype=cast("ElementType", dtype),
            shape=tuple(sample.frame.shape),
            size=len(content),
            digest=digest_of(content),
        )
        return content, Envelope(record=record, consent=handed.consent, taken_at=handed.at)


class TakerThread:
    """Writes what a taker was handed; sleeps until it is."""

    def __init__(self, taker: Taker) -> None:
        self._taker = taker
        self._stopped = False
        self._thread = threading.Thread(target=self._run, daemon=True, name="capture")

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End it; what was handed over is written."""
        self._stopped = True
        self._taker.wake()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped:
            self._taker.wait()
            self._taker.write()


_Value = TypeVar("_Value")


class _Followed(Generic[_Value]):
    """A small file, read again when it was replaced."""

    def __init__(self, path: Path, read: Callable[[], _Value], nothing: _Value) -> None:
        self._path = path
        self._read = read
        self._seen: tuple[int, ...] = ()
        self._value = nothing

    def value(self) -> _Value:
        try:
            found = self._path.stat(follow_symlinks=False)
            seen: tuple[int, ...] = (found.st_ino, found.st_mtime_ns, found.st_size)
        except OSError:
            seen = (0,)
        if seen != self._seen:
            self._value, self._seen = self._read(), seen
        return self._value


def _settings(place: CapturePlace) -> Settings:
    try:
        return read_settings(place)
    except Unusable:
        return Settings()
