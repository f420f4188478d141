"""Means of bounded values: bets whose product does not know the order, against an independent confidence sequence."""

from __future__ import annotations

import math
from collections import Counter
from itertools import product

import numpy as np
import pytest
import ville
from hypothesis import given, settings
from hypothesis import strategies as st

from muster.plan.buckets import LEVELS, level_of
from muster.plan.statistics.counts import Histogram
from muster.plan.statistics.explain import bounds
from muster.plan.statistics.family import Terms
from muster.plan.statistics.means import (
    CELLS,
    _above,
    _below,
    harm_against_control,
    harm_against_limit,
    mean,
    no_worse_than_control,
    no_worse_than_limit,
)
from muster.plan.statistics.questions import MeanLimit, Values

NEEDED = math.log(20)
levels = st.lists(st.integers(0, LEVELS), max_size=30)


def histogram(values: list[int], missing: int = 0) -> Histogram:
    """Devices by level."""
    return Histogram(tuple(Counter(values).items()), missing)


def confidences(seed: int, centre: float, devices: int = 400) -> np.ndarray:
    """Levels of devices that are as sure as that on average."""
    values = np.random.default_rng(seed).beta(centre * 20, (1 - centre) * 20, devices)
    return np.array([level_of(value) for value in values])


@pytest.mark.parametrize("weights", [(0.5, 0.5, 0), (0, 1, 0), (0.2, 0.3, 0.5)])
def test_the_mean_wealth_is_one_at_the_boundary(weights: tuple[float, ...]) -> None:
    """Five devices with values 0.1, 0.4 and 0.9: over all outcomes, doubting the true mean gains nothing."""
    support = (10, 40, 90)
    truth = sum(level * weight for level, weight in zip(support, weights, strict=True)) / LEVELS
    for bet in (harm_against_limit, no_worse_than_limit):
        total = 0.0
        for outcome in product(range(3), repeat=5):
            chance = math.prod(weights[index] for index in outcome)
            total += chance * math.exp(bet(histogram([support[index] for index in outcome]), truth))
        assert total == pytest.approx(1.0, rel=1e-9)


@given(levels, st.randoms(use_true_random=False), st.floats(0.05, 0.95))
def test_no_order_changes_the_evidence(values: list[int], random: object, limit: float) -> None:
    """Values come in any order, in one histogram or in two that are added."""
    mixed = list(values)
    random.shuffle(mixed)
    cut = len(mixed) // 2
    added = histogram(mixed[:cut]) + histogram(mixed[cut:])
    assert harm_against_limit(added, limit) == harm_against_limit(histogram(sorted(values)) + Histogram(), limit)


@given(levels, st.floats(0.05, 0.95))
def test_directions_mirror_each_other(values: list[int], limit: float) -> None:
    """Higher is worse for x as lower is worse for 1 - x."""
    mirrored = histogram([LEVELS - value for value in values])
    lower = harm_against_limit(histogram(values), limit, higher_is_worse=False)
    assert harm_against_limit(mirrored, 1 - limit) == pytest.approx(lower, abs=1e-6)


@settings(max_examples=20)
@given(levels, levels, st.floats(-0.2, 0.2))
def test_two_arms_are_bounded_by_every_mean_of_the_control(ours: list[int], theirs: list[int], margin: float) -> None:
    """What is reported is at most the product at any mean of the control."""
    found = harm_against_control(histogram(ours), histogram(theirs), margin)
    for cell in range(0, CELLS, 37):
        m = cell / CELLS
        assert found <= _below(dict(Counter(theirs)), m) + _above(dict(Counter(ours)), m + margin) + 1e-9


def test_equal_arms_are_undecided_and_shifted_ones_are_not() -> None:
    """The same mean is no harm, and no worse than a margin; one that fell by 0.05 is harm."""
    control = histogram(confidences(1, 0.8).tolist())
    same, fallen = (histogram(confidences(2, centre).tolist()) for centre in (0.8, 0.75))
    assert harm_against_control(same, control, 0.0, higher_is_worse=False) < NEEDED
    assert no_worse_than_control(same, control, 0.06, higher_is_worse=False) > NEEDED
    assert harm_against_control(fallen, control, 0.0, higher_is_worse=False) > NEEDED


def test_missing_reports_speak_against_either_claim() -> None:
    """As the worst value for no worse, as the best for harm."""
    full, part = histogram([30] * 50), histogram([30] * 50, missing=20)
    assert harm_against_limit(part, 0.2) < harm_against_limit(full, 0.2)
    assert no_worse_than_limit(part, 0.5) < no_worse_than_limit(full, 0.5)


@pytest.mark.parametrize("centre", [0.1, 0.5, 0.8])
def test_bounds_agree_with_ville(centre: float) -> None:
    """Both confidence sequences hold the true mean; ours is no wider than 1.5 times ville's betting one."""
    values = confidences(3, centre, 1_000)
    theirs = ville.BettingCS(alpha=0.05).fit(values / LEVELS)
    # Two one-sided tests with half of the error each are what a two-sided interval compares with.
    lower, upper = bounds(MeanLimit(0.5), Values(histogram(values.tolist())), Terms(error_ppm=25_000))
    assert lower < mean(histogram(values.tolist())) < upper
    assert lower < theirs.upper_[-1]
    assert theirs.lower_[-1] < upper
    assert upper - lower < 1.5 * (theirs.upper_[-1] - theirs.lower_[-1])
