"""How an artifact can be had without fetching the whole of it: its delta index, and the head of a delta.

The index is a TUF target, so that it is as fresh as the desired document and cannot be another artifact's. It names
every other file by its digest: nothing is unpacked that was not verified before.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from muster.kinds.digest import Digest, hex_of
from muster.kinds.resource import AsTuple, Declared

DELTAS = "deltas/"
"""How the target paths of indexes begin."""
MOST_PARTS = 2_048
MOST_DELTAS = 8
LARGEST_INDEX = 2**20
"""Bytes."""

_Count = Annotated[int, Field(ge=0, le=2**31)]
Length = Annotated[int, Field(ge=1, le=2**31)]
Width = Literal[1, 2, 4, 8]
Method = Literal["whole", "prefix", "dense", "sparse"]
"""How a part is told: by itself; after an older part; as differences of elements, all or only those that are not 0."""


class Part(Declared):
    """A piece of an artifact by its own bytes, and the file with one zstd frame that it is published as."""

    digest: Digest
    length: Length
    packed: Digest
    packed_length: Length


class Delta(Declared):
    """The file that makes the artifact out of an older one."""

    since: Digest
    digest: Digest
    length: Length


class DeltaIndex(Declared):
    """The parts of an artifact, their order, and deltas since older artifacts, newest first.

    `layout`: (part, bytes) from the artifact's first byte to its last. Part 0 is read on from where it was left, any
    other from its beginning to its end.
    """

    api_version: Literal["muster/v1"] = "muster/v1"
    kind: Literal["DeltaIndex"] = "DeltaIndex"
    artifact: Digest
    size: Length
    parts: Annotated[tuple[Part, ...], AsTuple, Field(min_length=1, max_length=MOST_PARTS)]
    layout: Annotated[
        tuple[Annotated[tuple[_Count, Length], AsTuple], ...],
        AsTuple,
        Field(min_length=1, max_length=4 * MOST_PARTS),
    ]
    deltas: Annotated[tuple[Delta, ...], AsTuple, Field(max_length=MOST_DELTAS)] = ()

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if any(part >= len(self.parts) for part, _ in self.layout):
            raise ValueError("the layout names a part that is not listed")
        if any(part and length != self.parts[part].length for part, length in self.layout):
            raise ValueError("the layout takes a piece of a part that is taken whole")
        if sum(length for part, length in self.layout if part == 0) != self.parts[0].length:
            raise ValueError("the layout does not use up part 0")
        if sum(length for _, length in self.layout) != self.size:
            raise ValueError("the layout does not add up to the artifact")
        return self

    @property
    def target(self) -> str:
        """Its TUF target path."""
        return index_target(self.artifact)


class Step(Declared):
    """How one part is made. `old`: digest of the part that it is made of. `length`: of its bytes in the delta."""

    part: _Count
    method: Method
    length: Length
    old: Digest | None = None
    width: Width = 1
    """Bytes of an element, of which differences are taken."""

    @model_validator(mode="after")
    def _has_what_it_is_made_of(self) -> Self:
        if (self.method == "whole") != (self.old is None):
            raise ValueError("a part is whole, or made of another")
        return self


class DeltaHead(Declared):
    """What stands at the beginning of a delta. Parts without a step are those of the older artifact, as they are."""

    steps: Annotated[tuple[Step, ...], AsTuple, Field(max_length=MOST_PARTS)]


def index_target(artifact: str) -> str:
    """TUF target path of an artifact's delta index."""
    return f"{DELTAS}{hex_of(artifact)}.json"


def part_path(packed: str) -> str:
    """Where a packed part lies beside the targets, by the digest of its file."""
    return f"parts/{hex_of(packed)}.zst"


def delta_path(digest: str) -> str:
    """Where a delta lies beside the targets, by the digest of its file."""
    return f"{DELTAS}{hex_of(digest)}.delta"
