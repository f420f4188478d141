"""Reading: a measured value on its way to a threshold, with its sampling error and with words for people."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Context, Decimal, localcontext
from typing import Final

from muster.check.gates.shares import Interval
from muster.kinds.quantity import Dimension

_TIMES: Final = (
    (86_400_000_000, "d"),
    (3_600_000_000, "h"),
    (60_000_000, "m"),
    (1_000_000, "s"),
    (1_000, "ms"),
    (1, "us"),
)
_SIZES: Final = ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"), (1, "B"))
_EXACT: Final = Context(prec=40)


@dataclass(frozen=True)
class Reading:
    """`value` in the dimension of the threshold; `about` says where it comes from, in brackets, or nothing.

    `no_interval` says why there are no bounds.
    """

    value: Decimal
    dimension: Dimension
    evidence: str | None = None
    samples: int | None = None
    interval: Interval | None = None
    no_interval: str = "its evidence gives no bounds at 95 %"
    about: str = ""

    def over(self, baseline: Decimal, words: str) -> Reading:
        """The ratio to a positive value that is known exactly, or whose own error the evidence does not give."""
        with localcontext(_EXACT):
            bounds = self.interval and Interval(self.interval.lower / baseline, _over(self.interval.upper, baseline))
            return replace(
                self,
                value=self.value / baseline,
                dimension="number",
                interval=bounds,
                about=f" ({shown(self.value, self.dimension)}{self.about} over {words})",
            )

    def ratio(self, baseline: Decimal, interval: Interval | None, words: str) -> Reading:
        """The ratio to a positive value, with bounds of the ratio itself."""
        return replace(self.over(baseline, words), interval=interval)


def shown(value: Decimal | None, dimension: Dimension) -> str:
    """A value for people: at most six digits, in the largest unit of which it is at least one."""
    if value is None:
        return "any"
    if dimension == "number":
        return _digits(value)
    units = _TIMES if dimension == "time" else _SIZES
    factor, unit = next((pair for pair in units if value >= pair[0]), units[-1])
    return f"{_digits(value / factor)}{unit}"


def _over(upper: Decimal | None, baseline: Decimal) -> Decimal | None:
    return None if upper is None else upper / baseline


def _digits(value: Decimal) -> str:
    rounded = Context(prec=max(6, value.adjusted() + 1)).plus(value)
    return f"{rounded.normalize(_EXACT):f}"
