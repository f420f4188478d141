"""Means of bounded values, such as how sure a model is of its answers: one value per device, rounded to `LEVELS` steps
of [0, 1]. What is judged is the mean of the rounded values.

Betting: whoever doubts "the mean is at most m" puts a fraction c of the wealth on x/m, which is worth 1 on average at
most, and keeps the rest: wealth 1-c+c·x/m per value (I. Waudby-Smith and A. Ramdas, *Estimating means of bounded random
variables by betting*, 2024). Their bets follow the values seen so far, so that their verdict depends on the order of
arrival. Ours does not: every c of a fixed grid is held throughout, and the wealths are averaged (T. Cover's universal
portfolio, 1991, with its Beta(1/2, 1/2) over c; sharpness for means: F. Orabona and K.-S. Jun, 2021). The wealth of a
fixed c is a product over the values, and a product does not know their order.

Two arms. Null: mean1 <= mean0 + margin. Whatever m is the control's mean, both "mean0 >= m" and "mean1 <= m + margin"
then hold, and the product of one e-process against each (both arms' values draw from one filtration) is an e-process.
m is unknown: the least product over all m is at most that of the true one. The first factor rises with m and the second
falls, so that in a cell [a, b] the product is at least first(a)·second(b): the least over `CELLS` cells of [0, 1].
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from muster.plan.buckets import LEVELS
from muster.plan.statistics.counts import Histogram
from muster.plan.statistics.least import least
from muster.plan.statistics.tilting import log_sum

NODES = 24
_FRACTIONS = tuple(math.sin(math.pi / 2 * (index + 0.5) / NODES) ** 2 for index in range(NODES))
_LOG_NODES = math.log(NODES)
_LEAST = 1e-9
CELLS = 512

Values = Mapping[int, int]
"""Level (0 to `LEVELS`) → devices."""


def mean(histogram: Histogram) -> float | None:
    """The mean of what was reported; None if nothing was."""
    devices = histogram.devices
    return sum(level * count for level, count in histogram.buckets) / LEVELS / devices if devices else None


def harm_against_limit(histogram: Histogram, limit: float, *, higher_is_worse: bool = True) -> float:
    """Log evidence that the mean is beyond the limit."""
    if not higher_is_worse:
        return harm_against_limit(_mirrored(histogram), 1 - limit)
    return _above(_values(histogram, missing_as=0), limit)


def no_worse_than_limit(histogram: Histogram, limit: float, *, higher_is_worse: bool = True) -> float:
    """Log evidence that the mean is within the limit; a missing report counts as the worst value."""
    if not higher_is_worse:
        return no_worse_than_limit(_mirrored(histogram), 1 - limit)
    return _below(_values(histogram, missing_as=LEVELS), limit)


def harm_against_control(
    candidate: Histogram, control: Histogram, margin: float, *, higher_is_worse: bool = True
) -> float:
    """Log evidence that the candidate's mean is worse than the control's by more than the margin."""
    if not higher_is_worse:
        return harm_against_control(_mirrored(candidate), _mirrored(control), margin)
    ours, theirs = _values(candidate, missing_as=0), _values(control, missing_as=LEVELS)
    return least(
        lambda cell: _below(theirs, cell / CELLS), lambda cell: _above(ours, (cell + 1) / CELLS + margin), CELLS
    )


def no_worse_than_control(
    candidate: Histogram, control: Histogram, margin: float, *, higher_is_worse: bool = True
) -> float:
    """Log evidence that the candidate's mean is not worse than the control's by the margin."""
    if not higher_is_worse:
        return no_worse_than_control(_mirrored(candidate), _mirrored(control), margin)
    ours, theirs = _values(candidate, missing_as=LEVELS), _values(control, missing_as=0)
    return least(
        lambda cell: _below(ours, cell / CELLS + margin), lambda cell: _above(theirs, (cell + 1) / CELLS), CELLS
    )


def _values(histogram: Histogram, *, missing_as: int) -> Values:
    values = histogram.sums()
    if histogram.missing:
        values[missing_as] = values.get(missing_as, 0) + histogram.missing
    return values


def _mirrored(histogram: Histogram) -> Histogram:
    buckets = tuple((LEVELS - level, count) for level, count in histogram.buckets)
    return Histogram(buckets, histogram.missing, histogram.pending)


def _above(values: Values, bound: float) -> float:
    """Log of the average wealth of who doubts that the mean is at most `bound`."""
    bound = max(bound, _LEAST)
    worth = [(level / LEVELS / bound - 1, count) for level, count in values.items()]
    wealth = [sum(count * math.log1p(fraction * gain) for gain, count in worth) for fraction in _FRACTIONS]
    return log_sum(wealth) - _LOG_NODES


def _below(values: Values, bound: float) -> float:
    """The same for a mean that is at least `bound`."""
    return _above({LEVELS - level: count for level, count in values.items()}, 1 - bound)
