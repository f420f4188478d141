"""Dark: a device that falls silent for longer than its own habit. Pure arithmetic; time comes in.

Silence says something about a device only while others are heard. After the controller, or the way to it, was away,
every device gets the whole of its time again; and while nobody is heard, nobody is dark.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

HABITS = 20
"""So many of its usual pauses may pass: more than the agent's longest pause after failed polls."""

FLOOR = timedelta(seconds=60)
"""And at least this long, whatever its habit: a restart takes its time."""

GAP = 2
"""So many poll intervals without a report of any device, and it is us who were away."""

_MILLISECOND = timedelta(milliseconds=1)
_SHRINK = 8
"""A habit takes over a longer pause at once, and sheds an eighth with each shorter one."""


def next_habit(habit_ms: int, pause: timedelta | None, declared_ms: int) -> int:
    """The device's usual pause in milliseconds, after one more pause (None: this is its first request).

    Never below the declared poll interval: what a device sends while it switches models says nothing about its habit.
    """
    pause_ms = max(0, pause // _MILLISECOND) if pause is not None else 0
    return max(pause_ms, habit_ms - habit_ms // _SHRINK, declared_ms)


def dark_after(last_seen: datetime, habit_ms: int) -> datetime:
    """From when on silence counts as dark."""
    return last_seen + FLOOR + timedelta(milliseconds=HABITS * habit_ms)


@dataclass(frozen=True)
class Hearing:
    """Since when reports have come without a gap, and when the last one came."""

    since: datetime
    last: datetime

    def next(self, at: datetime, poll_ms: int) -> Hearing:
        """After one more report, of whichever device. `poll_ms`: the shortest declared poll interval."""
        return Hearing(self.since if self.holds(at, poll_ms) else at, at)

    def holds(self, now: datetime, poll_ms: int) -> bool:
        """True if the last report is recent enough to say that devices can be heard."""
        return now - self.last <= FLOOR + timedelta(milliseconds=GAP * poll_ms)

    def longest_habit_ms(self, now: datetime) -> int:
        """Only devices with a shorter habit than this were given the whole of their time since the last gap."""
        return (now - self.since - FLOOR) // timedelta(milliseconds=HABITS)
