"""The health window: does a release that was switched in earn to be confirmed? Pure; time comes in as a number.

It fails at once when the model does not answer. It fails at its end when too few answers are confident. With a camera
it does not end before `MIN_ANSWERS` frames were answered, for a share of nothing says nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from muster.agent.statistics import Figures
from muster.kinds.quantity import format_percent

MIN_ANSWERS = 20


@dataclass(frozen=True)
class Waiting:
    """Not decided."""


@dataclass(frozen=True)
class Healthy:
    """To be confirmed."""


@dataclass(frozen=True)
class Unhealthy:
    """To be left, with the code to report."""

    error_code: str
    reason: str


Health = Waiting | Healthy | Unhealthy


@dataclass(frozen=True)
class Window:
    """`began` and `length` in seconds of the steady clock; `min_confident` in parts per million."""

    began: float
    length: float
    min_confident: int
    has_camera: bool

    @property
    def end(self) -> float:
        """When it can be decided at the earliest, in seconds of the steady clock."""
        return self.began + self.length


def judge(window: Window, figures: Figures, now: float) -> Health:
    """Health of the release that `figures` were counted on."""
    if figures.errors:
        return Unhealthy("inference_failed", f"{figures.errors} frames got no answer")
    if now < window.end:
        return Waiting()
    if not window.has_camera:
        return Healthy()
    if figures.answers < MIN_ANSWERS:
        return Waiting()
    if figures.confident_ppm < window.min_confident:
        share = format_percent(figures.confident_ppm // 100 * 100)
        return Unhealthy(
            "low_confidence", f"{share} of {figures.answers} answers, of {format_percent(window.min_confident)} needed"
        )
    return Healthy()
