"""Since when each cohort has its percentage of a release, by what the ledger says was published.

The ledger only grows, so that what was read of it is kept: the first question costs the whole of it, the next ones what
came since. A percentage that is taken away and given again, or drawn anew with another salt, begins again.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from muster.kinds.field_state import Step
from muster.observe.storage import ledger

_Place = tuple[str, str, str]
"""(document, release, cohort)"""


@dataclass(frozen=True)
class _Share:
    ppm: int
    salt: str | None
    since: datetime
    generation: int


class PublishedSteps:
    """(release, cohort) → what is published and since when, over all device classes. Safe to ask from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._read = (0, "")
        self._shares: dict[_Place, _Share] = {}
        self._begun: set[str] = set()

    def begun(self, connection: Connection) -> frozenset[str]:
        """Releases that were ever published to some device."""
        with self._lock:
            self._catch_up(connection)
            return frozenset(self._begun)

    def steps(self, connection: Connection) -> dict[tuple[str, str], Step]:
        """What holds now. Where classes differ, the least that all of them have, since the last of them has it."""
        with self._lock:
            self._catch_up(connection)
            shares = dict(self._shares)
        found: dict[tuple[str, str], Step] = {}
        for (_, release, cohort), share in shares.items():
            known = found.get((release, cohort))
            least = share.ppm if known is None else min(known.ppm, share.ppm)
            latest = share.since if known is None else max(known.since, share.since)
            newest = share.generation if known is None else max(known.generation, share.generation)
            found[release, cohort] = Step(least, latest, newest)
        return found

    def _catch_up(self, connection: Connection) -> None:
        sequence, digest = self._read
        if sequence and connection.execute(_digest_at(sequence)).scalar() != digest:
            # Another ledger than before: the state folder was restored.
            self._shares, self._begun, sequence = {}, set(), 0
        rows = connection.execute(
            select(ledger.c.sequence, ledger.c.at, ledger.c.body, ledger.c.digest)
            .where(ledger.c.event == "published", ledger.c.sequence > sequence)
            .order_by(ledger.c.sequence)
        )
        for row in rows:
            at = datetime.fromisoformat(row.at)
            self._shares = {
                place: known
                if (known := self._shares.get(place)) and (known.ppm, known.salt) == (ppm, salt)
                else _Share(ppm, salt, at, row.body["generation"])
                for place, ppm, salt in _shares(row.body)
            }
            self._begun |= {release for _, release, _ in self._shares}
            self._read = (row.sequence, row.digest)


def _digest_at(sequence: int) -> Any:
    return select(ledger.c.digest).where(ledger.c.sequence == sequence)


def _shares(body: Mapping[str, Any]) -> Iterator[tuple[_Place, int, str | None]]:
    for document, entries in body["documents"].items():
        for entry in entries:
            for cohort, ppm in entry["ppm"].items():
                yield (document, entry["release"], cohort), ppm, entry.get("salt")
