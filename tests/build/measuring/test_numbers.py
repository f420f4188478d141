"""Bounds and quantiles, held against worked examples and against simulated draws."""

from __future__ import annotations

import math
import random
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from muster.build.measuring.numbers import exact, noise_of, paired_ratio, quantile_of, quantile_ratio, scaled, share_of
from muster.kinds.quantity import parse_decimal


def test_a_share_and_its_bounds() -> None:
    """Wilson's interval for 8 of 10, as Newcombe's method 3 gives it."""
    found = share_of(8, 10)
    assert found.value == Decimal("0.8")
    assert (round(found.lower, 4), round(found.upper, 4)) == (Decimal("0.4902"), Decimal("0.9433"))


@settings(deadline=None)
@given(samples=st.integers(1, 100_000), share=st.fractions(0, 1))
def test_bounds_hold_their_value_and_can_be_written(samples: int, share: Fraction) -> None:
    """They enclose it, lie between 0 and 1, and read back as evidence."""
    found = share_of(math.floor(share * samples), samples)
    assert 0 <= found.lower <= found.value <= found.upper <= 1
    for value in (found.lower, found.value, found.upper):
        assert parse_decimal(value) == value


@pytest.mark.parametrize(
    ("samples", "share", "expected"),
    [
        (range(1, 101), Fraction(95, 100), 95),
        (range(1, 101), Fraction(1, 2), 50),
        ([7], Fraction(95, 100), 7),
        ([3, 1, 2], Fraction(1, 2), 2),
        (range(1, 11), Fraction(95, 100), 10),
    ],
    ids=["p95", "p50", "single", "unsorted", "few"],
)
def test_a_quantile_is_a_value_that_was_seen(samples: list[int], share: Fraction, expected: int) -> None:
    """By nearest rank."""
    assert quantile_of(list(samples), share).value == expected


def test_too_few_samples_have_no_upper_bound() -> None:
    """Ten values cannot bound a 95th percentile from above; a thousand can."""
    assert quantile_of(range(10), Fraction(95, 100)).upper is None
    found = quantile_of(range(1_000), Fraction(95, 100))
    assert found.lower < found.value < found.upper


def test_the_bounds_of_a_quantile_cover_it() -> None:
    """In at least 93 of 100 simulated runs the interval holds the true 95th percentile (nominal 95)."""
    generator = random.Random(5)
    held = 0
    for _ in range(400):
        found = quantile_of([generator.randrange(1_000_000) for _ in range(300)], Fraction(95, 100))
        held += found.lower <= 950_000 <= found.upper
    assert held >= 372


def test_units() -> None:
    """Ns become µs, exactly to the third decimal."""
    found = scaled(quantile_of([1_234_567] * 100, Fraction(1, 2)), 1_000)
    assert (found.value, found.lower) == (Decimal("1234.567"), Decimal("1234.567"))
    assert exact(Fraction(1, 3)) == Decimal("0.333333333")


def test_a_ratio_of_pairs_holds_still_where_the_machine_does_not() -> None:
    """Three times as fast, on a machine that slows down tenfold half-way: the ratio knows nothing of it."""
    machine = [100] * 500 + [1_000] * 500
    found = paired_ratio([3 * one for one in machine], [9 * one for one in machine])
    assert round(found.value, 6) == round(found.lower, 6) == round(found.upper, 6) == Decimal("0.333333")
    assert paired_ratio([10, 30, 20], [20, 20, 20]).value == 1
    for odd in ([], [1, 0, 1], [1, 1]):
        assert paired_ratio([1, 1, 1], odd) is None


def test_a_ratio_of_tails_is_bounded_by_both() -> None:
    """Wider than either alone, and with no upper bound where there are too few samples for one."""
    found = quantile_ratio(range(2_000, 3_000), range(1_000, 2_000), Fraction(95, 100))
    assert found.lower < found.value < found.upper
    assert abs(found.value - Decimal(2_949) / 1_949) < Decimal("1e-8")
    assert quantile_ratio(range(1, 20), range(1, 20), Fraction(99, 100)).upper is None


def test_noise_is_what_moves_between_stretches_of_a_run() -> None:
    """Not what moves within them; a run too short for ten stretches has none to state."""
    assert noise_of([90, 100, 110] * 100) == 0
    assert noise_of([100] * 90 + [130] * 10) == Decimal("0.3")
    assert noise_of([100] * 9) is None
