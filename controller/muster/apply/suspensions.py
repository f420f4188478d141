"""Suspensions, as stored: the brake that holds while git does not yet say the same.

A release can be suspended for a time by hand, and for good by a guardrail besides: then the latter is what holds.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, delete, select, update
from sqlalchemy.dialects.sqlite import insert

from muster.observe.storage import iso, resumptions, suspensions, timed_suspensions
from muster.plan.world import Suspension


def load_suspensions(connection: Connection) -> dict[str, Suspension]:
    """Every suspension, by release. One that is for a time stays until its end was carried out."""
    timed = {
        row["release"]: Suspension(
            **{**row, "at": datetime.fromisoformat(row["at"]), "until": datetime.fromisoformat(row["until"])}
        )
        for row in connection.execute(select(timed_suspensions)).mappings()
    }
    return timed | {
        row["release"]: Suspension(**{**row, "at": datetime.fromisoformat(row["at"])})
        for row in connection.execute(select(suspensions)).mappings()
    }


def suspend(connection: Connection, suspension: Suspension) -> bool:
    """Put a release on hold; False if it is on hold already."""
    added = connection.execute(
        insert(suspensions)
        .values(
            release=suspension.release,
            reason=suspension.reason,
            at=suspension.at.isoformat(),
            by=suspension.by,
            revert=suspension.revert,
        )
        .on_conflict_do_nothing()
    )
    return bool(added.rowcount)


def suspend_for_a_time(connection: Connection, suspension: Suspension) -> None:
    """Put a release on hold until `suspension.until`; another end replaces the one before."""
    if suspension.until is None:
        raise ValueError("a suspension for a time needs its end")
    columns = {
        "reason": suspension.reason,
        "at": suspension.at.isoformat(),
        "by": suspension.by,
        "until": iso(suspension.until),
        "since": dict(suspension.since),
    }
    connection.execute(
        insert(timed_suspensions)
        .values(release=suspension.release, **columns)
        .on_conflict_do_update(index_elements=["release"], set_=columns)
    )


def end_if_over(connection: Connection, release: str, now: datetime) -> bool:
    """End the suspension for a time of a release if its time has come; False if there is none such."""
    over = timed_suspensions.c.until <= iso(now)
    ended = connection.execute(delete(timed_suspensions).where(timed_suspensions.c.release == release, over))
    return bool(ended.rowcount)


def record_resumption(connection: Connection, release: str, generation: int, at: datetime) -> None:
    """From the generation after this one on, the release is offered anew and judged."""
    columns = {"at": at.isoformat(), "generation": generation}
    connection.execute(
        insert(resumptions)
        .values(release=release, **columns)
        .on_conflict_do_update(index_elements=["release"], set_=columns)
    )


def load_resumptions(connection: Connection) -> dict[str, int]:
    """Release → the generation that was published when its last suspension ended."""
    return {row.release: row.generation for row in connection.execute(select(resumptions))}


def record_revert(connection: Connection, release: str, commit: str) -> bool:
    """Name the commit that made git say the same; False if the release is not suspended any more."""
    named = connection.execute(update(suspensions).where(suspensions.c.release == release).values(revert=commit))
    return bool(named.rowcount)


def lift(connection: Connection, release: str) -> None:
    """Take a release off hold."""
    for table in (suspensions, timed_suspensions):
        connection.execute(delete(table).where(table.c.release == release))
