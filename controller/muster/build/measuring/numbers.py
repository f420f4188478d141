"""Numbers as evidence writes them: exact decimals, and bounds that a public library computes.

Shares are bounded by Wilson's score interval, quantiles by order statistics (the binomial one of Conover): neither
asks what the distribution looks like. Both are two-sided at `CONFIDENCE`.
"""

from __future__ import annotations

import decimal
import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Final

CONFIDENCE: Final = Decimal("0.95")
_PLACES: Final = Decimal("1e-9")
_STEPS: Final = 1_000_000_000
_STRETCHES: Final = 10
_HALF: Final = Fraction(1, 2)


@dataclass(frozen=True)
class Estimate:
    """A value with its bounds at `CONFIDENCE`; None where there are too few samples for one."""

    value: Decimal
    lower: Decimal | None
    upper: Decimal | None
    samples: int


def exact(number: float | Fraction) -> Decimal:
    """To nine decimals, half to even: what evidence can hold."""
    fraction = Fraction(number)
    with decimal.localcontext(prec=60):
        return (Decimal(fraction.numerator) / Decimal(fraction.denominator)).quantize(_PLACES)


def share_of(successes: int, samples: int) -> Estimate:
    """How many of some held. Raises `ValueError` for none."""
    from scipy.stats import binomtest

    interval = binomtest(successes, samples).proportion_ci(float(CONFIDENCE), method="wilson")
    value = exact(Fraction(successes, samples))
    # Rounding must not push a bound past the value that it bounds.
    return Estimate(value, min(value, exact(interval.low)), max(value, exact(interval.high)), samples)


def quantile_of(samples: Sequence[int], share: Fraction, confidence: Decimal = CONFIDENCE) -> Estimate:
    """A quantile of whole numbers by nearest rank, bounded at `confidence`. Raises `ValueError` for none.

    Worked example: p95 of 1..100 is 95, the smallest value that at least 95 of 100 do not exceed.
    """
    from scipy.stats import quantile_test

    ordered = sorted(samples)
    value = ordered[math.ceil(share * len(ordered)) - 1]
    interval = quantile_test(ordered, p=float(share)).confidence_interval(float(confidence))
    return Estimate(Decimal(value), _bound(interval.low), _bound(interval.high), len(ordered))


def paired_ratio(mine: Sequence[int], other: Sequence[int]) -> Estimate | None:
    """The median of what each of `mine` is over its pair in `other`; None if a pair cannot be divided.

    Worked example: 10, 30, 20 over 20, 20, 20 are 0.5, 1.5 and 1, whose median is 1.
    """
    if len(mine) != len(other) or not mine or min(other) <= 0:
        return None
    return scaled(quantile_of([one * _STEPS // two for one, two in zip(mine, other, strict=True)], _HALF), _STEPS)


def quantile_ratio(mine: Sequence[int], other: Sequence[int], share: Fraction) -> Estimate | None:
    """A quantile over another's. The bounds of both hold at once at `CONFIDENCE` (Bonferroni), so that theirs do."""
    both = (1 + CONFIDENCE) / 2
    one, two = quantile_of(mine, share, both), quantile_of(other, share, both)
    if two.value <= 0:
        return None
    lower = None if one.lower is None or two.upper is None else exact(Fraction(one.lower) / Fraction(two.upper))
    upper = None if one.upper is None or not two.lower else exact(Fraction(one.upper) / Fraction(two.lower))
    return Estimate(exact(Fraction(one.value) / Fraction(two.value)), lower, upper, one.samples)


def noise_of(samples: Sequence[int]) -> Decimal | None:
    """By how much the medians of ten equal stretches of a run differ, as a share of the run's; None for too short ones.

    Worked example: ten stretches at 100 but one at 130 differ by 0.3.
    """
    length = len(samples) // _STRETCHES
    middle = sorted(samples)[len(samples) // 2] if samples else 0
    if not length or middle <= 0:
        return None
    medians = [sorted(samples[start : start + length])[length // 2] for start in range(0, length * _STRETCHES, length)]
    return exact(Fraction(max(medians) - min(medians), middle))


def scaled(estimate: Estimate, divisor: int) -> Estimate:
    """The same in a larger unit: 1,000 for ns to µs."""

    def scale(value: Decimal | None) -> Decimal | None:
        return None if value is None else exact(Fraction(value) / divisor)

    return Estimate(
        exact(Fraction(estimate.value) / divisor), scale(estimate.lower), scale(estimate.upper), estimate.samples
    )


def _bound(value: float) -> Decimal | None:
    return exact(float(value)) if math.isfinite(value) else None
