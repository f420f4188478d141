"""Counts over reports: what the planner judges by."""

from __future__ import annotations

from collections import Counter
from typing import cast

from sqlalchemy import Connection, func, select

from muster.kinds.phases import Phase
from muster.observe.storage import devices, outcomes
from muster.plan.world import Exposure, Observed

# A device that left a release because it was told to says nothing about the release.
RECALLED = "recalled"


def observed(connection: Connection) -> Observed:
    """Exposure per release and device class, in one indexed pass over the outcomes."""
    rows = connection.execute(
        select(
            outcomes.c.release, outcomes.c.device_class, outcomes.c.phase, outcomes.c.error_code, func.count()
        ).group_by(outcomes.c.release, outcomes.c.device_class, outcomes.c.phase, outcomes.c.error_code)
    )
    phases: dict[tuple[str, str], Counter[Phase]] = {}
    recalled: Counter[tuple[str, str]] = Counter()
    codes: dict[tuple[str, str], Counter[str]] = {}
    for release, device_class, phase, error_code, count in rows:
        key = (release, device_class)
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
