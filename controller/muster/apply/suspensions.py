"""Suspensions, as stored: the brake that holds while git does not yet say the same."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, delete, select, update
from sqlalchemy.dialects.sqlite import insert

from muster.observe.storage import suspensions
from muster.plan.world import Suspension


def load_suspensions(connection: Connection) -> dict[str, Suspension]:
    """Every suspension in force, by release."""
    return {
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


def record_revert(connection: Connection, release: str, commit: str) -> None:
    """Name the commit that made git say the same."""
    connection.execute(update(suspensions).where(suspensions.c.release == release).values(revert=commit))


def lift(connection: Connection, release: str) -> None:
    """Take a release off hold."""
    connection.execute(delete(suspensions).where(suspensions.c.release == release))
