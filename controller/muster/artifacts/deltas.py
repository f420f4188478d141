"""Deltas: one file that makes an artifact out of the parts of an older one.

`MUSTERD1`, the length of the head (u32, little-endian), the head (canonical JSON), and then for each of its steps one
zstd frame. Who reads it has verified the file's digest; the lengths bound what comes out all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import BinaryIO, Final

from pydantic import ValidationError

from muster.artifacts.differences import (
    block_size,
    changed,
    dense_block,
    read_dense,
    read_sparse,
    sparse_block,
)
from muster.artifacts.splitting import PIECE, Split, SplitPart
from muster.artifacts.zstandard import LARGEST_PREFIX, Frame, pack, pack_stream
from muster.kinds.canonical import canonical_json
from muster.kinds.delta import LARGEST_INDEX, DeltaHead, Method, Step, Width
from muster.kinds.errors import Refused

MAGIC: Final = b"MUSTERD1"

_WIDTHS: Final[dict[int, Width]] = {1: 1, 2: 2, 4: 4, 8: 8}
_DENSE_FROM = 0.4
_SPARSE_TO = 0.6
"""Shares of changed elements: in between, both are tried."""


def pack_part(part: SplitPart) -> bytes:
    """A part as it is published: one frame of its own bytes."""
    return pack_stream(part.stream(), part.length)


def make_delta(new: Split, old: Split, packed: Callable[[SplitPart], bytes]) -> bytes:
    """The smallest delta that is known here. `packed`: a part by itself. Raises `OSError`, `Refused`."""
    held = {part.digest for part in old.parts}
    by_name = {part.name: part for part in reversed(old.parts)}
    steps, frames = [], []
    for number, part in enumerate(new.parts):
        if part.digest in held:
            continue
        method, frame = _smallest(part, by_name.get(part.name), packed(part))
        older = None if method == "whole" else by_name[part.name].digest
        width = _WIDTHS[part.width] if method in ("dense", "sparse") else 1
        steps.append(Step(part=number, method=method, length=len(frame), old=older, width=width))
        frames.append(frame)
    head = canonical_json(DeltaHead(steps=tuple(steps)).model_dump(mode="json"))
    return b"".join([MAGIC, len(head).to_bytes(4, "little"), head, *frames])


def read_head(file: BinaryIO) -> DeltaHead:
    """The head of a delta; the file then stands at its first frame. Raises `Refused`."""
    begin = file.read(len(MAGIC) + 4)
    length = int.from_bytes(begin[len(MAGIC) :], "little")
    if begin[: len(MAGIC)] != MAGIC or length > LARGEST_INDEX:
        raise _unreadable()
    try:
        return DeltaHead.model_validate_json(file.read(length))
    except ValidationError as error:
        raise _unreadable() from error


def make_part(step: Step, length: int, old: SplitPart | None, read: Callable[[int], bytes]) -> Iterator[bytes]:
    """The bytes of a part, piece by piece, of its frame and the older part. Raises `OSError`, `Refused`."""
    if step.method == "whole" or old is None:
        yield from whole(length, read)
        return
    if step.method == "prefix":
        if max(old.length, length) > LARGEST_PREFIX:
            raise _unreadable()
        yield from _pieces(Frame(read, old.data()), length)
        return
    if old.length != length or length % step.width:
        raise _unreadable()
    frame = Frame(read)
    reader = read_dense if step.method == "dense" else read_sparse
    yield from reader(frame.take, _blocks(old, step.width), step.width)
    frame.end()


def whole(length: int, read: Callable[[int], bytes]) -> Iterator[bytes]:
    """The bytes of a part that was packed by itself. Raises `Refused` unless they are exactly `length`."""
    yield from _pieces(Frame(read), length)


def _pieces(frame: Frame, length: int) -> Iterator[bytes]:
    for place in range(0, length, PIECE):
        yield frame.take(min(PIECE, length - place))
    frame.end()


def _smallest(part: SplitPart, old: SplitPart | None, packed: bytes) -> tuple[Method, bytes]:
    ways: list[tuple[Method, bytes]] = [("whole", packed)]
    if old is not None:
        if max(old.length, part.length) <= LARGEST_PREFIX:
            ways.append(("prefix", pack(part.data(), old.data())))
        if old.length == part.length:
            ways += _differences(part, old)
    return min(ways, key=lambda way: len(way[1]))


def _differences(part: SplitPart, old: SplitPart) -> Iterator[tuple[Method, bytes]]:
    width = part.width
    differing = sum(changed(new, older, width) for new, older in _both(part, old))
    share = differing * width / part.length
    if share >= _DENSE_FROM:
        yield "dense", pack_stream((dense_block(*pair, width) for pair in _both(part, old)), part.length)
    if share <= _SPARSE_TO:
        yield "sparse", pack_stream((sparse_block(*pair, width) for pair in _both(part, old)), part.length)


def _both(part: SplitPart, old: SplitPart) -> Iterator[tuple[bytes, bytes]]:
    return zip(_blocks(part, part.width), _blocks(old, part.width), strict=True)


def _blocks(part: SplitPart, width: int) -> Iterator[bytes]:
    """Its bytes in blocks: those of a part that was gathered do not end where blocks do."""
    size = block_size(width)
    if len(part.pieces) == 1:
        yield from part.stream(size)
        return
    waiting = bytearray()
    for data in part.stream():
        waiting += data
        while len(waiting) >= size:
            yield bytes(waiting[:size])
            del waiting[:size]
    if waiting:
        yield bytes(waiting)


def _unreadable() -> Refused:
    return Refused("a delta cannot be read", "publish the artifact again; it is fetched as a whole")
