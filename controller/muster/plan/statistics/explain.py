"""A verdict as it is recorded and shown: with the bounds of the true value, and how many devices would change it.

Apart from `decide`, because both ask the same tests dozens of times: a tick that changes nothing needs neither.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import cast

from muster.plan.statistics.counts import Arm, Step
from muster.plan.statistics.decide import decide
from muster.plan.statistics.family import Terms
from muster.plan.statistics.questions import Counts, MeanLimit, MeanMargin, Question, Shares, complaint, tried
from muster.plan.statistics.sample_ratio import Parts
from muster.plan.statistics.verdict import Verdict, number

_HALVINGS, _HALVINGS_OF_MEANS = 16, 11
"""Means of two arms cost most, and their levels are a hundredth apart."""
_MOST_DEVICES = 10_000_000


@lru_cache(maxsize=1024)
def explain(question: Question, counts: Counts, terms: Terms, sample: tuple[Parts, ...] = ()) -> Verdict:
    """`decide`'s verdict with its bounds, and with what exactly would change it."""
    verdict = decide(question, counts, terms, sample)
    if complaint(question, counts):
        return verdict
    lower, upper = bounds(question, counts, terms)
    between = f"between {number(lower) or 'open'} and {number(upper) or 'open'}"
    verdict = replace(verdict, lower=lower, upper=upper, reason=f"{verdict.reason} ({between})")
    if not isinstance(counts, Shares) or verdict.outcome not in ("undecided", "no-worse"):
        return verdict
    fails = until_harm(question, counts, terms)
    lifted_by = f"harm after {fails} more failures in a row" if fails else "failures of more devices than are left"
    if verdict.outcome == "undecided":
        holds = until_no_worse(question, counts, terms)
        more = f"no worse after {holds} more devices that hold" if holds else "more of both arms"
        lifted_by = f"{more}, or {lifted_by}"
    return replace(verdict, lifted_by=lifted_by)


def bounds(question: Question, counts: Counts, terms: Terms) -> tuple[float | None, float | None]:
    """Between which boundaries the truth lies: a confidence sequence. None: no bound yet.

    Evidence of harm falls as the boundary rises, evidence of "no worse" rises with it: bisection.
    """
    up = question.span[0] > 0
    low, high = (math.log(end) for end in question.span) if up else question.span
    mirrored = isinstance(question, MeanLimit) and not question.higher_is_worse

    def value(position: float) -> float:
        return math.exp(position) if up else position

    def harm(position: float) -> bool:
        ask = cast("Callable[[Counts], float]", question.at(value(position)).harm)
        return ask(counts) >= terms.harm_needed

    def no_worse(position: float) -> bool:
        ask = cast("Callable[[Counts], float]", question.at(value(position)).no_worse)
        return ask(counts) >= terms.no_worse_needed

    below, above = (no_worse, harm) if mirrored else (harm, no_worse)
    halvings = _HALVINGS_OF_MEANS if isinstance(question, MeanMargin) else _HALVINGS
    lower = _last(below, (low, high), halvings)
    upper = _last(above, (high, low), halvings)
    return None if lower is None else value(lower), None if upper is None else value(upper)


def _last(rejected: Callable[[float], bool], span: tuple[float, float], halvings: int) -> float | None:
    """The furthest position from the start of the span that is still rejected; None if the start is not."""
    start, end = span
    if not rejected(start):
        return None
    for _ in range(halvings):
        middle = (start + end) / 2
        start, end = (middle, end) if rejected(middle) else (start, middle)
    return start


def until_harm(question: Question, counts: Shares, terms: Terms) -> int | None:
    """How many more devices must fail, one after the other, to show harm; None if ten million do not."""

    def decided(failures: int) -> bool:
        more = _with(counts, Arm(failures, failures, failures))
        ask = cast("Callable[[Counts], float]", question.harm)
        return tried(more) >= terms.min_devices and ask(more) >= terms.harm_needed

    return _fewest(decided)


def until_no_worse(question: Question, counts: Shares, terms: Terms) -> int | None:
    """How many more devices must hold, one after the other, to show no worse; None if ten million do not."""

    def decided(held: int) -> bool:
        more = _with(counts, Arm(held, held))
        enough = more.candidate.concluded - more.candidate.missing >= terms.min_devices
        ask = cast("Callable[[Counts], float]", question.no_worse)
        return enough and ask(more) >= terms.no_worse_needed

    return _fewest(decided)


def _with(counts: Shares, more: Arm) -> Shares:
    """The counts with more trials in the newest step."""
    newest = counts.steps[-1] if counts.steps else Step()
    return Shares((*counts.steps[:-1], replace(newest, candidate=newest.candidate + more)))


def _fewest(decided: Callable[[int], bool]) -> int | None:
    """The smallest number that decides, to two digits; None if ten million do not."""
    high = 1
    while not decided(high):
        high *= 2
        if high > _MOST_DEVICES:
            return None
    low = high // 2
    while high - low > max(1, high // 100):
        middle = (low + high) // 2
        low, high = (low, middle) if decided(middle) else (middle, high)
    return high
