"""Fairness gap: how far apart the slices of one snapshot lie, counted here from the accuracy per slice."""

from __future__ import annotations

from collections.abc import Sequence

from muster.check.gates.compare import compared
from muster.check.gates.measured import Measured, measurements
from muster.check.gates.places import elsewhere
from muster.check.gates.question import Answer, Question
from muster.check.gates.reading import Reading, shown
from muster.check.gates.results import count_of, problem_of
from muster.check.gates.shares import MOST_SLICES, Count, gap_interval
from muster.check.gates.statements import Unfit, unanswered
from muster.kinds.evidence import Result


def fairness_gap(question: Question) -> Answer:
    """The newest believed measurement with accuracy per slice answers.

    A slice with too few frames is never left out in silence: unless the others fail already, it is inconclusive.
    """
    found, unfit = measurements(question)
    for one in found:
        slices = [result for result in one.measurement.results if _is_slice(result, question)]
        if slices and (problem := elsewhere(question, one.measurement, slices[0])):
            unfit = (*unfit, Unfit("fail", problem, one.path))
        elif slices:
            return _answer(question, one, slices)
    return unanswered(
        question, unfit, f"no evidence: nobody measured the accuracy of {question.release.name} per slice"
    )


def _is_slice(result: Result, question: Question) -> bool:
    return result.metric == "accuracy" and result.slice is not None and result.device_class == question.device_class


def _answer(question: Question, one: Measured, slices: Sequence[Result]) -> Answer:
    if problem := _problem(question, slices):
        return Answer("error", f"{one.path}: {problem}", evidence=one.path)
    needed = question.gate.min_samples or 1
    counted = {result.slice: count_of(result) for result in slices}
    enough = {name: count for name, count in counted.items() if count is not None and count.total >= needed}
    small = sorted(str(name) for name in counted.keys() - enough.keys())
    if len(enough) < 2:
        reason = f"{len(enough)} of {len(counted)} slices have at least {needed} counted samples, 2 are needed"
        return Answer("inconclusive", f"{one.path}: {reason}", evidence=one.path)
    answer = compared(question, _gap(question, one, enough))
    if answer.outcome == "pass" and small:
        reason = f"too few samples to tell in {', '.join(small[:8])}: {needed} are needed in each slice"
        return Answer("inconclusive", reason, measured=answer.measured, evidence=one.path)
    return answer


def _problem(question: Question, slices: Sequence[Result]) -> str | None:
    if len({result.slice for result in slices}) < len(slices):
        return "a slice stands there twice"
    if len(slices) > MOST_SLICES:
        return f"{len(slices)} slices, more than {MOST_SLICES}"
    return next((problem for result in slices if (problem := problem_of(result, question.kind))), None)


def _gap(question: Question, one: Measured, counts: dict[str | None, Count]) -> Reading:
    ordered = sorted(counts, key=lambda name: (counts[name].share, str(name)))
    worst, best = ordered[0], ordered[-1]
    low, high = counts[worst].share, counts[best].share
    return Reading(
        value=high - low,
        dimension="number",
        evidence=one.path,
        samples=min(count.total for count in counts.values()),
        # Every pair of slices is looked at: not where nobody asks.
        interval=gap_interval(list(counts.values())) if question.gate.bound else None,
        about=f" ({best} {shown(high, 'number')}, {worst} {shown(low, 'number')})",
    )
