"""Counts over reports: what the planner judges by."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection, func, select

from muster.observe.status import read_hearing, shortest_poll
from muster.observe.storage import devices, outcomes
from muster.observe.tallies import read_tally
from muster.plan.exposures import exposures
from muster.plan.tallies import RECALLED
from muster.plan.world import Observed


def observed(
    connection: Connection, now: datetime | None = None, since: Mapping[tuple[str, str], int] | None = None
) -> Observed:
    """What the planner is told, at O(cells) and the devices that are silent.

    `now`: a device whose newest news is that it runs the release, and which fell silent for longer than its habit,
    counts as dark; one that was in mid-update, as failed. `since`: per release and device class, the generation at
    which the release came (back) on offer; what devices showed before says nothing about this attempt.
    """
    tally = read_tally(connection, now)
    return Observed(exposures(tally, since or {}), tally, heard=now is None or _heard(connection, now))


def _heard(connection: Connection, now: datetime) -> bool:
    """True if the newest report of any device is recent; also before the first, when there is nothing to judge by."""
    hearing = read_hearing(connection)
    return hearing is None or hearing.holds(now, shortest_poll(connection))


def first_failures(connection: Connection) -> dict[str, str]:
    """When a device of each release first failed, as an ISO time."""
    failed = (outcomes.c.phase == "failed") | (
        (outcomes.c.phase == "rolled-back") & outcomes.c.error_code.is_distinct_from(RECALLED)
    )
    rows = connection.execute(
        select(outcomes.c.release, func.min(outcomes.c.changed_at))
        .where(failed, outcomes.c.error_code.is_not(None))
        .group_by(outcomes.c.release)
    )
    return {row[0]: row[1] for row in rows}


def devices_by_class(connection: Connection) -> dict[str, int]:
    """Number of enrolled devices per device class."""
    rows = connection.execute(select(devices.c.device_class, func.count()).group_by(devices.c.device_class))
    return {row[0]: row[1] for row in rows}
