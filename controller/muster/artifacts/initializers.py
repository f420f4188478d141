"""Where the tensors of an ONNX file lie in it, without onnx: found by walking the protobuf wire format.

https://protobuf.dev/programming-guides/encoding/; numbers of fields from onnx.proto. Only the main graph's
initializers with raw bytes are found; whatever else holds numbers is left to the rest of the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

_VARINT, _FIXED64, _DELIMITED, _FIXED32 = 0, 1, 2, 5
_GRAPH: Final = 7  # of ModelProto
_INITIALIZER: Final = 5  # of GraphProto
_DATA_TYPE, _NAME, _RAW_DATA = 2, 8, 9  # of TensorProto
_WIDTHS: Final = {1: 4, 4: 2, 5: 2, 6: 4, 7: 8, 10: 2, 11: 8, 12: 4, 13: 8, 16: 2}
"""TensorProto.DataType → bytes of an element, where it is not 1."""
_MOST_FIELDS: Final = 2**20
_WINDOW: Final = 2**12
_LONGEST_NAME: Final = 2**10


@dataclass(frozen=True)
class TensorPlace:
    """A tensor's raw bytes: where they begin in the file, how many, and bytes of one element."""

    start: int
    length: int
    width: int
    name: bytes


@dataclass(frozen=True)
class _Field:
    number: int
    start: int
    end: int
    value: int | None
    """Of a varint."""


def find_tensors(read: Callable[[int, int], bytes], size: int) -> list[TensorPlace]:
    """The tensors of a file of `size` bytes, in the order of their bytes. `read(start, length)`.

    Raises `ValueError` if the bytes are no protobuf message, or have too many fields.
    """
    walk = _Walk(read, size)
    found = []
    for graph in walk.messages(0, size, _GRAPH):
        for tensor in walk.messages(graph.start, graph.end, _INITIALIZER):
            place = _place(walk, tensor)
            if place is not None:
                found.append(place)
    return found


def _place(walk: _Walk, tensor: _Field) -> TensorPlace | None:
    raw: _Field | None = None
    name, width = b"", 1
    for field in walk.fields(tensor.start, tensor.end):
        if field.number == _RAW_DATA and field.value is None:
            raw = field
        elif field.number == _DATA_TYPE and field.value is not None:
            width = _WIDTHS.get(field.value, 1)
        elif field.number == _NAME and field.value is None:
            name = walk.bytes(field.start, min(field.end - field.start, _LONGEST_NAME))
    if raw is None or raw.end == raw.start:
        return None
    length = raw.end - raw.start
    return TensorPlace(raw.start, length, width if length % width == 0 else 1, name)


class _Walk:
    def __init__(self, read: Callable[[int, int], bytes], size: int) -> None:
        self._read = read
        self._size = size
        self._begin = 0
        self._window = b""
        self._met = 0

    def messages(self, start: int, end: int, number: int) -> Iterator[_Field]:
        return (field for field in self.fields(start, end) if field.number == number and field.value is None)

    def fields(self, start: int, end: int) -> Iterator[_Field]:
        while start < end:
            self._met += 1
            if self._met > _MOST_FIELDS:
                raise ValueError("too many fields")
            tag, start = self._varint(start, end)
            number, wire = tag >> 3, tag & 7
            value, length = None, 0
            if wire == _VARINT:
                value, start = self._varint(start, end)
            elif wire == _DELIMITED:
                length, start = self._varint(start, end)
            elif wire in (_FIXED64, _FIXED32):
                value, length = 0, 8 if wire == _FIXED64 else 4
            else:
                raise ValueError(f"wire type {wire}")
            if length > end - start:
                raise ValueError("a field ends behind its message")
            yield _Field(number, start, start + length, value)
            start += length

    def bytes(self, start: int, length: int) -> bytes:
        if not self._begin <= start <= start + length <= self._begin + len(self._window):
            self._begin = start
            self._window = self._read(start, min(max(length, _WINDOW), self._size - start))
        return self._window[start - self._begin :][:length]

    def _varint(self, start: int, end: int) -> tuple[int, int]:
        value = 0
        for count, byte in enumerate(self.bytes(start, min(10, end - start))):
            value |= (byte & 0x7F) << 7 * count
            if byte < 0x80:
                return value, start + count + 1
        raise ValueError("a number that does not end")
