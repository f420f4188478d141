"""What the loop last said of itself, kept for those who ask: `serve` and the command line."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, select

from muster.observe.compiled import Compiled, encoded, is_asked, upsert
from muster.observe.habit import Hearing
from muster.observe.storage import status

# Every report reads some: the statement is made once.
_READ = select(status.c.body).where(status.c.subject == bindparam("about"))
_UPSERT = upsert(status)
_WRITE = Compiled(_UPSERT)
_READ_SOME = Compiled(select(status.c.subject, status.c.body).where(is_asked(status.c.subject)))
_LONGEST_POLL = 300_000


def write_status(connection: Connection, subject: str, body: Any, at: datetime) -> None:
    """Replace what is said of a subject."""
    connection.execute(_UPSERT, {"subject": subject, "body": body, "at": at.isoformat()})


def read_status(connection: Connection, subject: str) -> Any:
    """What was last said of a subject; None if nothing ever was."""
    return connection.execute(_READ, {"about": subject}).scalar()


def read_texts(connection: Connection, *subjects: str) -> dict[str, str]:
    """What was last said of each of these subjects, as far as something was, as JSON that nobody read yet."""
    return dict(tuple(row) for row in _READ_SOME.read(connection, subjects))


def read_hearing(connection: Connection) -> Hearing | None:
    """Since when reports come without a gap; None before the first."""
    return hearing_of(read_status(connection, "hearing"))


def hearing_of(said: Any) -> Hearing | None:
    """What `write_hearing` wrote."""
    return Hearing(datetime.fromisoformat(said["since"]), datetime.fromisoformat(said["last"])) if said else None


def write_hearing(connection: Connection, hearing: Hearing) -> None:
    """Keep it."""
    said = {"since": hearing.since.isoformat(), "last": hearing.last.isoformat()}
    _WRITE.write(connection, [{"subject": "hearing", "body": encoded(said), "at": said["last"]}])


def shortest_poll(connection: Connection) -> int:
    """The shortest poll interval that is declared, in milliseconds."""
    return shortest_of(read_status(connection, "polls"))


def shortest_of(polls: Any) -> int:
    """The same, of what is said of the polls."""
    return min((polls or {}).values(), default=_LONGEST_POLL)
