"""Counts over a device's answers: recent ones for telemetry, and all since a trial began for its verdict."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from muster.kinds.quantity import PPM

RECENT = 256


@dataclass(frozen=True)
class Figures:
    """What was counted since the model was switched in. Latencies in milliseconds, over the recent answers."""

    answers: int
    confident: int
    errors: int
    recent_confident_ppm: int | None
    p50_ms: float | None
    p95_ms: float | None
    confidence_histogram: tuple[int, ...] | None = None
    """Recent answers by tenths of confidence."""

    @property
    def confident_ppm(self) -> int:
        """Share of confident answers since the model was switched in."""
        return self.confident * PPM // self.answers if self.answers else 0


class Statistics:
    """Not safe between threads: the worker counts under its own lock."""

    def __init__(self) -> None:
        self._latencies: deque[float] = deque(maxlen=RECENT)
        self._recent: deque[bool] = deque(maxlen=RECENT)
        self._confidences: deque[float] = deque(maxlen=RECENT)
        self._answers = 0
        self._confident = 0
        self._errors = 0

    def count_latency(self, milliseconds: float) -> None:
        """One inference, whoever asked for it."""
        self._latencies.append(milliseconds)

    def count_answer(self, *, confident: bool, confidence: float) -> None:
        """One answer to a frame; `confidence` from 0 to 1."""
        self._recent.append(confident)
        self._confidences.append(confidence)
        self._answers += 1
        self._confident += confident

    def count_error(self) -> None:
        """One frame without an answer, because the model failed."""
        self._errors += 1

    def figures(self) -> Figures:
        """The counts now."""
        return Figures(
            answers=self._answers,
            confident=self._confident,
            errors=self._errors,
            recent_confident_ppm=sum(self._recent) * PPM // len(self._recent) if self._recent else None,
            p50_ms=quantile(self._latencies, 50),
            p95_ms=quantile(self._latencies, 95),
            confidence_histogram=_tenths(self._confidences) if self._confidences else None,
        )


def _tenths(values: Iterable[float]) -> tuple[int, ...]:
    """How many lie in [0, 0.1), ..., [0.9, 1]. What is beyond an end counts there; what is no number, as 0."""
    counts = [0] * 10
    for value in values:
        counts[min(9, max(0, int(value * 10))) if math.isfinite(value) else 0] += 1
    return tuple(counts)


def quantile(values: Sequence[float] | deque[float], percent: int) -> float | None:
    """The smallest value that at least `percent` of all do not exceed; None without values."""
    if not values:
        return None
    return sorted(values)[math.ceil(len(values) * percent / 100) - 1]


NOTHING = Statistics().figures()
"""Of a model that was switched in just now."""
