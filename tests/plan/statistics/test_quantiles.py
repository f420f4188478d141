"""Quantiles of per-device values: between the bounds with the declared error, losing a bucket's width."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
import ville
from hypothesis import example, given, settings
from hypothesis import strategies as st

from muster.plan.buckets import HIGHEST_BUCKET, LOWEST_BUCKET, bucket_of, edge
from muster.plan.statistics.counts import Histogram
from muster.plan.statistics.explain import bounds
from muster.plan.statistics.family import Terms
from muster.plan.statistics.least import SHARP
from muster.plan.statistics.quantiles import (
    _Cumulative,
    _hedged,
    _position,
    harm_against_control,
    harm_against_limit,
    no_worse_than_control,
    no_worse_than_limit,
    quantile,
)
from muster.plan.statistics.questions import QuantileLimit, Values
from muster.plan.statistics.tilting import costs, log_evidence_at

NEEDED = math.log(20)
few_buckets = st.lists(st.integers(-40, 40), max_size=60)


def histogram(buckets: list[int], missing: int = 0) -> Histogram:
    """Devices by bucket."""
    return Histogram(tuple(Counter(buckets).items()), missing)


def latencies(seed: int, devices: int, factor: float = 1.0) -> np.ndarray:
    """Milliseconds, one value per device."""
    return 20 * factor * np.exp(np.random.default_rng(seed).normal(0, 0.15, devices))


def counted(values: np.ndarray) -> Histogram:
    """A histogram of values."""
    return histogram([bucket_of(float(value)) for value in values])


@given(st.floats(1e-6, 1e15))
@example(1.0)
@example(edge(7))
@example(math.nextafter(edge(7), math.inf))
def test_a_value_lies_in_its_bucket(value: float) -> None:
    """Above the lower edge, at most the upper one."""
    bucket = bucket_of(value)
    assert bucket == LOWEST_BUCKET or edge(bucket) < value
    assert bucket == HIGHEST_BUCKET or value <= edge(bucket + 1)


@pytest.mark.parametrize(
    ("value", "bucket"),
    [(0, LOWEST_BUCKET), (-1, LOWEST_BUCKET), (math.inf, HIGHEST_BUCKET), (math.nan, LOWEST_BUCKET)],
)
def test_what_lies_outside_is_counted_outermost(value: float, bucket: int) -> None:
    """No value is lost."""
    assert bucket == bucket_of(value)


@settings(max_examples=60)
@given(few_buckets, few_buckets, st.sampled_from([0.5, 0.9, 0.95]), st.floats(0.5, 2), st.integers(0, 9))
def test_two_arms_are_the_least_over_all_buckets(
    ours: list[int], theirs: list[int], share: float, ratio: float, missing: int
) -> None:
    """Those that are looked at give the least of all: compared with every bucket far and wide."""
    candidate, control = histogram(ours, missing), histogram(theirs, missing)
    shift, few, many = _position(ratio), costs(share), costs(1 - share)
    a, b = _Cumulative(candidate, missing_above=False), _Cumulative(control, missing_above=True)
    every = min(
        _hedged(log_evidence_at(b.devices - b.above(bucket, certainly=True), b.devices, few))
        + _hedged(log_evidence_at(a.above(bucket + 1 + shift, certainly=True), a.devices, many))
        for bucket in range(-120, 120)
    )
    assert every - SHARP - 1e-9 <= harm_against_control(candidate, control, share, ratio) <= every + 1e-9
    a, b = _Cumulative(candidate, missing_above=True), _Cumulative(control, missing_above=False)
    every = min(
        _hedged(log_evidence_at(b.above(bucket + 1, certainly=True), b.devices, many))
        + _hedged(log_evidence_at(a.devices - a.above(bucket + shift, certainly=False), a.devices, few))
        for bucket in range(-120, 120)
    )
    assert every - SHARP - 1e-9 <= no_worse_than_control(candidate, control, share, ratio) <= every + 1e-9


def test_a_control_of_a_million_does_not_outweigh_two_thousand() -> None:
    """However far inside its own null the control lies, at its true bucket: both answers are found."""
    few = counted(latencies(1, 2_000))
    control = Histogram(tuple((bucket, 500 * count) for bucket, count in few.buckets))
    same, slower = counted(latencies(2, 2_000)), counted(latencies(2, 2_000, 1.25))
    for share in (0.5, 0.95):
        assert no_worse_than_control(same, control, share, 1.15) > NEEDED
        assert harm_against_control(slower, control, share, 1.05) > NEEDED


def test_a_slower_release_is_harm_and_an_equal_one_is_no_worse() -> None:
    """10 % on 2,000 devices; and equal ones within a margin of 15 %."""
    control = counted(latencies(1, 2_000))
    same, slower = counted(latencies(2, 2_000)), counted(latencies(2, 2_000, 1.1))
    for share in (0.5, 0.95):
        assert harm_against_control(same, control, share, 1.0) < 0
        assert harm_against_control(slower, control, share, 1.0) > NEEDED
        assert no_worse_than_control(same, control, share, 1.15) > NEEDED
        assert no_worse_than_control(slower, control, share, 1.05) < 0


def test_a_bound_inside_a_bucket_counts_against_the_claim() -> None:
    """All devices in one bucket, the bound in its middle: neither harm nor no worse."""
    values, inside = histogram([10] * 500), edge(10) * 1.01
    assert harm_against_limit(values, 0.5, inside) < 0
    assert no_worse_than_limit(values, 0.5, inside) < 0
    assert harm_against_limit(values, 0.5, edge(10)) > NEEDED
    assert no_worse_than_limit(values, 0.5, edge(11)) > NEEDED


def test_missing_reports_speak_against_either_claim() -> None:
    """Below the bound for harm, above it for no worse."""
    full, part = histogram([10] * 50), histogram([10] * 50, missing=30)
    assert harm_against_limit(part, 0.5, edge(10)) < harm_against_limit(full, 0.5, edge(10))
    assert no_worse_than_limit(part, 0.5, edge(11)) < no_worse_than_limit(full, 0.5, edge(11))


def test_the_quantile_of_what_was_reported() -> None:
    """The upper edge of the bucket that holds it; None of nothing."""
    assert edge(21) == quantile(histogram([0] * 9 + [20]), 0.95)
    assert edge(1) == quantile(histogram([0] * 9 + [20]), 0.9)
    assert quantile(histogram([]), 0.9) is None


@pytest.mark.parametrize("share", [0.5, 0.95])
def test_bounds_agree_with_ville(share: float) -> None:
    """Both confidence sequences hold the true quantile, and ours is no wider than ville's and two buckets."""
    values = latencies(4, 1_500)
    theirs = ville.QuantileCS(q=share, alpha=0.05).fit(values)
    truth = 20 * math.exp(0.15 * {0.5: 0.0, 0.95: 1.6449}[share])
    lower, upper = bounds(QuantileLimit(share, 20.0), Values(counted(values)), Terms(error_ppm=25_000))
    assert lower < truth < upper
    assert theirs.lower_[-1] < truth < theirs.upper_[-1]
    assert upper / lower < edge(2) * theirs.upper_[-1] / theirs.lower_[-1]
