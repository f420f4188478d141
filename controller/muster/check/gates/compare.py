"""Compares a reading with a gate's threshold. The three ways not to pass are kept apart here.

`fail`: the value is bad. `inconclusive`: too few samples, no bounds where bounds are asked for, or the threshold lies
between the bounds, so that the sample cannot tell. (`error` never arises here: whoever could not read has no reading.)

A gate that asks for more with `lower`, or for less with `upper`, wants the better side proven. With the other bound it
only wants the worse side not proven, so that a threshold between the bounds passes.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

from muster.check.gates.question import Answer, Question
from muster.check.gates.reading import Reading, shown
from muster.check.verdict import Outcome
from muster.kinds.policy import Comparator, Gate
from muster.kinds.quantity import Measure

_HOLDS: Final[Mapping[Comparator, Callable[[Any, Any], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
}


def compared(question: Question, reading: Reading) -> Answer:
    """The answer that a reading gives to a gate."""
    gate = question.gate
    measured = f"{shown(reading.value, reading.dimension)}{reading.about}"
    outcome, why = (
        _too_few(gate, reading)
        or _bounded(gate, reading, question.threshold)
        or _plain(gate, reading, question.threshold)
    )
    message = f"{question.kind.title}: {measured}, asked for {asked(gate)}" + (f"; {why}" if why else "")
    return Answer(outcome, message, measured=measured, evidence=reading.evidence)


def holds(value: Decimal, comparator: Comparator, threshold: Decimal) -> bool:
    """Does the comparison hold?"""
    return _HOLDS[comparator](value, threshold)


def asked(gate: Gate) -> str:
    """What a gate asks for, as one text with its unit."""
    over = {"absolute": "", "clean": " of the accuracy on clean inputs", "budget": " of the budget"}
    relative = over.get(gate.relative_to, f" of the {gate.relative_to}'s")
    bound = f" ({gate.bound} bound)" if gate.bound else ""
    return f"{gate.comparator} {gate.threshold}{relative}{bound}"


def _too_few(gate: Gate, reading: Reading) -> tuple[Outcome, str] | None:
    if gate.min_samples is None:
        return None
    if reading.samples is None:
        return "inconclusive", f"the evidence does not say how many samples it rests on, {gate.min_samples} are needed"
    if reading.samples < gate.min_samples:
        return "inconclusive", f"it rests on {reading.samples} samples, {gate.min_samples} are needed"
    return None


def _bounded(gate: Gate, reading: Reading, threshold: Measure) -> tuple[Outcome, str] | None:
    if gate.bound is None:
        return None
    if reading.interval is None:
        return "inconclusive", reading.no_interval
    lower, upper = reading.interval.lower, reading.interval.upper
    between = f"{shown(lower, reading.dimension)} to {shown(upper, reading.dimension)} at 95 %"
    low = holds(lower, gate.comparator, threshold.amount)
    high = holds(_infinite(upper), gate.comparator, threshold.amount)
    strict, other = (low, high) if gate.bound == "lower" else (high, low)
    if strict:
        return "pass", between
    # Only where the stricter bound is asked for: the other one meets the threshold whenever that one does.
    if other:
        return "inconclusive", f"{between}: too few samples to tell"
    return "fail", between


def _plain(gate: Gate, reading: Reading, threshold: Measure) -> tuple[Outcome, str]:
    return "pass" if holds(reading.value, gate.comparator, threshold.amount) else "fail", ""


def _infinite(upper: Decimal | None) -> Decimal:
    return Decimal("Infinity") if upper is None else upper
