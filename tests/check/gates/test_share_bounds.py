"""Bounds of shares contain the estimate, narrow with the sample, and cover the truth as often as they say."""

from __future__ import annotations

import random
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from muster.check.gates.shares import (
    Count,
    Interval,
    Paired,
    gap_interval,
    independent_ratio_interval,
    ratio_interval,
    share_interval,
)

COUNTS = st.integers(1, 10**6).flatmap(lambda total: st.integers(0, total).map(lambda hits: Count(hits, total)))
CELLS = st.integers(0, 10**6)
PAIRED = st.builds(Paired, CELLS, CELLS, CELLS)
TRIALS = 2_000
# 5 % is meant; counts come in steps, so that no interval keeps to it at each share. By number of samples.
MOST_MISSES = {100: 0.085, 120: 0.075, 400: 0.07}


def inside(value: Decimal, interval: Interval) -> bool:
    return interval.lower <= value and (interval.upper is None or value <= interval.upper)


@given(COUNTS)
def test_a_share_lies_inside_its_bounds_and_those_inside_0_and_1(count: Count) -> None:
    """Also at both ends."""
    found = share_interval(count)
    assert found.upper is not None
    assert 0 <= found.lower <= count.share <= found.upper <= 1


@given(COUNTS, st.integers(2, 50))
def test_more_samples_of_the_same_share_narrow_its_bounds(count: Count, times: int) -> None:
    """The interval of ten times the sample lies strictly within."""
    narrow, wide = share_interval(Count(count.hits * times, count.total * times)), share_interval(count)
    assert narrow.upper is not None
    assert wide.upper is not None
    assert narrow.upper - narrow.lower < wide.upper - wide.lower


@given(COUNTS)
@settings(max_examples=50)
def test_a_share_has_the_bounds_that_a_public_library_finds(count: Count) -> None:
    """Wilson's interval at 90 % two-sided is the pair of one-sided bounds at 95 %."""
    low, high = binomtest(count.hits, count.total).proportion_ci(0.9, method="wilson")
    found = share_interval(count)
    assert float(found.lower) == pytest.approx(low, abs=1e-9)
    assert float(found.upper or 0) == pytest.approx(high, abs=1e-9)


@given(PAIRED)
def test_a_ratio_lies_inside_its_bounds(paired: Paired) -> None:
    """Where there is a ratio at all."""
    found = ratio_interval(paired)
    assert found.lower >= 0
    if paired.baseline:
        assert inside(Decimal(paired.this) / paired.baseline, found)


@given(PAIRED, st.integers(2, 50))
def test_more_frames_of_the_same_kind_raise_the_lower_bound_of_a_ratio(paired: Paired, times: int) -> None:
    """What is not certain yet becomes more so."""
    more = Paired(paired.both * times, paired.only_this * times, paired.only_baseline * times)
    assert ratio_interval(more).lower >= ratio_interval(paired).lower


@given(PAIRED)
def test_the_opposite_ratio_has_the_opposite_bounds(paired: Paired) -> None:
    """Whoever is called the baseline: the interval is the reciprocal."""
    found = ratio_interval(paired)
    opposite = ratio_interval(Paired(paired.both, paired.only_baseline, paired.only_this))
    if opposite.upper is not None and found.lower:
        assert abs(found.lower * opposite.upper - 1) < Decimal("1e-30")


def test_worked_examples() -> None:
    """Those of the docstrings."""
    share, ratio = share_interval(Count(90, 100)), ratio_interval(Paired(340, 3, 5))
    assert [round(share.lower, 4), round(share.upper or 0, 4)] == [Decimal("0.8396"), Decimal("0.9393")]
    assert [round(ratio.lower, 4), round(ratio.upper or 0, 4)] == [Decimal("0.9803"), Decimal("1.0083")]


def test_nothing_to_compare_bounds_nothing() -> None:
    """No frame that either got right: any ratio is possible."""
    assert Interval(Decimal(0), None) == ratio_interval(Paired(0, 0, 0))


@given(st.lists(COUNTS, min_size=2, max_size=6))
@settings(max_examples=50)
def test_a_gap_lies_inside_its_bounds(slices: list[Count]) -> None:
    """The largest minus the smallest share."""
    shares = [one.share for one in slices]
    found = gap_interval(slices)
    assert inside(max(shares) - min(shares), found)
    assert found.lower >= 0


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.integers(1, n), st.just(n))))
def test_without_pairs_the_bounds_of_a_ratio_contain_it(counts: tuple[int, int, int]) -> None:
    """The conservative interval."""
    hits, baseline, total = counts
    found = independent_ratio_interval(Count(hits, total), Count(baseline, total))
    assert inside(Decimal(hits) / baseline, found)


@pytest.mark.parametrize("share", [0.6, 0.9, 0.96])
@pytest.mark.parametrize("total", [100, 400])
def test_the_true_share_lies_outside_each_bound_as_rarely_as_said(share: float, total: int) -> None:
    """Simulated: each of the two one-sided bounds misses in about one trial of twenty, at most."""
    chance = random.Random(20260501)
    found = [share_interval(Count(sum(chance.random() < share for _ in range(total)), total)) for _ in range(TRIALS)]
    assert sum(one.lower > share for one in found) / TRIALS < MOST_MISSES[total]
    assert sum(one.upper is not None and one.upper < share for one in found) / TRIALS < MOST_MISSES[total]


# Of 1,000 frames: both right, only this one, only the baseline, neither.
PANELS = {
    "equal": (920, 15, 15, 50),
    "better": (900, 50, 10, 40),
    "worse": (900, 10, 50, 40),
    "hard": (500, 90, 110, 300),
}


@pytest.mark.parametrize("name", PANELS)
@pytest.mark.parametrize("total", [100, 400])
def test_the_true_ratio_lies_outside_each_bound_as_rarely_as_said(name: str, total: int) -> None:
    """Simulated on the same frames for both: each bound misses in about one trial of twenty, at most."""
    chance, cells = random.Random(20260502), PANELS[name]
    truth = Decimal(cells[0] + cells[1]) / (cells[0] + cells[2])
    found = []
    for _ in range(TRIALS // 2):
        drawn = chance.choices(range(4), cells, k=total)
        found.append(ratio_interval(Paired(*(drawn.count(cell) for cell in range(3)))))
    assert sum(one.lower > truth for one in found) / len(found) < MOST_MISSES[total]
    assert sum(one.upper is not None and one.upper < truth for one in found) / len(found) < MOST_MISSES[total]


@pytest.mark.parametrize("shares", [(0.9, 0.9, 0.9, 0.9), (0.95, 0.85), (0.97, 0.9, 0.8)], ids=str)
def test_the_true_gap_lies_outside_each_bound_as_rarely_as_said(shares: tuple[float, ...]) -> None:
    """Simulated: also where all slices are equal, and chance alone sets them apart."""
    chance, total = random.Random(20260503), 120
    truth = Decimal(str(max(shares))) - Decimal(str(min(shares)))
    found = [
        gap_interval([Count(sum(chance.random() < share for _ in range(total)), total) for share in shares])
        for _ in range(300)
    ]
    assert sum(one.lower > truth for one in found) / len(found) < MOST_MISSES[total]
    assert sum(one.upper is not None and one.upper < truth for one in found) / len(found) < MOST_MISSES[total]
