"""Counts → verdict, in five steps:

1. possible     counts that cannot be are not judged
2. sample ratio devices must be seen in the shares in which the release was offered, or the arms are not compared
3. harm         evidence beyond the boundary, from enough devices that tried
4. no worse     evidence within it, from enough ended trials, with every missing report taken as a failure
5. otherwise    undecided; or cannot tell, if only missing telemetry keeps the question open

`explain` adds what a record needs and a tick does not: bounds, and how many devices would change the verdict.

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
    uneven = _uneven(sample, terms)
    if not verdict.too_few and evidence.harm >= terms.harm_needed and not (uneven and question.against_control):
        return _harm(verdict)
    held = uneven or _no_control(question, counts) or _no_reports(verdict)
    if held:
        return replace(verdict, outcome="cannot-tell", reason=held[0], lifted_by=held[1])
    if evidence.no_worse >= terms.no_worse_needed and verdict.candidate_sample.judged >= terms.min_devices:
        reason = f"{_shown(verdict)}: no worse than {number(question.boundary)}"
        return replace(verdict, outcome="no-worse", reason=reason, lifted_by="worse from more devices")
    return _open(question, counts, terms, verdict)


def evidence_of(question: Question, counts: Counts) -> _Evidence:
    """Both e-processes of possible counts, without a verdict."""
    # A question takes the counts that `complaint` checked to be its own.
    harm = cast("Callable[[Counts], float]", question.harm)
    no_worse = cast("Callable[[Counts], float]", question.no_worse)
    return _Evidence(harm(counts), no_worse(counts))


def _described(question: Question, counts: Counts, terms: Terms, evidence: _Evidence) -> Verdict:
    estimate, control = estimates(question, counts)
    return Verdict(
        outcome="undecided",
        reason="",
        lifted_by="",
        boundary=question.boundary,
        estimate=estimate,
        control=control if question.against_control else None,
        harm=evidence.harm,
        no_worse=evidence.no_worse,
        harm_needed=terms.harm_needed,
        no_worse_needed=terms.no_worse_needed,
        candidate_sample=_sample(counts.candidate),
        control_sample=_sample(counts.control),
        exposure_ppm=exposure_ppm(counts),
        error_ppm=terms.error_ppm // max(terms.tests, 1),
        too_few=tried(counts) < terms.min_devices,
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


def _uneven(sample: tuple[Parts, ...], terms: Terms) -> tuple[str, str] | None:
    if sample_ratio.log_evidence(sample) < math.log(PPM / SAMPLE_RATIO_ERROR_PPM * max(terms.strata, 1)):
        return None
    part = sample_ratio.furthest(sample)
    seen = next((sum(one.seen for one in parts) for parts in sample if part in parts), 0)
    offered = f"offered {number(part.offered_ppm / PPM * 100)} %" if part else ""
    whose = f"{part.name}: {part.seen} of {seen} seen, {offered}" if part else "nobody"
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
    return replace(verdict, reason=reason, lifted_by="what more devices show")


def _shown(verdict: Verdict) -> str:
    sample, control = verdict.candidate_sample, verdict.control_sample
    text = f"{number(verdict.estimate) or 'nothing'} over {sample.judged} devices"
    if control.judged and verdict.control is not None:
        text += f", control {number(verdict.control)} over {control.judged}"
    text += f", {sample.pending} trials not over" if sample.pending else ""
    silent = [(arm.missing, name) for arm, name in ((sample, "candidate"), (control, "control")) if arm.missing]
    return text + "".join(f", {count} of the {name} without a report of it" for count, name in silent)
