"""Splitting an artifact into parts by content, the same on a controller and on a device.

Every large tensor of the model is a part, and so is every other large file. What lies between them (headers, names,
small tensors, small files) is gathered in part 0, in its order. Joined again by the layout, the parts are the artifact
byte for byte, whatever the model's file holds: the split only chooses where to cut.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

from muster.artifacts.bundle import MODEL
from muster.artifacts.initializers import find_tensors
from muster.artifacts.opened import OpenArtifact
from muster.kinds.delta import MOST_PARTS

SMALLEST = 4_096
"""Bytes of a part. Smaller ones would cost more in the index than they ever spare."""
PIECE = 2**18
"""Bytes that are read at once."""

_REST = b""


@dataclass(frozen=True)
class Cut:
    """A part that stands in the artifact as it is: where, how long, bytes of an element, and what it is called."""

    start: int
    length: int
    width: int
    name: bytes


@dataclass(frozen=True)
class SplitPart:
    """One part and the (start, length) of its pieces in the artifact; `name` is the same in the next release."""

    name: bytes
    width: int
    pieces: tuple[tuple[int, int], ...]
    read: Callable[[int, int], bytes]

    @property
    def length(self) -> int:
        """In bytes."""
        return sum(length for _, length in self.pieces)

    @cached_property
    def digest(self) -> str:
        """Of its bytes."""
        found = hashlib.sha256()
        for data in self.stream():
            found.update(data)
        return f"sha256:{found.hexdigest()}"

    def stream(self, size: int = PIECE) -> Iterator[bytes]:
        """Its bytes, at most `size` at once. Raises `OSError`, `Refused`."""
        for start, length in self.pieces:
            for place in range(start, start + length, size):
                yield self.read(place, min(size, start + length - place))

    def data(self) -> bytes:
        """All of it at once."""
        return b"".join(self.stream())


@dataclass(frozen=True)
class Split:
    """`parts[0]` is what lies between the others. `layout`: (part, bytes) from the first byte to the last."""

    parts: tuple[SplitPart, ...]
    layout: tuple[tuple[int, int], ...]


def split(artifact: OpenArtifact) -> Split:
    """Cut an artifact. Raises `OSError`, `Refused` if it cannot be read."""
    cuts = sorted(_largest(_cuts(artifact)), key=lambda cut: cut.start)
    parts = [SplitPart(cut.name, cut.width, ((cut.start, cut.length),), artifact.read) for cut in cuts]
    # Equal tensors are one part.
    numbers = {digest: number for number, digest in enumerate(dict.fromkeys(part.digest for part in parts), 1)}
    between, layout, place = [], [], 0
    for cut, part in zip(cuts, parts, strict=True):
        if cut.start > place:
            between.append((place, cut.start - place))
            layout.append((0, cut.start - place))
        layout.append((numbers[part.digest], cut.length))
        place = cut.start + cut.length
    between.append((place, artifact.size - place))
    layout.append((0, artifact.size - place))
    rest = SplitPart(_REST, 1, tuple(between), artifact.read)
    first = {part.digest: part for part in reversed(parts)}
    return Split((rest, *(first[digest] for digest in numbers)), tuple(layout))


def _cuts(artifact: OpenArtifact) -> Iterator[Cut]:
    for name, (start, size) in artifact.places.items():
        if name == MODEL:
            yield from _model_cuts(artifact, start, size)
        elif size >= SMALLEST:
            yield Cut(start, size, 1, f"file {name}".encode())


def _model_cuts(artifact: OpenArtifact, start: int, size: int) -> Iterator[Cut]:
    try:
        tensors = find_tensors(lambda place, length: artifact.read(start + place, length), size)
    except ValueError:
        # What the runtime makes of such a file is not for the transport to say.
        tensors = []
    if not tensors and size >= SMALLEST:
        yield Cut(start, size, 1, f"file {MODEL}".encode())
    for tensor in tensors:
        if tensor.length >= SMALLEST:
            yield Cut(start + tensor.start, tensor.length, tensor.width, b"tensor " + tensor.name)


def _largest(cuts: Iterator[Cut]) -> list[Cut]:
    ordered = sorted(cuts, key=lambda cut: (-cut.length, cut.start))
    return ordered[: MOST_PARTS - 1]
