"""Approvals that the controller sees when a commit is declared: signed ones, from the notes that came with it.

As the gate does, it believes the owners and keys of the commit that was declared before. What a forge's reviews said is
the forge's to tell; nobody signed it.
"""

from __future__ import annotations

import contextlib
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from muster.apply import ledger
from muster.forge.git.approvals import approvals_in
from muster.forge.git.notes import APPROVALS, read_note
from muster.kinds.digest import digest_of
from muster.kinds.errors import MusterError
from muster.kinds.fleet import Fleet
from muster.kinds.moment import utc_text
from muster.source.git import Repository
from muster.source.git_remote import fetch_ref

MOST_COMMITS: Final = 200
"""Commits of one change whose notes are read."""


def approvals_seen(repository: Repository, base: Fleet, commit: str) -> list[dict[str, str]]:
    """Bodies of the events about the commits that `commit` brought beyond the base. Notes that cannot be had are none.

    Raises `Unusable` if the history cannot be read.
    """
    # Where the origin is away, those that were brought before still count.
    with contextlib.suppress(MusterError):
        fetch_ref(repository, APPROVALS, APPROVALS)
    without = base.commit if base.commit != commit else None
    commits = repository.log(None, MOST_COMMITS if without else 1, commit, without=without)
    found = []
    for name in dict.fromkeys(name for one in commits for name in (one.commit, *one.parents[1:])):
        try:
            note = read_note(repository, APPROVALS, name)
            approvals = approvals_in(note, name, base.owners, base.signing_keys)
        except MusterError:
            continue
        found += [
            {"commit": one.commit, "by": one.by, "of": one.of, "at": utc_text(one.at), "note": digest_of(note.encode())}
            for one in approvals
        ]
    return found


def enter_declared(
    connection: Connection, commit: str, previous: str | None, approvals: list[dict[str, str]], now: datetime
) -> None:
    """Enter that a commit is declared from here on, and who approved what came with it."""
    body = {"commit": commit, "previous": previous}
    ledger.append(connection, "declared", f"declared:{previous or ''}:{commit}:{now.isoformat()}", body, now)
    for one in approvals:
        key = f"approval-seen:{one['commit']}:{one['by']}:{one['of']}"
        ledger.append(connection, "approval-seen", key, {**one, "declared": commit}, now)
