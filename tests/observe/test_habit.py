"""Habits: what makes a device dark, and what does not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from muster.agent.schedule import next_poll
from muster.observe.habit import FLOOR, HABITS, Hearing, dark_after, next_habit

START = datetime(2026, 1, 1, tzinfo=UTC)
POLL = 60


def test_an_agent_that_could_not_poll_is_back_before_it_is_dark() -> None:
    """The longest pause that an agent makes after failed polls is shorter than the silence that counts."""
    longest = next_poll(0.0, POLL, 0.999, failures=1_000)
    assert timedelta(seconds=longest) < FLOOR + timedelta(seconds=HABITS * POLL)


@given(st.lists(st.integers(0, 10**7), max_size=50), st.integers(0, 10**6))
def test_a_habit_covers_the_newest_pause_and_the_declared_one(pauses: list[int], declared: int) -> None:
    """A device that has just been silent for some time is not dark for being so again."""
    habit = 0
    for pause in pauses:
        habit = next_habit(habit, timedelta(milliseconds=pause), declared)
        assert habit >= max(pause, declared)


def test_a_habit_shrinks_slowly() -> None:
    """A burst of reports while a device switches models does not make it a frequent reporter."""
    habit = next_habit(0, timedelta(hours=6), 1_000)
    for _ in range(5):
        habit = next_habit(habit, timedelta(seconds=1), 1_000)
    assert dark_after(START, habit) - START > timedelta(days=2)


def test_a_gap_gives_everyone_their_time_again() -> None:
    """Without a gap the hearing goes back to its start; after one it begins anew."""
    hearing = Hearing(START, START).next(START + timedelta(seconds=90), 60_000)
    assert hearing.since == START
    after = hearing.next(START + timedelta(hours=1), 60_000)
    assert after.since == after.last == START + timedelta(hours=1)
    assert after.longest_habit_ms(after.last) < 0
