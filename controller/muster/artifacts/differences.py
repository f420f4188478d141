"""A tensor told as differences to an older one of the same length: element by element, in blocks.

An element is a little-endian integer of `width` bytes, whatever the tensor takes it for; a difference counts modulo
2^(8·width), and is written as z = 2d for d >= 0 and -2d - 1 for d < 0: small steps either way are small numbers.
A block is the next `BLOCK` elements, or those that are left.

    dense    of each element z, by planes: first the lowest bytes of all, then the next
    sparse   u32 runs, u32 changes; runs as bytes; z - 1 of each change, by planes

A run says how many elements are unchanged before the next change; 255 is 255 of them, and no change behind. Memory is a
few blocks, however large the tensor is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np

from muster.kinds.errors import Refused

BLOCK: Final = 2**17
"""Elements."""

_ESCAPE: Final = 255
_Bytes = np.ndarray[Any, np.dtype[np.uint8]]
_Elements = np.ndarray[Any, np.dtype[Any]]


def block_size(width: int) -> int:
    """Bytes of a block."""
    return BLOCK * width


def dense_block(new: bytes, old: bytes, width: int) -> bytes:
    """A block of all differences."""
    return _planes(_zigzag(new, old, width), width)


def sparse_block(new: bytes, old: bytes, width: int) -> bytes:
    """A block of the differences that are not 0."""
    zigzag = _zigzag(new, old, width)
    places = np.flatnonzero(zigzag)
    unchanged = np.diff(places, prepend=-1) - 1
    runs = np.full(int((unchanged // _ESCAPE + 1).sum()), _ESCAPE, np.uint8)
    runs[np.cumsum(unchanged // _ESCAPE + 1) - 1] = unchanged % _ESCAPE
    counts = len(runs).to_bytes(4, "little") + len(places).to_bytes(4, "little")
    return counts + runs.tobytes() + _planes(zigzag[places] - zigzag.dtype.type(1), width)


def changed(new: bytes, old: bytes, width: int) -> int:
    """How many elements differ."""
    return int(np.count_nonzero(_elements(new, width) != _elements(old, width)))


def read_dense(take: Callable[[int], bytes], old: Iterator[bytes], width: int) -> Iterator[bytes]:
    """The new tensor, block by block. `old` gives the blocks of the older one; `take` exactly that many bytes."""
    for block in old:
        yield _apply(_unplaned(take(len(block)), width), block, width)


def read_sparse(take: Callable[[int], bytes], old: Iterator[bytes], width: int) -> Iterator[bytes]:
    """As `read_dense`. Raises `Refused` if a block says what cannot be."""
    for block in old:
        elements = len(block) // width
        runs, changes = (int.from_bytes(take(4), "little") for _ in range(2))
        if changes > elements or runs > changes + elements // _ESCAPE:
            raise _impossible()
        steps = np.frombuffer(take(runs), np.uint8)
        ends = steps != _ESCAPE
        # Every run is followed by a change, but where it is escaped.
        places = np.cumsum(steps.astype(np.int64) + ends)[ends] - 1
        if len(places) != changes or (changes and places[-1] >= elements):
            raise _impossible()
        zigzag = np.zeros(elements, _type(width))
        zigzag[places] = _unplaned(take(changes * width), width) + _type(width)(1)
        yield _apply(zigzag, block, width)


def _zigzag(new: bytes, old: bytes, width: int) -> _Elements:
    difference = _elements(new, width) - _elements(old, width)
    signed = difference.view(_type(width, signed=True))
    zigzag: _Elements = ((signed << 1) ^ (signed >> (8 * width - 1))).view(difference.dtype)
    return zigzag


def _apply(zigzag: _Elements, old: bytes, width: int) -> bytes:
    one = zigzag.dtype.type(1)
    difference = (zigzag >> one) ^ (~(zigzag & one) + one)
    new: _Elements = _elements(old, width) + difference
    return new.tobytes()


def _planes(elements: _Elements, width: int) -> bytes:
    return elements.view(np.uint8).reshape(-1, width).T.tobytes()


def _unplaned(data: bytes, width: int) -> _Elements:
    planes: _Bytes = np.frombuffer(data, np.uint8).reshape(width, -1)
    return np.ascontiguousarray(planes.T).reshape(-1).view(_type(width))


def _elements(data: bytes, width: int) -> _Elements:
    return np.frombuffer(data, _type(width))


def _type(width: int, *, signed: bool = False) -> Any:
    # Little-endian, as the file says; every machine that Muster runs on counts so.
    return np.dtype(f"<{'i' if signed else 'u'}{width}").type


def _impossible() -> Refused:
    return Refused("a delta says what cannot be", "publish the artifact again; it is fetched as a whole")
