"""Segments: rows of the ledger as bytes, one line of canonical JSON each, written once and never changed.

A row's digest covers the row and the digest before it. What is read may have been written by anybody: every flaw has a
name, so that tampering, a gap and another order are told apart.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from muster.attest.package.ledger_rows import Row
from muster.kinds.canonical import canonical_json
from muster.kinds.digest import digest_of_value
from muster.kinds.errors import Refused

GENESIS: Final = "sha256:" + "0" * 64
"""What the first row follows."""
FILLED: Final = 1024 * 1024
"""Bytes after which a segment takes no further row."""
LARGEST: Final = 16 * 1024 * 1024
"""Bytes of the largest segment that is read or written: one row may be that large."""
MOST_ROWS: Final = 1_000
"""Rows of one segment."""

_HINT = "fetch the ledger again; if that does not help, compare with another clone"


@dataclass(frozen=True)
class Flaw:
    """One thing that is wrong with a ledger: a reason in CamelCase, the event or checkpoint it shows at, a sentence."""

    reason: str
    place: str
    message: str


def cut(rows: Iterable[Mapping[str, Any]]) -> Iterator[tuple[bytes, int, str]]:
    """Segments of rows in order: (bytes, sequence number of the last row, its digest).

    Raises `Refused` for a row that fits in no segment.
    """
    lines: list[bytes] = []
    size = 0
    last: Mapping[str, Any] | None = None
    for row in rows:
        line = canonical_json(dict(row)) + b"\n"
        if len(line) > LARGEST:
            raise Refused(
                f"event {row['sequence']} has {len(line)} bytes, more than {LARGEST}", "declare fewer releases"
            )
        if last is not None and lines and (len(lines) == MOST_ROWS or size + len(line) > FILLED):
            yield b"".join(lines), last["sequence"], last["digest"]
            lines, size = [], 0
        lines.append(line)
        last, size = row, size + len(line)
    if last is not None:
        yield b"".join(lines), last["sequence"], last["digest"]


def read_segment(data: bytes) -> tuple[Row, ...]:
    """The rows of a segment, not yet proved. Raises `Refused` if this is none."""
    if len(data) > LARGEST:
        raise Refused(f"a segment has {len(data)} bytes, more than {LARGEST}", _HINT)
    lines = data.split(b"\n")
    if lines[-1] or len(lines) - 1 > MOST_ROWS:
        raise Refused(f"a segment ends in the middle of a line, or has more than {MOST_ROWS} rows", _HINT)
    try:
        return tuple(Row.model_validate(json.loads(line)) for line in lines[:-1])
    except (ValidationError, ValueError, RecursionError) as error:
        raise Refused("a segment holds what is no row", _HINT) from error


def flaws_of(rows: Sequence[Row]) -> Iterator[Flaw]:
    """What is wrong with all rows of a ledger, in the order in which they are kept; nothing for a good one."""
    yield from _order(rows)
    links: Mapping[str, int] | None = None
    before: Row | None = None
    for row in sorted(rows, key=lambda row: row.sequence):
        if not proves_itself(row, row.sequence):
            links = _positions(rows) if links is None else links
            yield _altered(row, links)
        elif not _follows(row, before):
            yield Flaw(
                "EventReplaced",
                f"event {row.sequence}",
                "it does not follow from the event before it: one of the two was put in the place of another",
            )
        before = row


def proves_itself(row: Row, sequence: int) -> bool:
    """True if the row's digest is that of its content, at this place of the ledger."""
    try:
        return row.digest == digest_of_value({**row.model_dump(exclude={"digest"}), "sequence": sequence})
    except (TypeError, ValueError, RecursionError):
        return False


def _order(rows: Sequence[Row]) -> Iterator[Flaw]:
    numbers = [row.sequence for row in rows]
    expected = range(1, len(rows) + 1)
    place = next((number for number, due in zip(numbers, expected, strict=True) if number != due), None)
    if place is None:
        return
    if len(set(numbers)) < len(numbers) or sorted(numbers) == list(expected):
        yield Flaw(
            "EventsReordered", f"event {place}", "events stand in another order than they were entered, or twice"
        )
    else:
        there = set(numbers)
        missing = next(due for due in expected if due not in there)
        yield Flaw("EventMissing", f"event {missing}", "there are later events, and it is gone")


def _follows(row: Row, before: Row | None) -> bool:
    if before is None:
        return row.sequence != 1 or row.previous == GENESIS
    # A gap is told as such.
    return before.sequence + 1 != row.sequence or before.digest == row.previous


def _positions(rows: Sequence[Row]) -> Mapping[str, int]:
    """Digest → its place by following each row to the next: what the order was before somebody renumbered the rows."""
    following = {row.previous: row.digest for row in rows}
    places: dict[str, int] = {}
    digest = following.get(GENESIS)
    while digest is not None and digest not in places:
        places[digest] = len(places) + 1
        digest = following.get(digest)
    return places


def _altered(row: Row, links: Mapping[str, int]) -> Flaw:
    place = links.get(row.digest)
    if place is not None and place != row.sequence and proves_itself(row, place):
        return Flaw("EventsReordered", f"event {row.sequence}", f"it was entered as event {place}")
    return Flaw("EventAltered", f"event {row.sequence}", "its digest is not that of what it says")
