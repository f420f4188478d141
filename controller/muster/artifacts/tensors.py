"""Snapshots as bytes: named tensors in one canonical, uncompressed container. Its digest is the snapshot's digest.

Layout: 8 bytes `MTENSOR1`; length of the header, 8 bytes little endian; the header, canonical JSON
`{"tensors": [{"dtype", "name", "shape"}, ...]}` sorted by name; then the elements of each tensor in that order,
little endian, C order, nothing between and nothing behind. One set of tensors has exactly one byte string: a
container that is not in canonical form is refused. No pickles, no compression (whose bytes differ between versions).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final

import numpy as np
import numpy.typing as npt
from pydantic import Field, ValidationError

from muster.kinds.canonical import canonical_json
from muster.kinds.errors import Unusable
from muster.kinds.resource import AsTuple, Declared

Tensor = npt.NDArray[Any]

MAGIC: Final = b"MTENSOR1"
MAX_HEADER: Final = 2**20
MAX_TENSORS: Final = 1_024
MAX_RANK: Final = 8
MAX_SIZE: Final = 2**31

DTYPES: Final = {
    "bool": "|b1",
    "float16": "<f2",
    "float32": "<f4",
    "float64": "<f8",
    "int16": "<i2",
    "int32": "<i4",
    "int64": "<i8",
    "int8": "|i1",
    "uint16": "<u2",
    "uint32": "<u4",
    "uint64": "<u8",
    "uint8": "|u1",
}

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_PREFIX = len(MAGIC) + 8
_Dimension = Annotated[int, Field(ge=0, le=MAX_SIZE)]


class _TensorHeader(Declared):
    name: Annotated[str, Field(pattern=f"^{_NAME.pattern}$")]
    dtype: str
    shape: Annotated[tuple[_Dimension, ...], AsTuple, Field(max_length=MAX_RANK)]

    @property
    def size(self) -> int:
        """Bytes. Python's integers do not overflow, whatever the shape says."""
        return math.prod(self.shape) * np.dtype(DTYPES[self.dtype]).itemsize


class _Header(Declared):
    tensors: Annotated[tuple[_TensorHeader, ...], AsTuple, Field(max_length=MAX_TENSORS)]


def dump_tensors(tensors: Mapping[str, Tensor]) -> bytes:
    """The canonical container of these tensors. Raises `Unusable` for a name or element type it cannot hold."""
    entries, parts = [], []
    for name in sorted(tensors):
        tensor = np.asarray(tensors[name])
        if not _NAME.fullmatch(name):
            raise Unusable(f"not a tensor name: {name!r}", "write lower-case letters, digits and underscores")
        if tensor.dtype.name not in DTYPES:
            raise Unusable(f"tensor {name} has elements of type {tensor.dtype}", f"convert to {', '.join(DTYPES)}")
        entries.append({"name": name, "dtype": tensor.dtype.name, "shape": list(tensor.shape)})
        parts.append(np.ascontiguousarray(tensor, dtype=DTYPES[tensor.dtype.name]).tobytes())
    header = canonical_json({"tensors": entries})
    data = b"".join([MAGIC, len(header).to_bytes(8, "little"), header, *parts])
    if len(entries) > MAX_TENSORS or len(header) > MAX_HEADER or len(data) > MAX_SIZE:
        raise Unusable(f"too much for one snapshot: {len(entries)} tensors, {len(data)} bytes", "split it")
    return data


def load_tensors(data: bytes) -> dict[str, Tensor]:
    """The tensors of a container, read-only, by name. Raises `Unusable` unless it is canonical to the last byte."""
    header, start = _read_header(data)
    names = [entry.name for entry in header.tensors]
    if names != sorted(set(names)):
        raise _unusable("its tensors are not sorted by name, each once")
    if start + sum(entry.size for entry in header.tensors) != len(data):
        raise _unusable("its length does not fit its shapes")
    tensors = {}
    for entry in header.tensors:
        flat = np.frombuffer(data, dtype=DTYPES[entry.dtype], count=math.prod(entry.shape), offset=start)
        if entry.dtype == "bool" and flat.view(np.uint8).max(initial=0) > 1:
            raise _unusable(f"tensor {entry.name} holds truth values other than 0 and 1")
        tensors[entry.name] = flat.reshape(entry.shape)
        start += entry.size
    return tensors


def _read_header(data: bytes) -> tuple[_Header, int]:
    if len(data) > MAX_SIZE or data[: len(MAGIC)] != MAGIC or len(data) < _PREFIX:
        raise _unusable(f"it does not start with {MAGIC.decode()}, or is larger than {MAX_SIZE} bytes")
    length = int.from_bytes(data[len(MAGIC) : _PREFIX], "little")
    if length > MAX_HEADER or _PREFIX + length > len(data):
        raise _unusable("its header is longer than allowed")
    text = data[_PREFIX : _PREFIX + length]
    try:
        value = json.loads(text)
        if canonical_json(value) != text:
            raise _unusable("its header is not canonical JSON")
        header = _Header.model_validate(value)
    except (ValueError, TypeError, RecursionError, ValidationError) as error:
        raise _unusable("its header cannot be read") from error
    if unknown := {entry.dtype for entry in header.tensors} - set(DTYPES):
        raise _unusable(f"it has elements of type {', '.join(sorted(unknown))}")
    return header, _PREFIX + length


def _unusable(why: str) -> Unusable:
    return Unusable(f"not a snapshot: {why}", "write it with muster.artifacts.tensors.dump_tensors")
