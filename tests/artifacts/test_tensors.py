"""Snapshots: one byte string per set of tensors, and nothing else is read."""

from __future__ import annotations

import contextlib
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from muster.artifacts.tensors import DTYPES, dump_tensors, load_tensors
from muster.kinds.digest import digest_of
from muster.kinds.errors import Unusable

NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,20}", fullmatch=True)
ARRAYS = st.sampled_from(sorted(DTYPES)).flatmap(
    lambda dtype: hnp.arrays(np.dtype(dtype), hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
)


@given(tensors=st.dictionaries(NAMES, ARRAYS, max_size=4))
def test_round_trip(tensors: dict[str, np.ndarray]) -> None:
    """Names, types, shapes and bits survive, NaN included; dumping again gives the same bytes."""
    data = dump_tensors(tensors)
    loaded = load_tensors(data)
    assert sorted(tensors) == list(loaded)
    for name, tensor in tensors.items():
        assert (tensor.dtype, tensor.shape, tensor.tobytes()) == (
            loaded[name].dtype,
            loaded[name].shape,
            loaded[name].tobytes(),
        )
    assert data == dump_tensors(loaded)


def test_the_bytes_are_those_that_were_agreed_on() -> None:
    """Snapshots are pinned by digest: the container must not change between versions of this program."""
    data = dump_tensors({"labels": np.arange(3), "frames": np.arange(6, dtype=np.uint8).reshape(3, 2)})
    assert digest_of(data) == "sha256:03dd33f69f5d2549c43cbebb647ca1e0458fe72ab40fb6611899e93c98c9c76c"


def test_memory_layout_does_not_show() -> None:
    """Byte order and strides are the machine's matter."""
    plain = np.arange(12, dtype="<i4").reshape(3, 4)
    for other in (plain.astype(">i4"), np.asfortranarray(plain), np.repeat(plain, 2, axis=1)[:, ::2]):
        assert dump_tensors({"x": plain}) == dump_tensors({"x": other})


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """No input makes the reader fail in another way than `Unusable`."""
    for attempt in (data, b"MTENSOR1" + data, b"MTENSOR1" + len(data).to_bytes(8, "little") + data):
        with contextlib.suppress(Unusable):
            assert attempt == dump_tensors(load_tensors(attempt))


@given(position=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_a_flipped_bit_is_another_snapshot_or_none(position: int, bit: int) -> None:
    """A container with one flipped bit is refused, or is the canonical form of other tensors."""
    data = bytearray(dump_tensors({"frames": np.ones((2, 2), bool), "labels": np.arange(2)}))
    data[position % len(data)] ^= 1 << bit
    with contextlib.suppress(Unusable):
        assert bytes(data) == dump_tensors(load_tensors(bytes(data)))


def _container(header: bytes, body: bytes = b"") -> bytes:
    return b"MTENSOR1" + len(header).to_bytes(8, "little") + header + body


def _one(dtype: str, shape: str, body: bytes, name: str = "x") -> bytes:
    return _container(
        b'{"tensors":[{"dtype":"%s","name":"%s","shape":%s}]}' % (dtype.encode(), name.encode(), shape.encode()), body
    )


HOSTILE = {
    "trailing bytes": _one("int8", "[1]", b"\0\0"),
    "cut short": _one("int8", "[2]", b"\0"),
    "object elements": _one("object", "[1]", b"\0" * 8),
    "pickle": pickle.dumps(np.arange(3)),
    "numpy archive": b"\x93NUMPY\x01\x00",
    "product overflows 64 bits": _one("int64", "[2147483648,2147483648,4]", b""),
    "huge shape": _one("int8", "[2147483648]", b""),
    "negative shape": _one("int8", "[-1]", b""),
    "float in shape": _one("int8", "[1.0]", b"\0"),
    "truth in shape": _one("int8", "[true]", b"\0"),
    "too many axes": _one("int8", "[1,1,1,1,1,1,1,1,1]", b"\0"),
    "bad name": _one("int8", "[1]", b"\0", "../x"),
    "truth value 2": _one("bool", "[1]", b"\2"),
    "spaces in the header": _container(b'{"tensors": []}'),
    "unknown field": _container(b'{"more":1,"tensors":[]}'),
    "deep header": _container(b"[" * 100_000),
    "header length lies": b"MTENSOR1" + b"\xff" * 8 + b"{}",
    "same name twice": _container(
        b'{"tensors":[{"dtype":"int8","name":"x","shape":[]},{"dtype":"int8","name":"x","shape":[]}]}', b"\0\0"
    ),
    "empty": b"",
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_containers_are_refused(case: str) -> None:
    """Each is refused before anything of its size is allocated."""
    with pytest.raises(Unusable, match="not a snapshot"):
        load_tensors(HOSTILE[case])


@pytest.mark.parametrize("tensor", [np.array([None]), np.array(["text"]), np.array([1 + 2j])])
def test_element_types_that_it_cannot_hold(tensor: np.ndarray) -> None:
    """Objects, text and complex numbers are refused when writing."""
    with pytest.raises(Unusable, match="elements of type"):
        dump_tensors({"x": tensor})
