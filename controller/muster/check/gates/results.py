"""Reads one result of a measurement: does it agree with itself, and what does it say?"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from muster.check.gates.gate_kind import GateKind
from muster.check.gates.reading import Reading
from muster.check.gates.shares import CONFIDENCE, Count, Interval, share_interval
from muster.kinds.evidence import Result

ROUNDING: Final = Decimal("0.000001")
"""How far a share may lie from its counts: it is written with a limited number of digits."""


def problem_of(result: Result, kind: GateKind) -> str | None:
    """Where the result contradicts itself; None if nowhere."""
    if result.value < 0:
        return f"{result.metric} is negative"
    if result.lower is not None and result.lower > result.value:
        return f"the lower bound of {result.metric} is above its value"
    if result.upper is not None and result.upper < result.value:
        return f"the upper bound of {result.metric} is below its value"
    if kind.share:
        return _share_problem(result)
    return None


def _share_problem(result: Result) -> str | None:
    if result.value > 1:
        return f"{result.metric} is a share, and more than 1"
    if result.successes is None or not result.samples:
        return None
    if result.successes > result.samples:
        return f"{result.metric} has more successes than samples"
    if abs(result.value - Count(result.successes, result.samples).share) > ROUNDING:
        return f"{result.metric} is not {result.successes} of {result.samples}"
    return None


def count_of(result: Result) -> Count | None:
    """The counts behind a share, if the result gives them."""
    if result.successes is None or not result.samples:
        return None
    return Count(result.successes, result.samples)


def reading_of(result: Result, kind: GateKind, path: str) -> Reading:
    """The result by itself, after `problem_of` found nothing. Shares are taken from their counts, with their bounds."""
    count = count_of(result) if kind.share else None
    if count is None:
        bounds = None if kind.interval == "counts" else _stated(result)
        return Reading(result.value, kind.dimension, path, result.samples, bounds)
    bounds = share_interval(count) if kind.interval == "counts" else None
    about = f" ({count.hits} of {count.total})"
    return Reading(count.share, kind.dimension, path, result.samples, bounds, about=about)


def _stated(result: Result) -> Interval | None:
    """The bounds that the evidence states, if it is sure enough of them."""
    if result.lower is None or result.upper is None or result.confidence is None:
        return None
    return Interval(result.lower, result.upper) if CONFIDENCE <= result.confidence < 1 else None
