"""The outbox: once per key, at least once per channel, in order, and given up only on the dead-letter list."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from alert_cases import NOW, make_alert, webhook_to
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, select

from fleets import make_policy
from muster.apply import ledger
from muster.apply.alerts import outbox
from muster.apply.alerts.backoff import FIRST_PAUSE, GIVEN_UP_AFTER, LONGEST_PAUSE, next_attempt
from muster.apply.alerts.conditions import QUIET, tell_conditions
from muster.apply.alerts.making import Ground
from muster.apply.alerts.telling import alerts_delivered
from muster.kinds.fleet import Fleet
from muster.observe.storage import alerts, open_storage, writing
from muster.plan.conditions import Condition, condition

HOOK = "https://hooks.example/in"
SECOND = timedelta(seconds=1)


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    engine = open_storage(tmp_path)
    with writing(engine) as connection:
        yield connection
    engine.dispose()


def due_keys(connection: Connection, now: datetime = NOW) -> list[tuple[str, str]]:
    return [(one.alert.key, one.channel) for one in outbox.due(connection, now)]


def test_a_key_is_told_once(connection: Connection) -> None:
    """The same alert again writes nothing, neither here nor into the ledger."""
    channels = [webhook_to(HOOK, "a"), webhook_to(HOOK, "b")]
    assert outbox.put(connection, make_alert(), channels, NOW)
    assert not outbox.put(connection, make_alert(), channels, NOW + SECOND)
    key = make_alert().key
    assert due_keys(connection) == [(key, "a"), (key, "b")]
    assert [event.event for event in ledger.events(connection)] == ["alerted"]
    assert ledger.verify_chain(connection) == 1


def _put_and_fail(engine: Engine) -> None:
    with writing(engine) as connection:
        outbox.put(connection, make_alert(), [webhook_to(HOOK)], NOW)
        raise ZeroDivisionError


def test_a_transaction_that_fails_tells_nobody(tmp_path: Path) -> None:
    """What did not happen is not told: both stand in one transaction."""
    engine = open_storage(tmp_path)
    with pytest.raises(ZeroDivisionError):
        _put_and_fail(engine)
    with engine.connect() as connection:
        assert due_keys(connection) == []
        assert ledger.events(connection) == ()
    engine.dispose()


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({}, True),
        ({"severities": ["info", "warning"]}, False),
        ({"reasons": ["RevertCommitted"]}, False),
        ({"reasons": ["RevertCommitted", "ReleaseSuspended"]}, True),
        ({"owners": ["FIRMWARE"]}, True),
        ({"owners": ["ml"]}, False),
    ],
    ids=str,
)
def test_a_channel_is_told_what_it_asks_for(connection: Connection, spec: dict[str, list[str]], told: bool) -> None:
    """All of severity, reason and owner must fit; what is not named does not matter."""
    outbox.put(connection, make_alert(), [webhook_to(HOOK, **spec)], NOW)
    assert bool(due_keys(connection)) is told
    assert len(outbox.listed(connection)) == 1


def test_what_is_not_taken_is_tried_again_then_given_up(connection: Connection) -> None:
    """For a day, ever more seldom; then it is a dead letter that can be sent again as if new, or dismissed."""
    outbox.put(connection, make_alert(), [webhook_to(HOOK)], NOW)
    now, attempts = NOW, 0
    while found := outbox.due(connection, now):
        attempts += 1
        at = outbox.not_delivered(connection, found[0], "answered 503", now, None)
        assert outbox.due(connection, now) == ()
        now = at or now
    assert 25 < attempts < 45
    assert NOW + GIVEN_UP_AFTER - LONGEST_PAUSE * 2 < now < NOW + GIVEN_UP_AFTER
    key = make_alert().key
    assert outbox.dead_keys(connection) == [key]
    assert alerts_delivered(connection, now, 1).reason == "DeadLetters"
    assert [event.event for event in ledger.events(connection)] == ["alerted", "alert-given-up"]
    assert outbox.send_again(connection, key, "another", now) == 0
    assert outbox.send_again(connection, key, None, now) == 1
    (again,) = outbox.due(connection, now)
    assert (again.attempts, again.since) == (0, now)
    outbox.not_delivered(connection, again, "answered 400", now, None, final=True)
    assert outbox.dead_keys(connection) == [key]
    assert outbox.dismiss(connection, key, None) == 1
    assert outbox.dead_keys(connection) == []
    assert alerts_delivered(connection, now, 1).status == "True"


def test_what_waits_for_long_is_shown(connection: Connection) -> None:
    """A condition says so before anything is given up."""
    outbox.put(connection, make_alert(), [webhook_to(HOOK)], NOW)
    assert alerts_delivered(connection, NOW, 1).status == "True"
    assert alerts_delivered(connection, NOW + timedelta(minutes=16), 1).reason == "AlertsLate"


def test_one_subject_keeps_its_order_in_a_channel(connection: Connection) -> None:
    """What waits for its next attempt holds back what came later about the same subject, and nothing else."""
    channel = [webhook_to(HOOK)]
    outbox.put(connection, make_alert("first"), channel, NOW)
    outbox.put(connection, make_alert("later"), channel, NOW + SECOND)
    outbox.put(connection, make_alert("other", subject="else"), channel, NOW + SECOND)
    now = NOW + SECOND
    (first, *_) = outbox.due(connection, now)
    at = outbox.not_delivered(connection, first, "answered 500", now, None)
    assert at is not None
    assert due_keys(connection, now) == [("other", "on-call")]
    assert [key for key, _ in due_keys(connection, at)] == ["first", "later", "other"]
    outbox.delivered(connection, first, at)
    assert [key for key, _ in due_keys(connection, at)] == ["later", "other"]


def test_old_alerts_are_forgotten_but_not_what_is_open(connection: Connection) -> None:
    """Ninety days; what is on its way, a dead letter or not over stays."""
    outbox.put(connection, make_alert("done"), [], NOW)
    outbox.put(connection, make_alert("waits"), [webhook_to(HOOK)], NOW)
    outbox.put(connection, make_alert("open", subject="RepositoryReachable"), [], NOW)
    outbox.prune(connection, NOW + outbox.KEPT + SECOND)
    assert set(connection.execute(select(alerts.c.key)).scalars()) == {"waits", "open"}
    outbox.close(connection, "open", NOW)
    outbox.prune(connection, NOW + outbox.KEPT + SECOND)
    assert set(connection.execute(select(alerts.c.key)).scalars()) == {"waits"}


@given(st.integers(1, 10_000), st.integers(0, 86_000), st.none() | st.integers(0, 10**9))
def test_pauses_are_bounded(attempts: int, late: int, asked: int | None) -> None:
    """Between five seconds and an hour and a fifth, whatever the other side asks for; never after the day is over."""
    now = NOW + SECOND * late
    at = next_attempt("key", attempts, NOW, now, None if asked is None else SECOND * asked)
    if at is not None:
        assert FIRST_PAUSE <= at - now <= LONGEST_PAUSE * 1.2
        assert at < NOW + GIVEN_UP_AFTER


def fetch(now: datetime, since: datetime, *, holds: bool) -> Condition:
    made = condition(
        "RepositoryReachable",
        holds=holds,
        reason="Fetched" if holds else "FetchFailed",
        message="m",
        now=since,
        generation=1,
    )
    assert since <= now
    return made


def told(connection: Connection, found: Condition, now: datetime) -> int:
    fleet = Fleet.of([make_policy(), webhook_to(HOOK)], "c" * 40)
    return tell_conditions(connection, [found], Ground(fleet, None, 1, now))


def test_a_condition_is_told_once_and_once_when_it_is_over(connection: Connection) -> None:
    """After its patience; each further tick says nothing; a short absence is never told."""
    minute = timedelta(minutes=1)
    assert [told(connection, fetch(NOW + minute * n, NOW, holds=False), NOW + minute * n) for n in range(8)] == [
        *[0] * 5,
        1,
        0,
        0,
    ]
    over = NOW + minute * 8
    assert told(connection, fetch(over, over, holds=True), over) == 1
    assert told(connection, fetch(over + minute, over, holds=True), over + minute) == 0
    assert [one.alert.state for one in outbox.due(connection, over)] == ["firing", "resolved"]


def test_what_comes_and_goes_is_told_seldom_and_not_lost(connection: Connection) -> None:
    """Within ten quiet minutes nothing more is told; what still fails then is."""
    late = timedelta(minutes=6)
    assert told(connection, fetch(NOW + late, NOW, holds=False), NOW + late) == 1
    closed = NOW + late
    assert told(connection, fetch(closed, closed, holds=True), closed) == 1
    assert told(connection, fetch(closed + late, closed, holds=False), closed + late) == 0
    assert told(connection, fetch(closed + QUIET, closed, holds=False), closed + QUIET) == 1
