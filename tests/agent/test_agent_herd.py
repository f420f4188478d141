"""A hundred thousand agents after an outage, and after a power cut: no herd, and no echoes of one."""

from __future__ import annotations

from collections import Counter
from functools import cache

import numpy as np
import pytest

from muster.agent.schedule import LONGEST, START_SPREAD, first_poll, next_poll, phase

DEVICES = 100_000
INTERVAL = 300.0
START = 1_000_000_200.0
"""Not a multiple of the interval."""


@cache
def _phases() -> tuple[float, ...]:
    return tuple(phase(f"device-{number}") for number in range(DEVICES))


def _per_second(moments: list[float]) -> Counter[int]:
    return Counter(int(moment) for moment in moments)


@cache
def _steady_peak() -> int:
    """The busiest second of a fleet that nothing happened to."""
    return max(_per_second([next_poll(START, INTERVAL, place) for place in _phases()]).values())


@pytest.mark.parametrize("retry_after", [0.0, 120.0], ids=["nobody answers", "503 with Retry-After"])
def test_after_an_outage_of_an_hour_the_busiest_second_is_one_of_every_day(retry_after: float) -> None:
    """While the outage lasts the polls become fewer; after it, no second of the next two hours has more than the
    busiest one before, and all devices were back within the longest pause and an interval.
    """
    end = START + 3_600
    first, late = [], 0
    for place in _phases():
        moment, failures = next_poll(START, INTERVAL, place), 0
        while moment < end:
            late += moment > end - 1_800
            failures += 1
            moment = next_poll(moment, INTERVAL, place, failures=failures, retry_after=retry_after)
        first.append(moment)
    for moment, place in list(zip(first, _phases(), strict=True))[:: DEVICES // 1_000]:
        assert next_poll(moment, INTERVAL, place) == pytest.approx(moment + INTERVAL, abs=1e-3)
    back = np.array(first) - end
    polls = np.concatenate([back + INTERVAL * count for count in range(24)])
    steady = DEVICES / INTERVAL
    assert steady < _steady_peak() < 1.25 * steady
    assert np.bincount(polls[polls < 7_200].astype(int)).max() <= _steady_peak() + 1  # a slot on the edge of a second
    assert back.max() <= LONGEST + INTERVAL
    # In the last half of the outage a device would have asked six times.
    assert late < 2 * DEVICES


def test_a_pause_that_all_are_asked_for_at_once_does_not_gather_them() -> None:
    """Whoever hears the same Retry-After in the same second comes back in a second of its own."""
    back = _per_second([next_poll(START, INTERVAL, place, failures=1, retry_after=5.0) for place in _phases()])
    assert max(back.values()) <= _steady_peak() + 1


def test_power_that_comes_back_to_all_at_once_does_not_gather_them() -> None:
    """The first poll of devices that run something is spread over five minutes, or one interval if that is shorter."""
    starts = np.array([first_poll(86_400.0, place) for place in _phases()])
    assert starts.min() >= 0
    assert starts.max() < START_SPREAD
    assert np.bincount(starts.astype(int)).max() < 1.25 * DEVICES / START_SPREAD
    assert max(first_poll(0.05, place) for place in _phases()) < 0.05
