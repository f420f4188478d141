"""Percentile and entropy calibration, computed in whole numbers so that they are the same on every CPU.

A tensor's histogram has 2 x 2048 bins of one width from -a to a. a is its largest magnitude rounded outward to 10
significant bits, so that every edge is a float32, and values are rounded to float32 before they are counted: what lies
on an edge in truth is then counted on it everywhere. What follows from the counts is integer arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from muster.build.calibration_table import snap_outward

Counts = npt.NDArray[np.int64]
Range = tuple[float, float]

BINS: Final = 2_048
LEVELS: Final = 128
"""Of the magnitude, under 8 bits of which one is the sign's."""
STEP: Final = 16
"""Candidates for a threshold lie so many bins apart."""
_EDGE_BITS: Final = 10
_MILLION: Final = 1_000_000
_NONE: Final = 2**63 - 1
_FRACTION: Final = 20
"""Binary digits after the point in a logarithm. Counts of 2^34 times it still add up in 64 bits."""


class Histogram:
    """Counts of one tensor's values."""

    def __init__(self, lowest: float, highest: float) -> None:
        self._range = lowest, highest
        self._width = snap_outward(max(-lowest, highest), _EDGE_BITS, up=True) / BINS
        self._counts: Counts = np.zeros(2 * BINS, np.int64)

    def add(self, values: npt.NDArray[np.float64]) -> None:
        """Count values, all of which lie in the range but for rounding."""
        if self._width:
            steps = np.floor(values.astype(np.float32).astype(np.float64) / self._width)
            bins = np.clip(steps, -BINS, BINS - 1).astype(np.int64).reshape(-1) + BINS
            self._counts += np.bincount(bins, minlength=2 * BINS)

    def percentile(self, share: int) -> Range:
        """The narrowest range of whole bins that leaves out at most (1 - share)/2 of the values on either side.

        `share` in parts per million.
        """
        total = int(self._counts.sum())
        cumulative = np.cumsum(self._counts)
        # Twice a million, for the half on either side.
        spare = total * (_MILLION - share)
        below = int(np.searchsorted(cumulative * 2 * _MILLION, spare, side="right"))
        above = int(np.searchsorted(np.cumsum(self._counts[::-1]) * 2 * _MILLION, spare, side="right"))
        return self._clip((below - BINS) * self._width, (BINS - above) * self._width)

    def magnitudes(self) -> Counts:
        """Counts of magnitudes, in 2048 bins."""
        found: Counts = self._counts[BINS:] + self._counts[BINS - 1 :: -1]
        return found

    def up_to(self, bins: int) -> Range:
        """The range in which magnitudes lie in so many bins."""
        return self._clip(-bins * self._width, bins * self._width)

    def _clip(self, low: float, high: float) -> Range:
        low, high = max(low, self._range[0]), min(high, self._range[1])
        return (low, high) if low <= high else self._range


def percentiles(histograms: Mapping[str, Histogram], share: int) -> dict[str, Range]:
    """The range of each tensor that holds `share` parts per million of its values."""
    return {name: histogram.percentile(share) for name, histogram in histograms.items()}


def entropies(histograms: Mapping[str, Histogram]) -> dict[str, Range]:
    """The range of each tensor up to the threshold that `best_thresholds` finds."""
    if not histograms:
        return {}
    found = best_thresholds(np.stack([histogram.magnitudes() for histogram in histograms.values()]))
    return {
        name: histogram.up_to(bins) for (name, histogram), bins in zip(histograms.items(), found.tolist(), strict=True)
    }


def best_thresholds(counts: Counts) -> Counts:
    """How many bins of each row [T, bins] to keep, so that 128 levels say most of it. Of equal ones the widest.

    The divergence of Kullback and Leibler between the counts up to a threshold (all beyond it counted in its last
    bin) and the same counts at 128 levels, as in S. Migacz, "8-bit inference with TensorRT", 2017, in bits times the
    number of values. A threshold below which some value would have no level is none.
    """
    own = np.cumsum(counts * log2(counts), axis=1) - counts * log2(counts)
    best = np.full(len(counts), counts.shape[1], np.int64)
    least = np.full(len(counts), _NONE, np.int64)
    for candidate in range(counts.shape[1], LEVELS - 1, -STEP):
        found = _divergences(counts, candidate, own[:, candidate - 1])
        better = found < least
        best[better], least[better] = candidate, found[better]
    return best


def _divergences(counts: Counts, kept: int, own: Counts) -> Counts:
    """Per row, in steps of 2^-20 bits, but for what all candidates share; `_NONE` for infinite.

    `own`: the sum of p log p over the counts p of all bins but the last that is kept. To each p belongs a q: what its
    level holds, shared among the level's bins that hold anything.
    """
    held, beyond = counts[:, :kept], counts[:, kept:].sum(axis=1)
    last = held[:, -1] + beyond
    starts = -(-np.arange(LEVELS) * kept // LEVELS)
    sums = np.add.reduceat(held, starts, axis=1)
    masses = sums.copy()
    masses[:, -1] += beyond
    filled = np.add.reduceat((held > 0).astype(np.int64), starts, axis=1)
    filled[:, -1] += (last > 0).astype(np.int64) - (held[:, -1] > 0)
    levels = (masses * (log2(sums) - log2(filled))).sum(axis=1)
    total = counts.sum(axis=1) * log2(sums.sum(axis=1))
    infinite = ((sums == 0) & (masses > 0)).any(axis=1)
    found: Counts = np.where(infinite, _NONE, own + last * log2(last) - levels + total)
    return found


def log2(whole: Counts) -> Counts:
    """Logarithms of whole numbers (of 0: as of 1) below 2^53, in steps of 2^-20; off by one step at most.

    By additions, multiplications and divisions alone, which IEEE 754 fixes; a library's log differs between CPUs.
    ln m = 2 artanh((m-1)/(m+1)), as a series.
    """
    mantissa, exponent = np.frexp(np.maximum(whole, 1).astype(np.float64))
    ratio = (mantissa - 1.0) / (mantissa + 1.0)
    square = ratio * ratio
    series = np.zeros_like(ratio)
    for power in range(27, 0, -2):
        series = series * square + 1.0 / power
    found: Counts = np.rint((exponent + ratio * series * _TWO_BY_LN2) * 2.0**_FRACTION).astype(np.int64)
    return found


_TWO_BY_LN2: Final = 2.8853900817779268


def clipped_ranges(
    ranges: Mapping[str, Range],
    batches: Iterable[Mapping[str, npt.NDArray[np.float64]]],
    share: int | None,
) -> dict[str, Range]:
    """Ranges cut at a share of the values in parts per million, or without one by entropy. Batches: values by name."""
    histograms = {name: Histogram(low, high) for name, (low, high) in ranges.items()}
    for values in batches:
        for name, value in values.items():
            histograms[name].add(value)
    return entropies(histograms) if share is None else percentiles(histograms, share)
