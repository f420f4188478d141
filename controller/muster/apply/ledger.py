"""The ledger: everything that happens, append-only and hash-chained.

Each row's digest covers the row before it, so that nothing in the middle can be changed unseen. The commits that the
controller makes carry the newest digest as the trailer `Muster-Ledger`, and signed checkpoints of the chain are pushed
with the rows to `refs/muster/ledger` (`muster.apply.checkpoints`). What can be said: `muster.kinds.event_kind`.

An event has a key. Appending a key that is there already changes nothing: an effect that is repeated after a crash
is recorded once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select

from muster.kinds.digest import digest_of_value
from muster.kinds.errors import Refused
from muster.kinds.event_kind import EVENT_KINDS
from muster.observe.storage import ledger

GENESIS = "sha256:" + "0" * 64


@dataclass(frozen=True)
class LedgerEvent:
    """One row."""

    sequence: int
    at: datetime
    event: str
    key: str
    body: Mapping[str, Any]
    previous: str
    digest: str


def append(connection: Connection, event: str, key: str, body: Mapping[str, Any], at: datetime) -> bool:
    """Add an event in the caller's transaction; False if its key is there already.

    Raises `ValueError` for a name that is not in the table of events.
    """
    if event not in EVENT_KINDS:
        raise ValueError(f"{event} is no event: add it to muster.kinds.event_kind")
    if connection.execute(select(ledger.c.sequence).where(ledger.c.key == key)).first():
        return False
    newest = connection.execute(
        select(ledger.c.sequence, ledger.c.digest).order_by(ledger.c.sequence.desc()).limit(1)
    ).first()
    sequence, previous = (newest.sequence + 1, newest.digest) if newest else (1, GENESIS)
    row = {"sequence": sequence, "at": at.isoformat(), "event": event, "key": key, "body": dict(body)}
    row["previous"] = previous
    connection.execute(insert(ledger).values(**row, digest=digest_of_value(row)))
    return True


def events(connection: Connection, after: int = 0, limit: int = 1_000) -> tuple[LedgerEvent, ...]:
    """Events after a sequence number, oldest first."""
    rows = connection.execute(
        select(ledger).where(ledger.c.sequence > after).order_by(ledger.c.sequence).limit(limit)
    ).mappings()
    return tuple(LedgerEvent(**{**row, "at": datetime.fromisoformat(row["at"])}) for row in rows)


def head(connection: Connection) -> str:
    """Digest of the newest event."""
    found = connection.execute(select(ledger.c.digest).order_by(ledger.c.sequence.desc()).limit(1)).scalar()
    return found or GENESIS


def verify_chain(connection: Connection) -> int:
    """Number of events, all of which follow from the one before. Raises `Refused` at the first that does not."""
    previous, count = GENESIS, 0
    for row in connection.execute(select(ledger).order_by(ledger.c.sequence)).mappings():
        content = {name: row[name] for name in ("sequence", "at", "event", "key", "body", "previous")}
        if row["sequence"] != count + 1 or row["previous"] != previous or row["digest"] != digest_of_value(content):
            raise Refused(
                f"the ledger was altered at event {row['sequence']}",
                "restore the state folder from a backup; commits name the digests of the chain (Muster-Ledger)",
            )
        previous, count = row["digest"], count + 1
    return count
