"""Quantiles of per-device values, such as each device's own p95 latency: how high is the value that a share of the
devices stays at or below?

Fixed bound: "the q-quantile is at most x" says that at most 1-q of the devices lie above x; that is a share, and
`tilting` tests it. Where x lies inside a bucket, the bucket is counted on the side that speaks against the claim. The
bounds for which this test does not reject are a confidence sequence for the quantile (S. Howard and A. Ramdas,
*Sequential estimation of quantiles*, 2022, with the beta-binomial mixture in place of their boundary).

Two arms. Null: Q1 <= r·Q0. The control's quantile lies in some bucket (a, b]. Then at least 1-q of the control lie
above a, and at most 1-q of the candidate above r·b: both are shares, and the product of one e-process against each is
an e-process. Each is averaged with 1, which is one too, before they are multiplied: inside its null an e-process falls
without end, and a control of a million devices would outweigh whatever a thousand of the candidate show. The bucket is
unknown: the least product over all buckets is at most that of the true one. "No worse":
null Q1 > r·Q0; then at most 1-q of the control lie above b, and more than 1-q of the candidate above r·a.

What moves both arms together does not cancel here as it does for rates: both must be watched at the same time.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate

from muster.plan.buckets import SCALE, edge
from muster.plan.statistics.counts import Histogram
from muster.plan.statistics.least import least
from muster.plan.statistics.tilting import costs, log_evidence_at, log_sum

_ROUNDING = 1e-9
"""Buckets: a bound this near to an edge is the edge."""


class _Cumulative:
    """How many devices lie above an edge; devices without a value are put on one side."""

    def __init__(self, histogram: Histogram, *, missing_above: bool) -> None:
        sums = histogram.sums()
        self.buckets = tuple(sums)
        self.devices = histogram.devices + histogram.missing
        self._below = (0, *accumulate(sums.values()))
        self._missing_below = 0 if missing_above else histogram.missing

    def above(self, position: float, *, certainly: bool) -> int:
        """Devices above a position in buckets (a real number): of the bucket around it, all or (`certainly`) none."""
        if certainly:
            first = bisect_left(self.buckets, math.ceil(position - _ROUNDING))
        else:
            first = bisect_right(self.buckets, math.floor(position + _ROUNDING) - 1)
        return self.devices - self._below[first] - self._missing_below


def quantile(histogram: Histogram, share: float) -> float | None:
    """The upper edge of the bucket in which the quantile of the reported values lies; None if there are none."""
    goal, seen = share * histogram.devices, 0
    for bucket, count in histogram.sums().items():
        seen += count
        if seen >= goal:
            return edge(bucket + 1)
    return None


def harm_against_limit(histogram: Histogram, share: float, limit: float) -> float:
    """Log evidence that the quantile is above the limit."""
    values = _Cumulative(histogram, missing_above=False)
    above = values.above(_position(limit), certainly=True)
    return log_evidence_at(above, values.devices, costs(1 - share))


def no_worse_than_limit(histogram: Histogram, share: float, limit: float) -> float:
    """Log evidence that the quantile is at most the limit."""
    values = _Cumulative(histogram, missing_above=True)
    above = values.above(_position(limit), certainly=False)
    return log_evidence_at(values.devices - above, values.devices, costs(share))


def harm_against_control(candidate: Histogram, control: Histogram, share: float, ratio: float) -> float:
    """Log evidence that the candidate's quantile is above `ratio` times the control's."""
    ours, theirs = _Cumulative(candidate, missing_above=False), _Cumulative(control, missing_above=True)
    shift = _position(ratio)
    few, many = costs(share), costs(1 - share)
    buckets = _around(ours.buckets, theirs.buckets, shift)

    def control_is_lower(cell: int) -> float:
        above = theirs.above(buckets[cell], certainly=True)
        return _hedged(log_evidence_at(theirs.devices - above, theirs.devices, few))

    def candidate_is_higher(cell: int) -> float:
        above = ours.above(buckets[cell] + 1 + shift, certainly=True)
        return _hedged(log_evidence_at(above, ours.devices, many))

    return least(control_is_lower, candidate_is_higher, len(buckets))


def no_worse_than_control(candidate: Histogram, control: Histogram, share: float, ratio: float) -> float:
    """Log evidence that the candidate's quantile is at most `ratio` times the control's."""
    ours, theirs = _Cumulative(candidate, missing_above=True), _Cumulative(control, missing_above=False)
    shift = _position(ratio)
    few, many = costs(share), costs(1 - share)
    buckets = _around(ours.buckets, theirs.buckets, shift)

    def candidate_is_lower(cell: int) -> float:
        above = ours.above(buckets[cell] + shift, certainly=False)
        return _hedged(log_evidence_at(ours.devices - above, ours.devices, few))

    def control_is_higher(cell: int) -> float:
        above = theirs.above(buckets[cell] + 1, certainly=True)
        return _hedged(log_evidence_at(above, theirs.devices, many))

    return least(candidate_is_lower, control_is_higher, len(buckets))


def _hedged(evidence: float) -> float:
    """Log of the average with 1: at worst one bit is lost."""
    return log_sum((0.0, evidence)) - math.log(2)


def _position(value: float) -> float:
    """A value in buckets: `edge`'s inverse."""
    return math.log2(value) * SCALE if value > 0 else -math.inf


def _around(ours: Sequence[int], theirs: Sequence[int], shift: float) -> Sequence[int]:
    """Buckets in which the control's quantile may lie and between which the counts differ; beyond them nothing changes.

    Only buckets next to one that holds devices of either arm: between two such buckets every count is the same.
    """
    edges = {bucket + step for bucket in theirs for step in (-1, 0, 1)}
    moved = {math.floor(bucket - shift) + step for bucket in ours for step in (-2, -1, 0, 1, 2)}
    return sorted(edges | moved) or [0]
