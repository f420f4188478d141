"""Rows of the controller's ledger that concern one release, and what can be proved about them without the others.

Each row's digest covers the row and the digest before it (`muster.apply.ledger`), so that a row proves itself, and two
neighbours prove that nothing stood between them. Rows about other releases are left out; how many gaps there are is
said. The newest digest stands in commits as the trailer `Muster-Ledger`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from muster.attest.dsse import read_part
from muster.kinds.canonical import canonical_json
from muster.kinds.digest import Digest, digest_of_value
from muster.kinds.errors import Refused


class Row(BaseModel):
    """One row, as the ledger keeps it."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    sequence: Annotated[int, Field(ge=1)]
    at: str
    event: str
    key: str
    body: dict[str, Any]
    previous: Digest
    digest: Digest


class _Rows(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    rows: Annotated[list[Row], Field(max_length=100_000)]


def write_rows(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """The member's bytes."""
    return canonical_json({"rows": [dict(row) for row in rows]}) + b"\n"


def read_rows(data: bytes) -> tuple[Row, ...]:
    """The rows, each of which proves itself. Raises `Refused` at the first that does not."""
    hint = "export the package again; if that does not help, restore the controller's state folder"
    rows = tuple(read_part(_Rows, data, "ledger", hint).rows)
    for index, row in enumerate(rows):
        try:
            right = row.digest == digest_of_value(row.model_dump(exclude={"digest"}))
        except TypeError:
            right = False
        before = rows[index - 1] if index else None
        follows = before is None or before.sequence < row.sequence
        chained = before is None or before.sequence + 1 != row.sequence or before.digest == row.previous
        if not (right and follows and chained):
            raise Refused(f"the ledger was altered at event {row.sequence}", hint)
    return rows


def gaps(rows: tuple[Row, ...]) -> int:
    """How many times rows about something else stood between two rows."""
    return sum(one.sequence + 1 != other.sequence for one, other in itertools.pairwise(rows))
