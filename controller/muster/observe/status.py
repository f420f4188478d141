"""What the loop last said of itself, kept for those who ask: `serve` and the command line."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy.dialects.sqlite import insert

from muster.observe.storage import status


def write_status(connection: Connection, subject: str, body: Any, at: datetime) -> None:
    """Replace what is said of a subject."""
    values = {"body": body, "at": at.isoformat()}
    connection.execute(
        insert(status).values(subject=subject, **values).on_conflict_do_update(index_elements=["subject"], set_=values)
    )


def read_status(connection: Connection, subject: str) -> Any:
    """What was last said of a subject; None if nothing ever was."""
    return connection.execute(select(status.c.body).where(status.c.subject == subject)).scalar()
