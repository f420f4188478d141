"""Percentile and entropy: the right answers, in whole numbers, and the same for values that differ in the last bit."""

from __future__ import annotations

import math

import numpy as np
import pytest
from onnxruntime.quantization.calibrate import HistogramCollector

import muster.build.onnx_runtime  # noqa: F401 - telemetry is off before the library is imported
from muster.build.recipes.histograms import (
    BINS,
    LEVELS,
    STEP,
    Histogram,
    best_thresholds,
    clipped_ranges,
    entropies,
    log2,
)

GENERATOR = np.random.Generator(np.random.PCG64(3))
DISTRIBUTIONS = {
    "normal": GENERATOR.standard_normal(20_000),
    "rectified": np.maximum(GENERATOR.standard_normal(20_000), 0.0),
    "long tail": GENERATOR.standard_exponential(20_000) ** 3,
    "below zero": -np.abs(GENERATOR.standard_normal(20_000)),
    "uniform": GENERATOR.uniform(-2.0, 2.0, 20_000),
    "few": np.array([0.5, 1.0, 1.0, -3.0]),
}


def _histogram(values: np.ndarray) -> Histogram:
    histogram = Histogram(float(np.float32(values.min())), float(np.float32(values.max())))
    histogram.add(values)
    return histogram


def _by_definition(counts: np.ndarray) -> int:
    """The threshold, from the divergence of normalised distributions in floating point."""
    best, least = len(counts), math.inf
    for kept in range(len(counts), LEVELS - 1, -STEP):
        held, clipped = counts[:kept].astype(np.float64), counts[:kept].astype(np.float64)
        clipped[-1] += counts[kept:].sum()
        levels, filled = np.arange(kept) * LEVELS // kept, clipped > 0
        shared = np.bincount(levels, held, LEVELS) / np.maximum(np.bincount(levels, filled, LEVELS), 1)
        q = shared[levels][filled]
        if not q.all():
            continue
        p = clipped[filled] / clipped.sum()
        divergence = float(np.sum(p * np.log2(p * q.sum() / q)))
        if divergence < least - 1e-9:
            best, least = kept, divergence
    return best


@pytest.mark.parametrize("name", DISTRIBUTIONS)
@pytest.mark.parametrize("share", [999_000, 990_000, 900_000])
def test_a_percentile_holds_its_share(name: str, share: int) -> None:
    """At most half of the rest lies beyond either bound, and one bin further in more does."""
    values = DISTRIBUTIONS[name]
    low, high = _histogram(values).percentile(share)
    width = np.abs(values).max() / BINS * 1.01
    spare = len(values) * (1_000_000 - share) / 2_000_000
    assert values.min() - width <= low <= high <= values.max() + width
    assert (values < low - width).sum() <= spare
    assert (values > high + width).sum() <= spare
    if low > values.min() + width:
        assert (values < low + width).sum() > spare
    if high < values.max() - width:
        assert (values > high - width).sum() > spare


CONTINUOUS = sorted(set(DISTRIBUTIONS) - {"few"})


def _onnxruntime(values: np.ndarray, method: str, bins: int, levels: int, percent: float) -> tuple[float, float]:
    collector = HistogramCollector(method, False, bins, levels, percent, None)
    collector.collect({"tensor": values.astype(np.float32)})
    low, high = collector.compute_collection_result()["tensor"][:2]
    return float(low), float(high)


@pytest.mark.parametrize("name", CONTINUOUS)
@pytest.mark.parametrize("share", [999_000, 990_000, 900_000])
def test_a_percentile_is_the_quantile(name: str, share: int) -> None:
    """Within a bin of what numpy finds among the values themselves, in float64."""
    histogram, rest = _histogram(DISTRIBUTIONS[name]), (1 - share / 1_000_000) / 2
    quantiles = np.quantile(DISTRIBUTIONS[name], (rest, 1 - rest))
    # A bin for where the bound lies in it, one for a gap between two values.
    assert np.allclose(histogram.percentile(share), quantiles, rtol=0, atol=2 * histogram._width)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_onnxruntime_finds_these_percentiles(name: str) -> None:
    """With as many bins, and where no whole number of values is cut: there it goes by how a float32 sum was rounded."""
    values = DISTRIBUTIONS[name][:19_997]
    histogram = _histogram(values)
    theirs = _onnxruntime(values, "percentile", 2 * BINS, 0, 99.0)
    assert np.allclose(histogram.percentile(990_000), theirs, rtol=0, atol=3 * histogram._width)


def test_entropy_of_onnxruntime_is_min_max() -> None:
    """As it calls it: of 128 bins it keeps 128. That is why calibration is not left to it."""
    values = DISTRIBUTIONS["long tail"]
    assert float(values.astype(np.float32).max()) == _onnxruntime(values, "entropy", 128, 128, 0.0)[1]
    assert entropies({"tensor": _histogram(values)})["tensor"][1] < values.max() / 2


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_the_threshold_is_that_of_the_definition(name: str) -> None:
    """Whole numbers find what the formula finds."""
    magnitudes = _histogram(DISTRIBUTIONS[name]).magnitudes()
    assert _by_definition(magnitudes) == best_thresholds(magnitudes[None])[0]


def test_entropy_cuts_a_long_tail_and_leaves_what_is_even() -> None:
    """It is no min-max under another name."""
    histograms = {name: _histogram(values) for name, values in DISTRIBUTIONS.items()}
    ranges = entropies(histograms)
    assert ranges["long tail"][1] < DISTRIBUTIONS["long tail"].max() / 2
    assert ranges["uniform"][1] > 1.9
    assert ranges["below zero"][1] <= 0.0


def test_logarithms_are_right_to_a_step() -> None:
    """Against the library's, over all sizes of counts."""
    whole = np.unique(np.concatenate([np.arange(1, 5_000), 2 ** np.arange(40), 3 ** np.arange(20)]))
    expected = np.array([math.log2(one) for one in whole.tolist()]) * 2.0**20
    assert np.abs(log2(whole) - expected).max() <= 0.51
    assert log2(np.array([0, 1, 2, 1_024])).tolist() == [0, 0, 2**20, 10 * 2**20]


@pytest.mark.parametrize("share", [990_000, None])
def test_the_last_bits_do_not_show(share: int | None) -> None:
    """Values on the edges of bins, moved by what float64 kernels differ in, give the same ranges."""
    exact = np.concatenate([np.arange(-512, 513) / 256.0, DISTRIBUTIONS["normal"].astype(np.float32)])
    moved = exact * (1.0 + 4e-16 * GENERATOR.choice([-1.0, 1.0], len(exact)))
    assert (moved != exact).any()
    ranges = {"tensor": (float(np.float32(exact.min())), float(np.float32(exact.max())))}
    found = [clipped_ranges(ranges, [{"tensor": values}], share) for values in (exact, moved)]
    assert found[0] == found[1]


@pytest.mark.parametrize("share", [990_000, None])
def test_a_tensor_of_zeros_has_the_range_zero(share: int | None) -> None:
    """Nothing is divided by its width."""
    assert clipped_ranges({"zeros": (0.0, 0.0)}, [{"zeros": np.zeros(10)}], share) == {"zeros": (0.0, 0.0)}
    assert clipped_ranges({}, [], share) == {}
