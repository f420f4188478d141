"""Distances between arrays: exact, in both directions, for every type, and without overflow."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from muster.build.difference.distances import NOT_A_NUMBER, distance

BITS = st.floats(width=32, allow_nan=False)
LARGEST = float(np.finfo(np.float32).max)


def _apart(one: np.ndarray, other: np.ndarray) -> int:
    return distance(numpy_helper.from_array(one), numpy_helper.from_array(other)).largest


@given(BITS.filter(lambda value: value != LARGEST))
def test_the_next_number_is_one_away(value: float) -> None:
    """In both directions, and across zero: minus zero counts as the number before zero."""
    here = np.float32(value)
    above = np.nextafter(here, np.float32(np.inf))
    if here not in (above, 0) and above != 0:
        assert _apart(np.array([here]), np.array([above])) == 1
        assert _apart(np.array([above]), np.array([here])) == 1


def test_across_zero_by_hand() -> None:
    """Smallest negative, minus zero, zero, smallest positive: three steps."""
    tiny = np.nextafter(np.float32(0), np.float32(1))
    assert _apart(np.array([-tiny]), np.array([tiny])) == 3
    assert _apart(np.array([np.float32(-0.0)]), np.array([np.float32(0.0)])) == 1


@given(BITS, BITS, BITS)
def test_distances_add_up_along_the_line(first: float, second: float, third: float) -> None:
    """From the least to the greatest is as far as by way of the middle."""
    ordered = sorted((first, second, third), key=lambda value: (value, math.copysign(1, value)))
    low, middle, high = (np.array([value], np.float32) for value in ordered)
    assert _apart(low, high) == _apart(low, middle) + _apart(middle, high)


def test_the_ends_of_64_bits_do_not_overflow() -> None:
    """From the least to the greatest int64, and from minus to plus the largest double."""
    ends = np.iinfo(np.int64)
    assert _apart(np.array([ends.min]), np.array([ends.max])) == 2**64 - 1
    largest = np.finfo(np.float64).max
    assert _apart(np.array([-largest]), np.array([largest])) > 2**63


@pytest.mark.parametrize("kind", ["uint8", "int8", "uint16", "int32", "uint64", "float16", "float64", "bool"])
def test_every_type_has_distances(kind: str) -> None:
    """A single element of three differs, by one step."""
    one = np.array([0, 1, 1]).astype(kind)
    other = np.array([0, 1, 1]).astype(kind)
    other[0] = np.nextafter(other[0], other.dtype.type(1)) if other.dtype.kind == "f" else 1
    found = distance(numpy_helper.from_array(one), numpy_helper.from_array(other))
    assert (found.elements, found.differing) == (3, 1)
    # From zero to the smallest number there is one step.
    assert dict(found.histogram) == {"1": 1}


@pytest.mark.parametrize("kind", [TensorProto.INT4, TensorProto.UINT4, TensorProto.BFLOAT16, TensorProto.FLOAT8E4M3FN])
def test_short_types_have_distances(kind: int) -> None:
    """Those that numpy does not know itself."""
    one, other = (helper.make_tensor("t", kind, [2], values) for values in ([1, 2], [1, 4]))
    found = distance(one, other)
    assert (found.elements, found.differing) == (2, 1)
    assert found.largest > 1


SHORT_FLOATS = [
    TensorProto.FLOAT8E4M3FN,
    TensorProto.FLOAT8E4M3FNUZ,
    TensorProto.FLOAT8E5M2,
    TensorProto.FLOAT8E5M2FNUZ,
    TensorProto.FLOAT4E2M1,
]


@pytest.mark.parametrize("kind", SHORT_FLOATS)
def test_floats_of_a_byte_are_not_taken_for_whole_numbers(kind: int) -> None:
    """A half and one are apart, on both sides of zero, as far as in the type's own numbers; one and minus one twice."""

    def apart(one: float, other: float) -> int:
        return distance(*(helper.make_tensor("t", kind, [1], [value]) for value in (one, other))).largest

    assert apart(0.5, 1.0) == apart(-1.0, -0.5) > 0
    # Between zero and minus zero lies one step more, also where a type has no minus zero.
    assert apart(-1.0, 1.0) == 2 * apart(0.0, 1.0) + 1


def test_complex_numbers_are_two_numbers() -> None:
    """Each part counts."""
    found = distance(*(numpy_helper.from_array(np.array([value], np.complex64)) for value in (1 + 1j, 1 + 2j)))
    assert (found.elements, found.differing) == (2, 1)


def test_a_number_that_was_lost_has_no_distance() -> None:
    """It is counted by itself; where both are none, nothing differs."""
    one, other = (np.array(values, np.float32) for values in ([np.nan, np.nan, 1], [np.nan, 1, 1]))
    found = distance(numpy_helper.from_array(one), numpy_helper.from_array(other))
    assert (found.differing, found.largest, dict(found.histogram)) == (1, 0, {NOT_A_NUMBER: 1})


def test_the_histogram_counts_powers_of_two() -> None:
    """A distance stands under the power that it reaches."""
    one, other = np.zeros(6, np.int64), np.array([0, 1, 2, 3, 4, 2**53 + 1])
    found = distance(numpy_helper.from_array(one), numpy_helper.from_array(other))
    assert dict(found.histogram) == {"1": 1, "2": 2, "4": 1, str(2**53): 1}
