"""The outbox: alerts and their deliveries, written in the transaction of what they tell of.

An alert that stands there is never written again; a delivery leaves `waiting` only when a channel took it, or when it
is given up and lies on the dead-letter list, until a person sends it again or dismisses it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, and_, delete, exists, func, insert, select, update

from muster.apply import ledger
from muster.apply.alerts.alert import Alert
from muster.apply.alerts.backoff import next_attempt
from muster.kinds.channel import Channel
from muster.observe.storage import alerts, deliveries, iso

KEPT: Final = timedelta(days=90)
MOST_SHOWN: Final = 1_000
LATE: Final = timedelta(minutes=15)


@dataclass(frozen=True)
class Delivery:
    """One alert on its way to one channel."""

    alert: Alert
    channel: str
    attempts: int
    since: datetime


def put(connection: Connection, alert: Alert, channels: Iterable[Channel], now: datetime) -> bool:
    """Write an alert and its deliveries, in the caller's transaction; False if its key is there already."""
    if connection.execute(select(alerts.c.key).where(alerts.c.key == alert.key)).first():
        return False
    connection.execute(
        insert(alerts).values(key=alert.key, reason=alert.reason, subject=alert.subject, at=iso(now), body=alert.body())
    )
    owner = alert.responsible.owner if alert.responsible else None
    for channel in channels:
        if channel.spec.tells(alert.reason, alert.severity, owner):
            address(connection, alert.key, channel.metadata.name, now)
    body = {"alert": alert.body(), "key": alert.key, "release": alert.release}
    ledger.append(connection, "alerted", f"alerted:{alert.key}", body, now)
    return True


def address(connection: Connection, key: str, channel: str, now: datetime) -> None:
    """Have one more channel told of an alert that was put."""
    connection.execute(
        insert(deliveries).values(key=key, channel=channel, state="waiting", since=iso(now), next_at=iso(now))
    )


def due(connection: Connection, now: datetime, limit: int = 100, without: Iterable[str] = ()) -> tuple[Delivery, ...]:
    """Deliveries to try now, oldest first; none of channels that rest, nor behind one about the same subject."""
    before, told_before = deliveries.alias(), alerts.alias()
    behind = exists().where(
        before.c.channel == deliveries.c.channel,
        before.c.state == "waiting",
        before.c.next_at > iso(now),
        told_before.c.key == before.c.key,
        told_before.c.subject == alerts.c.subject,
        told_before.c.sequence < alerts.c.sequence,
    )
    rows = connection.execute(
        select(deliveries, alerts.c.body)
        .join(alerts, alerts.c.key == deliveries.c.key)
        .where(
            deliveries.c.state == "waiting",
            deliveries.c.next_at <= iso(now),
            deliveries.c.channel.not_in(list(without)),
            ~behind,
        )
        .order_by(alerts.c.sequence, deliveries.c.channel)
        .limit(limit)
    ).mappings()
    return tuple(
        Delivery(
            Alert.of_body(row["body"]),
            row["channel"],
            row["attempts"],
            datetime.fromisoformat(row["since"]),
        )
        for row in rows
    )


def delivered(connection: Connection, delivery: Delivery, now: datetime) -> None:
    """A channel took it."""
    _settle(connection, delivery, state="delivered", last_error=None, next_at=iso(now))
    key = delivery.alert.key
    body = {"key": key, "channel": delivery.channel, "release": delivery.alert.release}
    ledger.append(connection, "alert-delivered", f"alert-delivered:{key}:{delivery.channel}", body, now)


def not_delivered(
    connection: Connection, delivery: Delivery, why: str, now: datetime, again: timedelta | None, *, final: bool = False
) -> datetime | None:
    """A channel did not take it; when it is tried again, or None: it is a dead letter now.

    `again` is the pause that the channel asked for; `final`: trying the same again would end the same way.
    """
    key, attempts = delivery.alert.key, delivery.attempts + 1
    at = None if final else next_attempt(f"{key}:{delivery.channel}", attempts, delivery.since, now, again)
    state = "waiting" if at else "dead"
    _settle(connection, delivery, state=state, last_error=why[:500], next_at=iso(at or now))
    if at is None:
        body = {"key": key, "channel": delivery.channel, "reason": why[:500], "attempts": attempts}
        body["release"] = delivery.alert.release
        event_key = f"alert-given-up:{key}:{delivery.channel}:{now.isoformat()}"
        ledger.append(connection, "alert-given-up", event_key, body, now)
    return at


def _settle(connection: Connection, delivery: Delivery, **values: Any) -> None:
    connection.execute(
        update(deliveries)
        .where(deliveries.c.key == delivery.alert.key, deliveries.c.channel == delivery.channel)
        .values(attempts=delivery.attempts + 1, **values)
    )


def newest_about(connection: Connection, subject: str) -> tuple[Alert, datetime | None] | None:
    """The newest alert that tells that this condition does not hold, and when it was closed (None: it is open)."""
    row = connection.execute(
        select(alerts.c.body, alerts.c.closed_at)
        .where(alerts.c.subject == subject, alerts.c.key.not_like("%:resolved"))
        .order_by(alerts.c.sequence.desc())
        .limit(1)
    ).first()
    if row is None:
        return None
    return Alert.of_body(row.body), datetime.fromisoformat(row.closed_at) if row.closed_at else None


def close(connection: Connection, key: str, now: datetime) -> None:
    """What this alert told of is over."""
    connection.execute(update(alerts).where(alerts.c.key == key).values(closed_at=iso(now)))


@dataclass(frozen=True)
class Standing:
    """How many deliveries wait, are dead, and have waited for longer than a quarter of an hour."""

    waiting: int
    dead: int
    late: int


def standing(connection: Connection, now: datetime) -> Standing:
    """How deliveries stand."""
    rows = connection.execute(select(deliveries.c.state, func.count()).group_by(deliveries.c.state))
    counts: dict[str, int] = {row[0]: row[1] for row in rows}
    late = connection.execute(
        select(func.count()).where(deliveries.c.state == "waiting", deliveries.c.since < iso(now - LATE))
    ).scalar_one()
    return Standing(counts.get("waiting", 0), counts.get("dead", 0), late)


def listed(connection: Connection, limit: int = MOST_SHOWN, state: str | None = None) -> list[dict[str, Any]]:
    """Alerts with their deliveries, newest first; with `state` only those with such a delivery."""
    wanted = select(alerts).order_by(alerts.c.sequence.desc()).limit(min(limit, MOST_SHOWN))
    if state is not None:
        wanted = wanted.where(exists().where(and_(deliveries.c.key == alerts.c.key, deliveries.c.state == state)))
    rows = connection.execute(wanted).mappings().all()
    found = connection.execute(
        select(deliveries).where(deliveries.c.key.in_([row["key"] for row in rows])).order_by(deliveries.c.channel)
    ).mappings()
    sent: dict[str, list[dict[str, Any]]] = {}
    for row in found:
        sent.setdefault(row["key"], []).append(
            {
                "channel": row["channel"],
                "state": row["state"],
                "attempts": row["attempts"],
                "nextAt": row["next_at"] if row["state"] == "waiting" else None,
                "lastError": row["last_error"],
            }
        )
    return [{**row["body"], "deliveries": sent.get(row["key"], [])} for row in rows]


def dead_keys(connection: Connection) -> Sequence[str]:
    """Keys of alerts on the dead-letter list."""
    return (
        connection.execute(
            select(deliveries.c.key).where(deliveries.c.state == "dead").distinct().order_by(deliveries.c.key)
        )
        .scalars()
        .all()
    )


def send_again(connection: Connection, key: str, channel: str | None, now: datetime) -> int:
    """Put dead letters of this key back on their way, as if new; how many."""
    return _of_dead(
        connection, key, channel, {"state": "waiting", "attempts": 0, "since": iso(now), "next_at": iso(now)}
    )


def dismiss(connection: Connection, key: str, channel: str | None) -> int:
    """Take dead letters of this key off the list: nobody needs to be told any more; how many."""
    return _of_dead(connection, key, channel, {"state": "dismissed"})


def _of_dead(connection: Connection, key: str, channel: str | None, values: dict[str, Any]) -> int:
    changed = update(deliveries).where(deliveries.c.key == key, deliveries.c.state == "dead").values(**values)
    if channel is not None:
        changed = changed.where(deliveries.c.channel == channel)
    return connection.execute(changed).rowcount


def prune(connection: Connection, now: datetime) -> None:
    """Forget alerts of 90 days ago and more, but those on their way, on the dead-letter list, or still open."""
    needed = exists().where(and_(deliveries.c.key == alerts.c.key, deliveries.c.state.in_(["waiting", "dead"])))
    old = alerts.c.at < iso(now - KEPT)
    connection.execute(delete(alerts).where(old, ~needed, alerts.c.closed_at.is_not(None) | ~_is_condition()))
    connection.execute(delete(deliveries).where(deliveries.c.key.not_in(select(alerts.c.key))))


def _is_condition() -> Any:
    """Alerts of releases name one (`<model>/<version>`); conditions are open until they hold again."""
    return alerts.c.subject.not_like("%/%") & alerts.c.key.not_like("%:resolved")
