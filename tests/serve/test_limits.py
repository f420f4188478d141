"""Limits: a burst, a rate, and a bound on what they remember."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.serve.limits import Limiter, Rate


@dataclass
class Clock:
    now: float = 1_000.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_then_a_rate() -> None:
    """Three at once, then one in two seconds; the wait is told, and waiting that long is enough."""
    clock = Clock()
    limiter = Limiter(Rate(3, 0.5), timer=clock)
    assert [limiter.take("a") for _ in range(4)] == [0.0, 0.0, 0.0, 2.0]
    assert limiter.take("b") == 0.0
    clock.now += 1.5
    assert limiter.take("a") == pytest.approx(0.5)
    clock.now += 0.5
    assert [limiter.take("a") > 0, limiter.take("a") > 0] == [False, True]
    clock.now += 6
    assert [limiter.take("a") for _ in range(3)] == [0.0, 0.0, 0.0]


@given(st.lists(st.floats(0, 5), min_size=1, max_size=200), st.integers(1, 20), st.floats(0.1, 50))
def test_never_more_than_burst_and_rate(pauses: list[float], burst: int, per_second: float) -> None:
    """In any stretch of time at most `burst + rate × time` are let through."""
    clock = Clock(0.0)
    limiter = Limiter(Rate(burst, per_second), timer=clock)
    let_through = 0
    for pause in pauses:
        clock.now += pause
        let_through += limiter.take("a") == 0.0
        assert let_through <= burst + per_second * clock.now + 1e-6


def test_what_is_remembered_is_bounded() -> None:
    """A stream of new keys pushes out the one longest unheard, not the one that asks."""
    clock = Clock()
    limiter = Limiter(Rate(2, 0.001), most_keys=100, timer=clock)
    for number in range(1_000):
        limiter.take(f"stranger-{number}")
        if number < 2:
            limiter.take("busy")
        elif number % 50 == 0:
            assert limiter.wait("busy") > 0 or limiter.take("busy") == 0.0
    assert len(limiter) == 100
