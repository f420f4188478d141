"""Dark: a device that falls silent for longer than its own habit. Pure arithmetic; time comes in."""

from __future__ import annotations

from datetime import datetime, timedelta

HABITS = 10
"""So many of its usual pauses may pass: a device that is asleep or out of reach is not a harmed one."""

FLOOR = timedelta(seconds=60)
"""And at least this long, whatever its habit: a restart takes its time."""

_SHRINK = 8
"""A habit takes over a longer pause at once, and sheds an eighth with each shorter one."""


def next_habit(habit_ms: int, pause: timedelta | None, declared_ms: int) -> int:
    """The device's usual pause in milliseconds, after one more pause (None: this is its first request).

    Never below the declared poll interval: what a device sends while it switches models says nothing about its habit.
    """
    pause_ms = max(0, int(pause.total_seconds() * 1_000)) if pause is not None else 0
    return max(pause_ms, habit_ms - habit_ms // _SHRINK, declared_ms)


def dark_after(last_seen: datetime, habit_ms: int) -> datetime:
    """From when on silence counts as dark."""
    return last_seen + FLOOR + timedelta(milliseconds=HABITS * habit_ms)
