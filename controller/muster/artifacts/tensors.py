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
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from muster.kinds.canonical import canonical_json
from muster.kinds.errors import Unusable

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


@dataclass(frozen=True)
class _TensorHeader:
    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes. Python's integers do not overflow, whatever the shape says."""
        return math.prod(self.shape) * np.dtype(DTYPES[self.dtype]).itemsize


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
    names = [entry.name for entry in header]
    if names != sorted(set(names)):
        raise _unusable("its tensors are not sorted by name, each once")
    if start + sum(entry.size for entry in header) != len(data):
        raise _unusable("its length does not fit its shapes")
    tensors = {}
    for entry in header:
        flat = np.frombuffer(data, dtype=DTYPES[entry.dtype], count=math.prod(entry.shape), offset=start)
        if entry.dtype == "bool" and flat.view(np.uint8).max(initial=0) > 1:
            raise _unusable(f"tensor {entry.name} holds truth values other than 0 and 1")
        tensors[entry.name] = flat.reshape(entry.shape)
        start += entry.size
    return tensors


def _read_header(data: bytes) -> tuple[list[_TensorHeader], int]:
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
        if set(value) != {"tensors"}:
            raise _unusable("its header cannot be read")
        header = [_entry(item) for item in value["tensors"]]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise _unusable("its header cannot be read") from error
    if len(header) > MAX_TENSORS:
        raise _unusable("its header cannot be read")
    if unknown := {entry.dtype for entry in header} - set(DTYPES):
        raise _unusable(f"it has elements of type {', '.join(sorted(unknown))}")
    return header, _PREFIX + length


def _entry(item: Any) -> _TensorHeader:
    """Raises `ValueError`, `KeyError` or `TypeError` unless it holds name, dtype and shape, and nothing else."""
    name, dtype, shape = item["name"], item["dtype"], item["shape"]
    if len(item) != 3 or not isinstance(dtype, str) or not isinstance(shape, list) or len(shape) > MAX_RANK:
        raise ValueError("no entry of a header")
    # A truth value is an integer to Python, and none in JSON.
    if not _NAME.fullmatch(name) or any(type(size) is not int or not 0 <= size <= MAX_SIZE for size in shape):
        raise ValueError("no entry of a header")
    return _TensorHeader(name, dtype, tuple(shape))


def _unusable(why: str) -> Unusable:
    return Unusable(f"not a snapshot: {why}", "write it with muster.artifacts.tensors.dump_tensors")
