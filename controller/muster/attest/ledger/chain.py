"""Verifying a ledger that lies in git: its rows, its checkpoints, and what commits say of it.

| reason                   | what is wrong                                                                        |
|--------------------------|--------------------------------------------------------------------------------------|
| `EventAltered`           | an event's digest is not that of what it says                                        |
| `EventReplaced`          | an event does not follow from the one before it                                      |
| `EventMissing`           | there are later events, and it is gone                                               |
| `EventsReordered`        | events stand in another order than they were entered, or twice                       |
| `LedgerTruncated`        | there are fewer events than a checkpoint, a commit or another clone tells of         |
| `SegmentAltered`         | a segment is missing, is none, or is not the one that its checkpoint was signed for  |
| `CheckpointBroken`       | a checkpoint is missing, is none, or its signature does not hold                     |
| `CheckpointForked`       | a checkpoint follows another one than stands before it, or names another history     |
| `CheckpointByAnotherKey` | a checkpoint is signed by a key that the fleet does not declare for artifacts        |

A key that the fleet declared once may have signed older checkpoints; the newest one, which covers them all, has to be
signed by one that it declares now.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from muster.attest.dsse import UntrustedKey
from muster.attest.ledger.checkpoint import Checkpoint, open_checkpoint
from muster.attest.ledger.segment import GENESIS, Flaw, flaws_of, read_segment
from muster.attest.package.ledger_rows import Row
from muster.kinds.digest import digest_of
from muster.kinds.errors import Refused

GRACE: Final = timedelta(hours=1)
"""How long a commit may name an event that no checkpoint holds yet: a push that is refused is tried again meanwhile."""

REASONS: Final = (
    "EventAltered",
    "EventReplaced",
    "EventMissing",
    "EventsReordered",
    "LedgerTruncated",
    "SegmentAltered",
    "CheckpointBroken",
    "CheckpointForked",
    "CheckpointByAnotherKey",
)


@dataclass(frozen=True)
class Trust:
    """{key id: public PEM} of keys declared for artifacts: now, and at any time (these too)."""

    now: Mapping[str, str]
    ever: Mapping[str, str]


@dataclass(frozen=True)
class Pushed:
    """What git holds: the newest checkpoint's file, and by number every checkpoint and segment. None: it is missing."""

    newest: bytes
    checkpoints: tuple[bytes | None, ...]
    segments: tuple[bytes | None, ...]


@dataclass(frozen=True)
class Anchor:
    """A digest of the chain that something outside it names: a commit's trailer, or what an auditor wrote down."""

    digest: str
    where: str
    at: datetime | None = None


@dataclass(frozen=True)
class Verified:
    """What was found: every event and checkpoint that could be read, and what is wrong. Good if there is no flaw."""

    rows: tuple[Row, ...]
    checkpoints: tuple[Checkpoint, ...]
    flaws: tuple[Flaw, ...]

    @property
    def until(self) -> datetime | None:
        """The time of the newest checkpoint."""
        return self.checkpoints[-1].at if self.checkpoints else None


def verify_pushed(pushed: Pushed, trust: Trust, anchors: Sequence[Anchor], now: datetime) -> Verified:
    """Everything that can be wrong with a ledger in git, each by its reason. Raises nothing for what somebody wrote."""
    rows: list[Row] = []
    flaws: list[Flaw] = []
    for number, data in enumerate(pushed.segments, 1):
        try:
            rows += read_segment(data or b"{")
        except Refused as error:
            flaws.append(Flaw("SegmentAltered", f"segment {number}", error.message if data else "it is missing"))
    opened, broken = _open(pushed.checkpoints, trust)
    flaws += [*flaws_of(rows), *broken, *_chain(opened, pushed.segments), *_newest(pushed, opened, trust)]
    flaws += _heads(opened, rows)
    flaws += anchor_flaws(anchors, rows, opened[-1].at if opened else None, now)
    return Verified(tuple(rows), tuple(opened), tuple(flaws))


def checkpoint_flaws(rows: Sequence[Row], checkpoints: Sequence[Checkpoint]) -> Iterator[Flaw]:
    """What is wrong with the rows of a state folder beside checkpoints that were made of them."""
    yield from flaws_of(rows)
    yield from _heads(checkpoints, rows)


def anchor_flaws(
    anchors: Sequence[Anchor], rows: Sequence[Row], until: datetime | None, now: datetime
) -> Iterator[Flaw]:
    """Digests that something outside the ledger names, and the ledger does not hold."""
    known = {GENESIS, *(row.digest for row in rows)}
    for anchor in anchors:
        awaited = anchor.at and (until is None or anchor.at >= until) and now - anchor.at < GRACE
        if anchor.digest not in known and not awaited:
            yield Flaw(
                "LedgerTruncated", anchor.where, f"it names event {anchor.digest}, which the ledger does not hold"
            )


def _open(files: Sequence[bytes | None], trust: Trust) -> tuple[list[Checkpoint], list[Flaw]]:
    opened, flaws = [], []
    for number, data in enumerate(files, 1):
        place = f"checkpoint {number}"
        try:
            checkpoint = open_checkpoint(data or b"", trust.ever)
        except UntrustedKey as error:
            flaws.append(Flaw("CheckpointByAnotherKey", place, error.message))
        except Refused as error:
            flaws.append(Flaw("CheckpointBroken", place, error.message if data else "it is missing"))
        else:
            if checkpoint.number == number:
                opened.append(checkpoint)
            else:
                flaws.append(Flaw("CheckpointForked", place, f"it was signed as checkpoint {checkpoint.number}"))
    return opened, flaws


def _chain(opened: Sequence[Checkpoint], segments: Sequence[bytes | None]) -> Iterator[Flaw]:
    by_number = {checkpoint.number: checkpoint for checkpoint in opened}
    for checkpoint in opened:
        place = f"checkpoint {checkpoint.number}"
        before = by_number.get(checkpoint.number - 1)
        if checkpoint.number == 1:
            fits = (checkpoint.previous, checkpoint.first) == (GENESIS, 1)
        else:
            # Where the one before could not be opened, that is told.
            fits = before is None or (checkpoint.previous, checkpoint.first) == (before.digest, before.length + 1)
        if not fits:
            yield Flaw("CheckpointForked", place, "it follows another checkpoint than the one that stands before it")
        segment = segments[checkpoint.number - 1] if checkpoint.number <= len(segments) else None
        if segment is not None and digest_of(segment) != checkpoint.segment:
            message = "it is not the one that its checkpoint was signed for"
            yield Flaw("SegmentAltered", f"segment {checkpoint.number}", message)


def _newest(pushed: Pushed, opened: Sequence[Checkpoint], trust: Trust) -> Iterator[Flaw]:
    if pushed.checkpoints and pushed.newest != pushed.checkpoints[-1]:
        yield Flaw("CheckpointForked", "newest checkpoint", "it is another one than the last of the chain")
    newest = opened[-1] if opened else None
    if newest and newest.number == len(pushed.checkpoints) and newest.key not in trust.now:
        message = f"it is the newest, and signed by a key that the fleet no longer declares: {newest.key}"
        yield Flaw("CheckpointByAnotherKey", f"checkpoint {newest.number}", message)


def _heads(checkpoints: Sequence[Checkpoint], rows: Sequence[Row]) -> Iterator[Flaw]:
    """Each checkpoint's length and newest event, beside the rows."""
    by_sequence = {row.sequence: row.digest for row in rows}
    for checkpoint in checkpoints:
        place = f"checkpoint {checkpoint.number}"
        if checkpoint.length > len(rows):
            message = f"it was made of {checkpoint.length} events, and there are {len(rows)}"
            yield Flaw("LedgerTruncated", place, message)
        elif by_sequence.get(checkpoint.length) != checkpoint.head:
            message = f"it was made of another history: event {checkpoint.length} was {checkpoint.head}"
            yield Flaw("CheckpointForked", place, message)
