"""Confidence bounds of shares, from counts, in exact decimals: the same verdict on every machine.

All bounds are one-sided at 95 %: the true value lies below `lower` in about one of twenty such samples, and above
`upper` in about one of twenty. Counts come in steps, so that it is up to 8.5 % of samples of 100 and 7 % of samples of
400: tests/check/gates/test_share_bounds.py holds them to that by simulation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Context, Decimal, localcontext
from itertools import permutations
from typing import Final

Z_95: Final = Decimal("1.6448536269514722")
"""The 95 % point of the standard normal distribution."""
CONFIDENCE: Final = Decimal("0.95")

# (comparisons at most, the point that leaves 5 % shared out among them)
_SHARED_OUT: Final = ((50, Decimal("3.0902323061678132")), (5_000, Decimal("4.2648907939228")))
MOST_SLICES: Final = 100

_EXACT: Final = Context(prec=40)


@dataclass(frozen=True)
class Interval:
    """One-sided bounds; `upper` is None where nothing bounds the value."""

    lower: Decimal
    upper: Decimal | None


@dataclass(frozen=True)
class Count:
    """So many of so many, `total` at least 1."""

    hits: int
    total: int

    @property
    def share(self) -> Decimal:
        """From 0 to 1."""
        return Decimal(self.hits) / self.total


@dataclass(frozen=True)
class Paired:
    """Frames that both, only this one, and only the baseline got right, of the same frames."""

    both: int
    only_this: int
    only_baseline: int

    @property
    def this(self) -> int:
        """Right answers of this one."""
        return self.both + self.only_this

    @property
    def baseline(self) -> int:
        """Right answers of the baseline."""
        return self.both + self.only_baseline


def share_interval(count: Count, z: Decimal = Z_95) -> Interval:
    """Wilson's score interval of a share (E. B. Wilson, JASA 22, 1927, p. 209).

    (2x + z² ∓ z √(z² + 4x(1 - x/n))) / 2(n + z²) for x of n. Worked example: 90 of 100 gives 0.8399 to 0.9391.
    """
    with localcontext(_EXACT):
        return _wilson(Decimal(count.hits), Decimal(count.total), z)


def ratio_interval(paired: Paired) -> Interval:
    """The ratio of two shares of right answers that were counted on the same frames.

    Hybrid Wilson score interval of D. G. Bonett and R. M. Price (Statistics in Medicine 25, 2006, p. 3039), as M. W.
    Fagerland and others recommend it (ibid. 33, 2014, p. 2850). Frames that both got wrong do not matter. With m frames
    that either got right, a = this, b = baseline, c = discordant ones: Wilson's intervals of a/m and b/m, with z shrunk
    by √((c+2)/((a+1)(b+1))) / (√((1-(a+1)/(m+2))/(a+1)) + √((1-(b+1)/(m+2))/(b+1))), and the ratio runs from the lower
    of the first over the upper of the second to the opposite. Worked example: 340 both, 3 and 5 alone give 0.9803 to
    1.0083 around 343/345.
    """
    return _ratio_interval(paired, Z_95)


def _ratio_interval(paired: Paired, z: Decimal) -> Interval:
    with localcontext(_EXACT):
        total = Decimal(paired.both + paired.only_this + paired.only_baseline)
        if not total:
            return Interval(Decimal(0), None)
        this, baseline = Decimal(paired.this), Decimal(paired.baseline)
        discordant = Decimal(paired.only_this + paired.only_baseline)
        spread = ((discordant + 2) / ((this + 1) * (baseline + 1))).sqrt()
        parts = sum(((1 - (x + 1) / (total + 2)) / (x + 1)).sqrt() for x in (this, baseline))
        shrunk = spread / parts * z
        first, second = _wilson(this, total, shrunk), _wilson(baseline, total, shrunk)
        assert first.upper is not None
        assert second.upper is not None
        return Interval(first.lower / second.upper, first.upper / second.lower if second.lower else None)


def independent_ratio_interval(this: Count, baseline: Count) -> Interval:
    """The ratio of two shares where it is not known which frames both got right.

    The lower bound of one over the upper bound of the other. However the two depend on each other, this is wider than
    it must be: errors add up at most as their sum.
    """
    with localcontext(_EXACT):
        first, second = share_interval(this), share_interval(baseline)
        assert first.upper is not None
        assert second.upper is not None
        return Interval(first.lower / second.upper, first.upper / second.lower if second.lower else None)


def gap_interval(slices: Sequence[Count]) -> Interval:
    """The largest minus the smallest share over two or more disjoint slices, at most `MOST_SLICES`.

    Each pair has Newcombe's interval (R. G. Newcombe, Statistics in Medicine 17, 1998, p. 873, method 10). The upper
    bound of the gap is the largest upper bound of a pair: the pair that truly lies farthest apart keeps to its own. The
    lower bound is the largest lower bound, where the 5 % are shared out among all pairs: somebody chose the farthest.
    """
    pairs = len(slices) * (len(slices) - 1) // 2
    z = next(z for most, z in _SHARED_OUT if pairs <= most)
    with localcontext(_EXACT):
        lower = max(_difference(a, b)[0] for a, b in permutations(_bounded(slices, z), 2))
        upper = max(_difference(a, b)[1] for a, b in permutations(_bounded(slices, Z_95), 2))
        return Interval(max(Decimal(0), lower), min(Decimal(1), upper))


_Bounded = tuple[Decimal, Decimal, Decimal]
"""A share, its lower and its upper bound."""


def _bounded(slices: Sequence[Count], z: Decimal) -> list[_Bounded]:
    found = []
    for one in slices:
        interval = share_interval(one, z)
        assert interval.upper is not None
        found.append((one.share, interval.lower, interval.upper))
    return found


def _difference(a: _Bounded, b: _Bounded) -> tuple[Decimal, Decimal]:
    apart = a[0] - b[0]
    below = ((a[0] - a[1]) ** 2 + (b[2] - b[0]) ** 2).sqrt()
    above = ((a[2] - a[0]) ** 2 + (b[0] - b[1]) ** 2).sqrt()
    return apart - below, apart + above


def _wilson(hits: Decimal, total: Decimal, z: Decimal) -> Interval:
    square = z * z
    middle = 2 * hits + square
    half = z * (square + 4 * hits * (1 - hits / total)).sqrt()
    below = 2 * (total + square)
    # Exactly 0 and 1 at the ends, where the square root would leave a rounding error.
    lower = Decimal(0) if not hits else (middle - half) / below
    upper = Decimal(1) if hits == total else (middle + half) / below
    return Interval(max(Decimal(0), lower), min(Decimal(1), upper))
