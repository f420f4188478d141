"""Conditions that people hear of: when one ceases to hold for longer than its patience, and when it holds again.

It is looked at anew at every tick, so that nothing is lost by a crash. A condition that comes and goes is told once in
ten minutes at most: what fails again sooner is told when the ten minutes are over, if it still fails then.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection

from muster.apply.alerts.making import Ground, of_condition, resolved
from muster.apply.alerts.outbox import close, newest_about, put
from muster.kinds.alert_reason import ALERT_KINDS, known_reason
from muster.plan.conditions import Condition

QUIET: Final = timedelta(minutes=10)
UNTOLD: Final = frozenset({"Ready", "AlertsDelivered"})
"""`Ready` sums up the others; that alerts arrive nowhere cannot be told by an alert."""


def tell_conditions(connection: Connection, conditions: Iterable[Condition], ground: Ground) -> int:
    """Put what is to be told of these conditions, in the caller's transaction; how many alerts that were."""
    return sum(_tell(connection, one, ground) for one in conditions if one.type not in UNTOLD)


def _tell(connection: Connection, condition: Condition, ground: Ground) -> bool:
    newest = newest_about(connection, condition.type)
    alert, closed_at = newest or (None, None)
    is_open = alert is not None and closed_at is None
    if condition.status == "False":
        since = datetime.fromisoformat(condition.last_transition_time)
        patience = timedelta(seconds=ALERT_KINDS[known_reason(condition.reason)].patience)
        quiet = closed_at is not None and ground.now - closed_at < QUIET
        if is_open or quiet or ground.now - since < patience:
            return False
        return put(connection, of_condition(ground, condition), ground.fleet.channels, ground.now)
    if condition.status == "True" and alert is not None and is_open:
        close(connection, alert.key, ground.now)
        over = resolved(alert, ground.now, condition.message)
        return put(connection, over, ground.fleet.channels, ground.now)
    return False
