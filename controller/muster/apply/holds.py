"""Holds in the storage: put on with a suspension, in its transaction; taken off by a commit that says so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection

from muster.kinds.hold import Hold, says_so
from muster.observe.status import read_status, write_status
from muster.source.git import Repository

_SUBJECT: Final = "holds"
_MOST_COMMITS: Final = 1_000


def load_holds(connection: Connection) -> dict[str, Hold]:
    """Every hold, by artifact digest."""
    said: Mapping[str, Any] = read_status(connection, _SUBJECT) or {}
    return {digest: Hold(**hold) for digest, hold in said.items()}


def hold(connection: Connection, new: Hold, now: datetime) -> None:
    """Put an artifact on hold; one that is on hold already is so from the newer commit on."""
    _write(connection, [*load_holds(connection).values(), new], now)


def after_revert(connection: Connection, release: str, commit: str, now: datetime) -> None:
    """Only what is committed after the revert can name the release anew."""
    _write(
        connection,
        [replace(one, after=commit) if one.release == release else one for one in load_holds(connection).values()],
        now,
    )


def forget(connection: Connection, artifacts: Iterable[str], now: datetime) -> None:
    """Take these off hold."""
    gone = set(artifacts)
    _write(connection, [one for one in load_holds(connection).values() if one.artifact not in gone], now)


def named_anew(repository: Repository, head: str, holds: Mapping[str, Hold]) -> frozenset[str]:
    """Artifacts that a commit after their revert names anew on purpose.

    Where the history since then cannot be read (it was rewritten), nothing was said.
    """
    found = set()
    for digest, one in holds.items():
        count = f"--max-count={_MOST_COMMITS}"
        answer = repository.git("log", count, "--format=%B%x00", f"{one.after}..{head}")
        if answer.code == 0 and says_so(one, answer.text.split("\0")):
            found.add(digest)
    return frozenset(found)


def _write(connection: Connection, holds: Iterable[Hold], now: datetime) -> None:
    write_status(connection, _SUBJECT, {one.artifact: asdict(one) for one in holds}, now)
