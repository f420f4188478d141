"""Counts → verdict, in five steps:

1. possible     counts that cannot be are not judged
2. sample ratio devices must be seen in the shares in which the release was offered, or the arms are not compared
3. harm         evidence beyond the boundary, from enough devices that tried
4. no worse     evidence within it, from enough ended trials, with every missing report taken as a failure
5. otherwise    undecided; or cannot tell, if only missing telemetry keeps the question open

A sample ratio that does not hold does not keep a release from being halted against a fixed bound: that compares
nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import cast

from muster.plan.statistics import sample_ratio
from muster.plan.statistics.counts import PPM, Arm, Histogram, Step
from muster.plan.statistics.family import Terms
from muster.plan.statistics.questions import Counts, Question, Shares, Values, complaint, estimates, exposure_ppm, tried
from muster.plan.statistics.sample_ratio import Parts
from muster.plan.statistics.verdict import Sample, Verdict, number

SAMPLE_RATIO_ERROR_PPM = 10_000
"""How often a sound rollout may be held for its sample ratio, at some time."""
_HALVINGS = 24
_MOST_DEVICES = 10_000_000
_NEVER = "a release with other pins: it is judged on its own evidence"


@dataclass(frozen=True)
class _Evidence:
    """Log evidence of both tests."""

    harm: float
    no_worse: float


@lru_cache(maxsize=4096)
def decide(question: Question, counts: Counts, terms: Terms, sample: tuple[Parts, ...] = ()) -> Verdict:
    """Answer one question about one stratum of one release. Arguments are values: the same again costs nothing.

    `sample` are devices seen per arm or cohort and step, with the shares they were offered; empty: not asked.
    """
    impossible = complaint(question, counts) or sample_ratio.complaint(sample)
    if impossible:
        reason = f"the counts are not to be believed: {impossible}"
        return Verdict("cannot-tell", reason, "counts that can be", question.boundary)
    evidence = evidence_of(question, counts)
    verdict = _described(question, counts, terms, evidence)
    uneven = _uneven(sample)
    enough = tried(counts) >= terms.min_devices
    if enough and evidence.harm >= terms.harm_needed and not (uneven and question.against_control):
        return _harm(verdict)
    held = uneven or _no_control(question, counts) or _no_reports(verdict)
    if held:
        return replace(verdict, outcome="cannot-tell", reason=held[0], lifted_by=held[1])
    if evidence.no_worse >= terms.no_worse_needed and verdict.candidate_sample.judged >= terms.min_devices:
        reason = f"{_shown(verdict)}: no worse than {number(question.boundary)}"
        return replace(verdict, outcome="no-worse", reason=reason, lifted_by=_next_harm(question, counts, terms))
    return _open(question, counts, terms, verdict)


def evidence_of(question: Question, counts: Counts) -> _Evidence:
    """Both e-processes of possible counts, without a verdict."""
    # A question takes the counts that `complaint` checked to be its own.
    harm = cast("Callable[[Counts], float]", question.harm)
    no_worse = cast("Callable[[Counts], float]", question.no_worse)
    return _Evidence(harm(counts), no_worse(counts))


def bounds(question: Question, counts: Counts, terms: Terms) -> tuple[float | None, float | None]:
    """Between which boundaries the truth lies: a confidence sequence. None: no bound yet.

    Evidence of harm falls as the boundary rises, evidence of "no worse" rises with it: bisection.
    """
    up = question.span[0] > 0
    low, high = (math.log(end) for end in question.span) if up else question.span
    mirrored = getattr(question, "higher_is_worse", True) is False and not question.against_control

    def value(position: float) -> float:
        return math.exp(position) if up else position

    def harm(position: float) -> bool:
        ask = cast("Callable[[Counts], float]", question.at(value(position)).harm)
        return ask(counts) >= terms.harm_needed

    def no_worse(position: float) -> bool:
        ask = cast("Callable[[Counts], float]", question.at(value(position)).no_worse)
        return ask(counts) >= terms.no_worse_needed

    below, above = (no_worse, harm) if mirrored else (harm, no_worse)
    lower = _last(below, low, high)
    upper = _last(above, high, low)
    return None if lower is None else value(lower), None if upper is None else value(upper)


def _last(rejected: Callable[[float], bool], start: float, end: float) -> float | None:
    """The furthest position from `start` towards `end` that is still rejected; None if `start` is not."""
    if not rejected(start):
        return None
    for _ in range(_HALVINGS):
        middle = (start + end) / 2
        start, end = (middle, end) if rejected(middle) else (start, middle)
    return start


def _described(question: Question, counts: Counts, terms: Terms, evidence: _Evidence) -> Verdict:
    estimate, control = estimates(question, counts)
    lower, upper = bounds(question, counts, terms)
    return Verdict(
        outcome="undecided",
        reason="",
        lifted_by="",
        boundary=question.boundary,
        estimate=estimate,
        control=control if question.against_control else None,
        lower=lower,
        upper=upper,
        harm=evidence.harm,
        no_worse=evidence.no_worse,
        harm_needed=terms.harm_needed,
        no_worse_needed=terms.no_worse_needed,
        candidate_sample=_sample(counts.candidate),
        control_sample=_sample(counts.control),
        exposure_ppm=exposure_ppm(counts),
        error_ppm=terms.error_ppm // max(terms.tests, 1),
    )


def _sample(arm: Arm | Histogram) -> Sample:
    if isinstance(arm, Histogram):
        return Sample(arm.devices, 0, arm.pending, arm.missing, 0)
    return Sample(arm.concluded - arm.missing, arm.failed, arm.pending, arm.missing, arm.recalled)


def _without_missing(counts: Counts) -> Counts:
    if isinstance(counts, Values):
        return Values(replace(counts.candidate, missing=0), replace(counts.control, missing=0))
    return Shares(tuple(Step(_reported(step.candidate), _reported(step.control)) for step in counts.steps))


def _reported(arm: Arm) -> Arm:
    return replace(arm, tried=arm.tried - arm.missing, concluded=arm.concluded - arm.missing, missing=0)


def _uneven(sample: tuple[Parts, ...]) -> tuple[str, str] | None:
    if sample_ratio.log_evidence(sample) < math.log(PPM / SAMPLE_RATIO_ERROR_PPM):
        return None
    part = sample_ratio.furthest(sample)
    whose = f"{part.name}: {part.seen} seen, offered {number(part.offered_ppm / PPM * 100)} %" if part else "nobody"
    reason = f"devices are not seen in the shares in which the release was offered; furthest off is {whose}"
    return reason, "finding out why some devices of one arm are not counted"


def _no_control(question: Question, counts: Counts) -> tuple[str, str] | None:
    if not question.against_control or _sample(counts.control).judged + _sample(counts.control).pending:
        return None
    missing = _sample(counts.control).missing
    if missing:
        return f"none of {missing} devices of the control reported what is asked for", "their telemetry"
    return (
        "no device of the stratum is still on the superseded release: there is nothing to compare with",
        "a fixed bound instead of a margin, or devices that stay on the superseded release",
    )


def _no_reports(verdict: Verdict) -> tuple[str, str] | None:
    sample = verdict.candidate_sample
    if sample.judged or not sample.missing:
        return None
    return f"none of {sample.missing} devices that tried it reported what is asked for", "their telemetry"


def _harm(verdict: Verdict) -> Verdict:
    reason = f"{_shown(verdict)}: worse than {number(verdict.boundary)}"
    return replace(verdict, outcome="harm", reason=reason, lifted_by=_NEVER)


def _open(question: Question, counts: Counts, terms: Terms, verdict: Verdict) -> Verdict:
    sample = verdict.candidate_sample
    if sample.missing or verdict.control_sample.missing:
        reported = evidence_of(question, _without_missing(counts))
        if reported.harm >= terms.harm_needed or reported.no_worse >= terms.no_worse_needed:
            reason = f"{_shown(verdict)}: decided but for these"
            return replace(verdict, outcome="cannot-tell", reason=reason, lifted_by="their telemetry")
    few = f"; {terms.min_devices} devices must have shown it first" if sample.judged < terms.min_devices else ""
    reason = f"{_shown(verdict)}: not decided against {number(question.boundary)}{few}"
    lifted_by = f"{_next_no_worse(question, counts, terms)}, or {_next_harm(question, counts, terms)}"
    return replace(verdict, reason=reason, lifted_by=lifted_by)


def _shown(verdict: Verdict) -> str:
    sample, control = verdict.candidate_sample, verdict.control_sample
    text = f"{number(verdict.estimate) or 'nothing'} over {sample.judged} devices"
    if control.judged and verdict.control is not None:
        text += f", control {number(verdict.control)} over {control.judged}"
    text += f" (between {number(verdict.lower) or 'open'} and {number(verdict.upper) or 'open'})"
    text += f", {sample.pending} trials not over" if sample.pending else ""
    silent = [(arm.missing, name) for arm, name in ((sample, "candidate"), (control, "control")) if arm.missing]
    return text + "".join(f", {count} of the {name} without a report of it" for count, name in silent)


def _next_harm(question: Question, counts: Counts, terms: Terms) -> str:
    if not isinstance(counts, Shares):
        return "worse values from more devices"

    def decided(failures: int) -> bool:
        more = _with(counts, Arm(failures, failures, failures))
        ask = cast("Callable[[Counts], float]", question.harm)
        return tried(more) >= terms.min_devices and ask(more) >= terms.harm_needed

    more = _fewest(decided)
    return "failures of more devices than are left" if more is None else f"harm after {more} more failures in a row"


def _next_no_worse(question: Question, counts: Counts, terms: Terms) -> str:
    if not isinstance(counts, Shares):
        return "values from more devices"

    def decided(held: int) -> bool:
        more = _with(counts, Arm(held, held))
        enough = more.candidate.concluded - more.candidate.missing >= terms.min_devices
        ask = cast("Callable[[Counts], float]", question.no_worse)
        return enough and ask(more) >= terms.no_worse_needed

    more = _fewest(decided)
    return "more of both arms" if more is None else f"no worse after {more} more devices that hold"


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
