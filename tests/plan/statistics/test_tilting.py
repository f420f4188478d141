"""The mixture of which tests of shares are made: a supermartingale to the last digit, the beta-binomial at one half."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
import ville
from hypothesis import given
from hypothesis import strategies as st

from muster.plan.statistics.tilting import Draws, log_evidence

chances = st.floats(0.001, 0.999)


def expected(draws: list[Draws], factor: float) -> float:
    """The mean of E over all outcomes, if every chance is `factor` times what the null allows."""
    mean = 0.0
    for events in product(*(range(number + 1) for _, number in draws)):
        weight = 1.0
        for (chance, number), count in zip(draws, events, strict=True):
            p = chance * factor
            weight *= math.comb(number, count) * p**count * (1 - p) ** (number - count)
        mean += weight * math.exp(log_evidence(sum(events), draws))
    return mean


@given(st.lists(st.tuples(chances, st.integers(1, 6)), min_size=1, max_size=3))
def test_the_mean_is_one_at_the_boundary(draws: list[Draws]) -> None:
    """Whatever the chances of the steps are: nothing is gained on average while the null just holds."""
    assert expected(draws, 1.0) == pytest.approx(1.0, rel=1e-9)


@given(st.lists(st.tuples(chances, st.integers(1, 6)), min_size=1, max_size=3), st.floats(0, 1))
def test_the_mean_is_at_most_one_within_it(draws: list[Draws], factor: float) -> None:
    """Rarer events than the null allows make nobody rich."""
    assert expected(draws, factor) <= 1 + 1e-9


@pytest.mark.parametrize("p", [0.3, 0.5, 0.53, 0.7])
def test_at_one_half_it_is_the_beta_binomial_of_ville(p: float) -> None:
    """Our two one-sided halves together are ville's two-sided Beta(1/2, 1/2) test, after every draw."""
    draws = (np.random.default_rng(5).random(2_000) < p).astype(float)
    theirs = ville.BernoulliTest(0.5, prior=(0.5, 0.5)).fit(draws).log_e_values_
    for seen in (1, 2, 5, 17, 100, 999, 2_000):
        events = int(draws[:seen].sum())
        up, down = log_evidence(events, [(0.5, seen)]), log_evidence(seen - events, [(0.5, seen)])
        assert theirs[seen - 1] == pytest.approx(np.logaddexp(up, down) - math.log(2), abs=2e-3)


@given(st.integers(0, 500), st.integers(0, 500), chances, chances)
def test_it_rises_with_events_and_falls_with_the_chance(events: int, others: int, one: float, two: float) -> None:
    """More events are more evidence; a null that allows more leaves less."""
    low, high = sorted((one, two))
    number = events + others + 1
    assert log_evidence(events, [(low, number)]) <= log_evidence(events + 1, [(low, number)])
    assert log_evidence(events, [(high, number)]) <= log_evidence(events, [(low, number)]) + 1e-9


def test_large_counts_do_not_overflow() -> None:
    """Ten million devices, all of which failed; or none."""
    number = 10_000_000
    assert log_evidence(number, [(0.01, number)]) > 1e6
    assert log_evidence(0, [(0.01, number)]) < 0
