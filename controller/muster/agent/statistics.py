"""Counts over a device's answers: recent ones for telemetry, and all since a trial began for its verdict."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
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

    @property
    def confident_ppm(self) -> int:
        """Share of confident answers since the model was switched in."""
        return self.confident * PPM // self.answers if self.answers else 0


class Statistics:
    """Not safe between threads: the worker counts under its own lock."""

    def __init__(self) -> None:
        self._latencies: deque[float] = deque(maxlen=RECENT)
        self._recent: deque[bool] = deque(maxlen=RECENT)
        self._answers = 0
        self._confident = 0
        self._errors = 0

    def count_latency(self, milliseconds: float) -> None:
        """One inference, whoever asked for it."""
        self._latencies.append(milliseconds)

    def count_answer(self, *, confident: bool) -> None:
        """One answer to a frame."""
        self._recent.append(confident)
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
        )


def quantile(values: Sequence[float] | deque[float], percent: int) -> float | None:
    """The smallest value that at least `percent` of all do not exceed; None without values."""
    if not values:
        return None
    return sorted(values)[math.ceil(len(values) * percent / 100) - 1]
