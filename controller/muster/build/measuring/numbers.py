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


def quantile_of(samples: Sequence[int], share: Fraction) -> Estimate:
    """A quantile of whole numbers by nearest rank. Raises `ValueError` for none.

    Worked example: p95 of 1..100 is 95, the smallest value that at least 95 of 100 do not exceed.
    """
    from scipy.stats import quantile_test

    ordered = sorted(samples)
    value = ordered[math.ceil(share * len(ordered)) - 1]
    interval = quantile_test(ordered, p=float(share)).confidence_interval(float(CONFIDENCE))
    return Estimate(Decimal(value), _bound(interval.low), _bound(interval.high), len(ordered))


def scaled(estimate: Estimate, divisor: int) -> Estimate:
    """The same in a larger unit: 1,000 for ns to µs."""

    def scale(value: Decimal | None) -> Decimal | None:
        return None if value is None else exact(Fraction(value) / divisor)

    return Estimate(
        exact(Fraction(estimate.value) / divisor), scale(estimate.lower), scale(estimate.upper), estimate.samples
    )


def _bound(value: float) -> Decimal | None:
    return exact(float(value)) if math.isfinite(value) else None
