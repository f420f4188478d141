"""From a guardrail and the counts of a metric source to a statistical question and the counts that answer it.

Where less is worse, quantiles are asked of reciprocals: the quantile q of x is 1 over the quantile 1 - q of 1/x, and a
bucket of x is a bucket of 1/x with the sign turned.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from muster.kinds.guardrails import Guardrail, GuardrailKind, NumericKey, kind_of
from muster.kinds.ppm import PPM
from muster.kinds.quantity import measure_of
from muster.plan.buckets import HIGHEST_BUCKET, LEVELS, LOWEST_BUCKET, bucket_of
from muster.plan.metric_source import ArmCounts, Counts, StepCounts
from muster.plan.statistics.counts import Arm, Histogram, Step
from muster.plan.statistics.questions import (
    MeanLimit,
    MeanMargin,
    QuantileLimit,
    QuantileMargin,
    Question,
    ShareLimit,
    ShareMargin,
    Shares,
    Values,
)

_NO_COUNTS = StepCounts(0)


def questions(guardrail: Guardrail, keys: Collection[NumericKey]) -> dict[str, Question]:
    """What the guardrail asks of one stratum: against its limit, against the control by its margin, or both."""
    kind = kind_of(guardrail, keys)
    found: dict[str, Question] = {}
    if guardrail.limit is not None:
        found["limit"] = _against_limit(guardrail, kind, float(measure_of(guardrail.limit).amount))
    if guardrail.margin is not None:
        found["margin"] = _against_control(guardrail, kind, guardrail.margin / PPM)
    return found


def counts_for(
    question: Question, guardrail: Guardrail, keys: Collection[NumericKey], counts: Counts
) -> Shares | Values:
    """The counts in the shape that the question takes. Steps are joined by the generation at which devices came."""
    if isinstance(question, ShareLimit | ShareMargin):
        treated, control = _by_step(counts.treated), _by_step(counts.control)
        generations = sorted(treated.keys() | control.keys())
        return Shares(
            tuple(
                Step(_arm(treated.get(generation, _NO_COUNTS)), _arm(control.get(generation, _NO_COUNTS)))
                for generation in generations
            )
        )
    kind = kind_of(guardrail, keys)
    levels = isinstance(question, MeanLimit | MeanMargin)
    mirrored = kind.worse == "less" and not levels
    of_levels = kind.shape == "mean" and not levels
    arms = (_histogram(arm, mirrored=mirrored, of_levels=of_levels) for arm in (counts.treated, counts.control))
    return Values(*arms)


def _against_limit(guardrail: Guardrail, kind: GuardrailKind, limit: float) -> Question:
    if kind.shape == "share":
        return ShareLimit(limit)
    share = guardrail.quantile_ppm
    if kind.shape == "mean" and share is None:
        return MeanLimit(limit, higher_is_worse=kind.worse == "more")
    # A reciprocal of nothing has no end; the question is then refused by its own span.
    bound = limit if kind.worse == "more" else 1 / limit if limit else 0.0
    return QuantileLimit(_quantile(kind, share), bound)


def _against_control(guardrail: Guardrail, kind: GuardrailKind, margin: float) -> Question:
    if kind.shape == "share":
        return ShareMargin(1 + margin, (guardrail.floor or 0) / PPM)
    share = guardrail.quantile_ppm
    if kind.shape == "mean" and share is None:
        return MeanMargin(margin, higher_is_worse=kind.worse == "more")
    return QuantileMargin(_quantile(kind, share), 1 + margin)


def _quantile(kind: GuardrailKind, ppm: int | None) -> float:
    share = (PPM // 2 if ppm is None else ppm) / PPM
    return share if kind.worse == "more" else 1 - share


def _by_step(arm: ArmCounts) -> Mapping[int, StepCounts]:
    return {step.generation: step for step in arm.steps}


def _arm(step: StepCounts) -> Arm:
    concluded = min(step.tried, step.concluded)
    missing = min(step.missing, concluded)
    # A device counts in one of both: what it showed counts more than what it left out.
    failed = min(step.events, concluded)
    return Arm(step.tried, concluded, failed, min(missing, concluded - failed), step.recalled)


def _histogram(arm: ArmCounts, *, mirrored: bool, of_levels: bool) -> Histogram:
    whole = arm.all
    buckets: dict[int, int] = {}
    for found, count in arm.histogram.items():
        bucket = bucket_of(found / LEVELS) if of_levels else found
        bucket = max(LOWEST_BUCKET, min(HIGHEST_BUCKET, -bucket - 1)) if mirrored else bucket
        buckets[bucket] = buckets.get(bucket, 0) + count
    return Histogram(tuple(sorted(buckets.items())), whole.missing, max(0, whole.tried - whole.concluded))
