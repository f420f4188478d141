"""When to ask the server next. Pure.

Each device has a phase of its own within the interval, computed from its id, and keeps to it: after an outage the
fleet comes back as spread as it was before, without echoes at every interval. Failures stretch the pause, and what the
server asks for is honoured.
"""

from __future__ import annotations

from muster.plan.assignment import BUCKETS, bucket

LONGEST = 3_600.0
"""Seconds; the pause after many failures."""

START_SPREAD = 300.0
"""Seconds over which a fleet that was started together asks first; a device may be on for less than its interval."""

_DOUBLINGS = 4


def phase(device_id: str) -> float:
    """The device's place in every interval, 0 to 1."""
    return bucket("poll/v1", device_id) / BUCKETS


def first_poll(interval: float, phase: float) -> float:
    """Seconds from the start of an agent that runs something to its first poll: power comes back to many at once."""
    return phase * min(interval, START_SPREAD)


def next_poll(now: float, interval: float, phase: float, *, failures: int = 0, retry_after: float = 0.0) -> float:
    """The next slot of the phase that is not too early. Seconds of the same clock as `now`.

    Without failures it lies within one interval. The n-th failure in a row waits 2^(n-1) intervals more: 16 intervals
    at most, and an hour at most (or one interval, if that is longer).
    """
    pause = interval * (2 ** min(failures - 1, _DOUBLINGS)) if failures else 0.0
    earliest = now + max(min(pause, max(LONGEST, interval)), retry_after)
    slot = (earliest // interval + phase) * interval
    while slot <= earliest:  # twice where a rounded division fell one slot short
        slot += interval
    return slot
