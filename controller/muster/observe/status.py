"""What the loop last said of itself, kept for those who ask: `serve` and the command line."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, select
from sqlalchemy.dialects.sqlite import insert

from muster.observe.habit import Hearing
from muster.observe.storage import status

# Every report reads some: the statement is made once.
_READ = select(status.c.body).where(status.c.subject == bindparam("about"))


def write_status(connection: Connection, subject: str, body: Any, at: datetime) -> None:
    """Replace what is said of a subject."""
    values = {"body": body, "at": at.isoformat()}
    connection.execute(
        insert(status).values(subject=subject, **values).on_conflict_do_update(index_elements=["subject"], set_=values)
    )


def read_status(connection: Connection, subject: str) -> Any:
    """What was last said of a subject; None if nothing ever was."""
    return connection.execute(_READ, {"about": subject}).scalar()


def read_hearing(connection: Connection) -> Hearing | None:
    """Since when reports come without a gap; None before the first."""
    said = read_status(connection, "hearing")
    return Hearing(datetime.fromisoformat(said["since"]), datetime.fromisoformat(said["last"])) if said else None


def write_hearing(connection: Connection, hearing: Hearing) -> None:
    """Keep it."""
    said = {"since": hearing.since.isoformat(), "last": hearing.last.isoformat()}
    write_status(connection, "hearing", said, hearing.last)


def shortest_poll(connection: Connection) -> int:
    """The shortest poll interval that is declared, in milliseconds."""
    return min((read_status(connection, "polls") or {}).values(), default=300_000)
