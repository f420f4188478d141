"""The bytes of a model, walked before they are parsed: https://protobuf.dev/programming-guides/encoding/.

The walk follows the published definition of ONNX and holds no more than one position per message that it is inside of.
It answers what no parsed message can tell: how much a parser would allocate, which fields it does not know (a newer
runtime may), and whether it would merge two messages into one.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any, Final

import onnx
from google.protobuf.descriptor import FieldDescriptor

from muster.build.onnx_safety.finding import SafetyFinding
from muster.build.onnx_safety.rules import Limits

_VARINT, _FIXED64, _DELIMITED, _FIXED32 = 0, 1, 2, 5
_KNOWN_TYPES: Final = frozenset({_VARINT, _FIXED64, _DELIMITED, _FIXED32})
"""The others begin and end groups, which ONNX never had, or mean nothing."""
_WIDTHS: Final = {_FIXED64: 8, _FIXED32: 4}
_WIRE_TYPES: Final = {
    FieldDescriptor.TYPE_DOUBLE: _FIXED64,
    FieldDescriptor.TYPE_FIXED64: _FIXED64,
    FieldDescriptor.TYPE_SFIXED64: _FIXED64,
    FieldDescriptor.TYPE_FLOAT: _FIXED32,
    FieldDescriptor.TYPE_FIXED32: _FIXED32,
    FieldDescriptor.TYPE_SFIXED32: _FIXED32,
    FieldDescriptor.TYPE_STRING: _DELIMITED,
    FieldDescriptor.TYPE_BYTES: _DELIMITED,
    FieldDescriptor.TYPE_MESSAGE: _DELIMITED,
}
_LONG_TEXTS: Final = frozenset({"doc_string", "value", "s", "strings", "string_data"})
"""The rest of the texts are names."""
_BULK: Final = "raw_data"
_NO_MODEL: Final = "the model is not an ONNX file, or cut short"
_DAMAGED: Final = "export it again: its file is damaged or made by hand"


@dataclass(frozen=True)
class _Field:
    name: str
    wire: int
    message: Any
    packable: bool
    singular: bool
    text: bool
    limited: bool
    """True for texts and bytes whose length has a limit."""


@dataclass
class _Frame:
    position: int
    end: int
    message: Any
    met: set[int] = field(default_factory=set)
    """Numbers of the singular messages that were met in it."""


class _Wrong(Exception):
    def __init__(self, rule: str, place: str, message: str, hint: str = _DAMAGED) -> None:
        super().__init__(message)
        self.finding = SafetyFinding(rule, place, message, hint)


def walk(data: bytes, limits: Limits) -> SafetyFinding | None:
    """The first thing that is wrong with the bytes of a model; None if they can be parsed."""
    if len(data) > limits.size:
        return SafetyFinding(
            "size", "file", f"the model has {len(data)} bytes, more than {limits.size}", "export a smaller model"
        )
    try:
        _Walk(data, limits).run()
    except _Wrong as wrong:
        return wrong.finding
    return None


class _Walk:
    def __init__(self, data: bytes, limits: Limits) -> None:
        self._data = data
        self._limits = limits
        self._fields = 0
        self._stack = [_Frame(0, len(data), onnx.ModelProto.DESCRIPTOR)]

    def run(self) -> None:
        while self._stack:
            frame = self._stack[-1]
            if frame.position == frame.end:
                self._stack.pop()
            else:
                self._step(frame)

    def _step(self, frame: _Frame) -> None:
        self._fields += 1
        if self._fields > self._limits.fields:
            raise _Wrong(
                "wire",
                frame.message.name,
                f"the model has more than {self._limits.fields} fields",
                "export a smaller model, with its weights as raw data",
            )
        tag = self._varint(frame)
        number, wire = tag >> 3, tag & 7
        if wire not in _KNOWN_TYPES:
            raise _Wrong("wire", frame.message.name, _NO_MODEL)
        known = _fields_of(frame.message).get(number)
        if known is None or (wire != known.wire and not (known.packable and wire == _DELIMITED)):
            raise _Wrong(
                "unknown-field",
                frame.message.name,
                f"{frame.message.name} has a field {number} of type {wire} that onnx {onnx.__version__} does not know",
                "export it with a version of onnx that this one knows, and for inference",
            )
        if wire == _VARINT:
            self._varint(frame)
        elif wire == _DELIMITED:
            self._delimited(frame, number, known)
        else:
            self._skip(frame, _WIDTHS[wire])

    def _delimited(self, frame: _Frame, number: int, known: _Field) -> None:
        length = self._varint(frame)
        start = frame.position
        self._skip(frame, length)
        if known.limited:
            self._check_text(f"{frame.message.name}.{known.name}", start, length, known)
        if known.message is None:
            return
        if known.singular and number in frame.met:
            raise _Wrong(
                "merged-message",
                frame.message.name,
                f"{frame.message.name} holds {known.name} twice: a reader would make one of two",
            )
        frame.met.add(number)
        if len(self._stack) >= self._limits.depth:
            raise _Wrong(
                "depth",
                known.message.name,
                f"the model holds messages inside messages more than {self._limits.depth} deep",
                "export it without nested control flow",
            )
        self._stack.append(_Frame(start, start + length, known.message))

    def _check_text(self, place: str, start: int, length: int, known: _Field) -> None:
        limit = self._limits.text if known.name in _LONG_TEXTS else self._limits.name
        if length > limit:
            raise _Wrong(
                "text",
                place,
                f"a name or text in the model, {place}, is longer than {limit} bytes",
                "export it with shorter names of nodes and tensors, and without long comments",
            )
        if not known.text:
            return
        try:
            self._data[start : start + length].decode()
        except UnicodeDecodeError:
            raise _Wrong("text", place, f"a name or text in the model, {place}, is no UTF-8") from None

    def _skip(self, frame: _Frame, length: int) -> None:
        if length > frame.end - frame.position:
            raise _Wrong("wire", frame.message.name, _NO_MODEL)
        frame.position += length

    def _varint(self, frame: _Frame) -> int:
        data, end, position = self._data, min(frame.end, frame.position + 10), frame.position
        value = shift = 0
        while position < end:
            byte = data[position]
            position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                frame.position = position
                return value
            shift += 7
        raise _Wrong("wire", frame.message.name, _NO_MODEL)


@functools.cache
def _fields_of(message: Any) -> dict[int, _Field]:
    return {number: _described(found) for number, found in message.fields_by_number.items()}


def _described(found: Any) -> _Field:
    repeated = bool(found.is_repeated)
    wire = _WIRE_TYPES.get(found.type, _VARINT)
    holds_bytes = found.type in (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES)
    return _Field(
        name=found.name,
        wire=wire,
        message=found.message_type,
        packable=repeated and wire != _DELIMITED,
        singular=found.message_type is not None and not repeated,
        text=found.type == FieldDescriptor.TYPE_STRING,
        limited=holds_bytes and found.name != _BULK,
    )
