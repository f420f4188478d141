"""Counts over reports: what the planner judges by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any, cast

from sqlalchemy import ColumnElement, Connection, FromClause, Select, case, func, select

from muster.kinds.phases import Phase
from muster.observe.habit import Hearing
from muster.observe.status import read_hearing, shortest_poll
from muster.observe.storage import devices, iso, outcomes, running
from muster.plan.world import Exposure, Observed

# A device that left a release because it was told to says nothing about the release.
RECALLED = "recalled"


def observed(
    connection: Connection, now: datetime | None = None, since: Mapping[tuple[str, str], int] | None = None
) -> Observed:
    """Exposure per release and device class, in one indexed pass over the outcomes.

    `now`: a device whose newest news is that it runs the release, and which fell silent for longer than its habit,
    counts as dark. `since`: per release and device class, the generation at which the release came (back) on offer;
    what devices showed before says nothing about this attempt.
    """
    phases: dict[tuple[str, str], Counter[Phase]] = {}
    recalled: Counter[tuple[str, str]] = Counter()
    codes: dict[tuple[str, str], Counter[str]] = {}
    hearing = read_hearing(connection)
    if now is None or hearing is None or not hearing.holds(now, shortest_poll(connection)):
        query = _grouped(outcomes.c.phase, outcomes)
    else:
        query = _grouped_with_dark(now, hearing)
    for release, device_class, generation, phase, error_code, count in connection.execute(query):
        key = (release, device_class)
        if generation < (since or {}).get(key, 0):
            continue
        if phase == "rolled-back" and error_code in (None, RECALLED):
            recalled[key] += count
            continue
        phases.setdefault(key, Counter())[cast("Phase", phase)] += count
        if phase in ("failed", "rolled-back") and error_code:
            codes.setdefault(key, Counter())[error_code] += count
    return Observed(
        {
            key: Exposure(dict(phases.get(key, {})), recalled[key], dict(codes.get(key, {})))
            for key in phases.keys() | recalled.keys()
        }
    )


def _grouped(phase: ColumnElement[str], source: FromClause) -> Select[Any]:
    """(release, device class, generation, phase, error code, number of devices)."""
    columns = (outcomes.c.release, outcomes.c.device_class, outcomes.c.generation, phase, outcomes.c.error_code)
    return select(*columns, func.count()).select_from(source).group_by(*columns)


def _grouped_with_dark(now: datetime, hearing: Hearing) -> Select[Any]:
    source = outcomes.join(devices, devices.c.device_id == outcomes.c.device_id).outerjoin(
        running, (running.c.device_id == outcomes.c.device_id) & (running.c.release == outcomes.c.release)
    )
    silent = (
        outcomes.c.phase.in_(("activated", "confirmed", "healthy"))
        & running.c.release.is_not(None)
        & (devices.c.dark_after < iso(now))
        & (devices.c.habit_ms < hearing.longest_habit_ms(now))
    )
    return _grouped(case((silent, "dark"), else_=outcomes.c.phase), source)


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
