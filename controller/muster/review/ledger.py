"""Reading a whole ledger, verified: from a clone alone, or from a controller's state folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

from muster.attest.keys import key_id
from muster.attest.ledger.chain import Anchor, Trust, Verified, anchor_flaws, checkpoint_flaws, verify_pushed
from muster.attest.ledger.in_git import FETCH, REF, anchors_of, read_pushed, tip, trust_at
from muster.attest.ledger.segment import Flaw
from muster.attest.package.ledger_rows import Row
from muster.kinds.errors import Refused, Unusable
from muster.source.git import Repository

MOST_EVENTS: Final = 1_000_000


@dataclass(frozen=True)
class Witness:
    """What whoever verifies brings along: public keys (PEM) and digests of events that the ledger once held."""

    keys: Sequence[str] = ()
    known: Sequence[str] = ()

    def trust(self, declared: Trust) -> Trust:
        """The keys of the fleet, and these."""
        own: Mapping[str, str] = {key_id(pem): pem for pem in self.keys}
        return Trust({**declared.now, **own}, {**declared.ever, **own})

    @property
    def anchors(self) -> tuple[Anchor, ...]:
        """The digests as anchors."""
        return tuple(Anchor(digest, "--known") for digest in self.known)


@dataclass(frozen=True)
class Place:
    """Where the clone is, which commit's keys count, and where in it the ledger lies."""

    repository: Repository
    revision: str = "HEAD"
    ref: str = REF
    witness: Witness = field(default_factory=Witness)


def from_clone(place: Place, now: datetime) -> Verified:
    """The ledger that a clone holds. Raises `Unusable` if it holds none, `Refused` if it is too large to read."""
    commit = tip(place.repository, place.ref)
    if commit is None:
        raise Unusable(f"{place.repository.path} holds no {place.ref}", f"bring it: {FETCH}")
    head = place.repository.resolve(place.revision)
    trust = place.witness.trust(trust_at(place.repository, head))
    anchors = (*anchors_of(place.repository, head), *place.witness.anchors)
    return verify_pushed(read_pushed(place.repository, commit), trust, anchors, now)


def from_state(state: Path, now: datetime, witness: Witness) -> Verified:
    """The ledger of a state folder, beside the checkpoints that its mirror has. Raises as `from_clone` does."""
    rows = state_rows(state)
    mirror = state / "repository.git"
    if not mirror.is_dir():
        flaws = [*checkpoint_flaws(rows, ()), *anchor_flaws(witness.anchors, rows, None, now)]
        return Verified(rows, (), tuple(flaws))
    place = Place(Repository(mirror), witness=witness)
    anchors = (*anchors_of(place.repository, place.repository.resolve("HEAD")), *witness.anchors)
    pushed = from_clone(place, now) if tip(place.repository) else Verified((), (), ())
    flaws = [*checkpoint_flaws(rows, pushed.checkpoints), *anchor_flaws(anchors, rows, None, now)]
    # What is wrong with the checkpoints themselves is said once.
    flaws += [flaw for flaw in pushed.flaws if flaw not in flaws]
    return Verified(rows, pushed.checkpoints, tuple(dict.fromkeys(flaws)))


def state_rows(state: Path) -> tuple[Row, ...]:
    """Every row of a state folder's ledger, not proved. Raises `Unusable` if there is none, `Refused` if too many."""
    if not (state / "muster.db").is_file():
        raise Unusable(f"{state} holds no ledger", "name a controller's state folder with --state")
    from sqlalchemy import select

    from muster.observe.storage import ledger, open_storage

    engine = open_storage(state)
    try:
        with engine.connect() as connection:
            found = connection.execute(select(ledger).order_by(ledger.c.sequence).limit(MOST_EVENTS + 1))
            rows = tuple(Row.model_construct(**row) for row in found.mappings())
    finally:
        engine.dispose()
    if len(rows) > MOST_EVENTS:
        raise Refused(f"the ledger has more than {MOST_EVENTS} events", "verify what was pushed: --from clone")
    return rows


def believed(found: Verified) -> Verified:
    """The same, if nothing is wrong with it. Raises `Refused` with the first flaw."""
    if found.flaws:
        raise Refused(f"the ledger is not to be believed: {said(found.flaws[0])}", "see all: muster ledger verify")
    return found


def said(flaw: Flaw) -> str:
    """A flaw as a line."""
    return f"{flaw.reason}: {flaw.place}: {flaw.message}"
