"""Uses of the controller's private keys, as events.

What signs desired state is entered before it signs: a use that was cut off is told of as well. A storage that refuses
keeps no key from signing, because a halt has to be signed too; those uses are entered as soon as it takes them, and the
log names them meanwhile. Signatures over artifacts are deterministic, so that a signature that is there without its
event (a crash came between) is entered at the next tick. Keys that sign before there is a ledger (the first root, by
`muster keys init`) are named by what they signed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from muster.apply import ledger
from muster.apply.key_watch import KeyUse
from muster.apply.prepare import Prepared
from muster.attest.keys import key_id
from muster.kinds.digest import digest_of
from muster.kinds.errors import MusterError
from muster.kinds.release import Release
from muster.observe.storage import writing

log = logging.getLogger("muster")


def enter_use(connection: Connection, use: KeyUse, at: datetime) -> bool:
    """Enter a use in the caller's transaction; False if it is there already."""
    body = {"key": use.key, "role": use.role, "subject": use.subject, "signed": use.signed}
    return ledger.append(connection, "key-used", f"key-used:{use.role}:{use.key}:{use.signed}", body, at)


class KeyUses:
    """Enters uses into the ledger of a storage."""

    def __init__(self, engine: Engine, signer: str) -> None:
        """`signer` is the public half (PEM) of the key that signs artifacts."""
        self._engine = engine
        self._signer = key_id(signer)
        self._known: set[str] = set()
        self._waiting: list[tuple[KeyUse, datetime]] = []

    def enter(self, use: KeyUse, at: datetime) -> None:
        """Enter one use, and those that could not be entered before."""
        self._waiting.append((use, at))
        try:
            with writing(self._engine) as connection:
                for waiting, when in self._waiting:
                    enter_use(connection, waiting, when)
        except (MusterError, SQLAlchemyError) as error:
            log.warning("the ledger does not take that %s signs %s: %s", use.key, use.subject, error)
        else:
            self._waiting.clear()

    def admission(self, connection: Connection, release: Release, statement: str, at: datetime) -> None:
        """The key signed the controller's own word for an artifact; `statement` is its digest."""
        enter_use(connection, KeyUse(self._signer, "admission", release.name, statement), at)

    def enter_signatures(self, releases: Iterable[Release], prepared: Prepared, at: datetime) -> None:
        """Enter the signatures over the artifacts of these releases that no event tells of yet."""
        pins = prepared.pins() - self._known
        new = [release for release in releases if release.pins in pins]
        if not new:
            return
        with writing(self._engine) as connection:
            for release in new:
                use = KeyUse(self._signer, "artifacts", release.name, digest_of(prepared.signature(release)))
                enter_use(connection, use, at)
        self._known |= {release.pins for release in new}
