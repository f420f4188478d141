"""How far two arrays are apart, element by element, in units that need no tolerance.

Floating point: units in the last place, that is how many numbers of the type lie between (Goldberg 1991; zero and
minus zero count as neighbours). Whole numbers: the difference. Bits are put in order and subtracted, so that nothing
overflows and nothing is rounded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

_FLOATS: Final = frozenset(
    (
        TensorProto.FLOAT,
        TensorProto.DOUBLE,
        TensorProto.FLOAT16,
        TensorProto.BFLOAT16,
        TensorProto.COMPLEX64,
        TensorProto.COMPLEX128,
        TensorProto.FLOAT8E4M3FN,
        TensorProto.FLOAT8E4M3FNUZ,
        TensorProto.FLOAT8E5M2,
        TensorProto.FLOAT8E5M2FNUZ,
        TensorProto.FLOAT4E2M1,
    )
)
_HALF_BYTE: Final = "float4_e2m1fn"
"""The one type of ml_dtypes that is compared by its bits and fills no byte."""
_PARTS: Final[Mapping[int, type[np.floating[Any]]]] = {
    TensorProto.COMPLEX64: np.float32,
    TensorProto.COMPLEX128: np.float64,
}
NOT_A_NUMBER: Final = "not a number"


@dataclass(frozen=True)
class Distance:
    """`histogram`: how many elements differ, by the power of two that their distance reaches: 1, 2, 4, 8 ...

    A distance of 5 counts under 4. Elements that are a number on one side only count under `NOT_A_NUMBER`.
    """

    elements: int
    differing: int
    largest: int
    histogram: Mapping[str, int]
    unit: str


def distance(first: onnx.TensorProto, second: onnx.TensorProto) -> Distance:
    """Of two tensors of one type and shape, neither of them texts."""
    floating = first.data_type in _FLOATS
    one, other = _array(first), _array(second)
    if floating:
        neither = np.isnan(one) & np.isnan(other)
        lost = np.isnan(one) ^ np.isnan(other)
    else:
        neither = lost = np.zeros(one.shape, dtype=bool)
    left, right = _ordered(one), _ordered(other)
    apart = np.where(left > right, left - right, right - left)
    apart[neither | lost] = 0
    return Distance(
        elements=int(one.size),
        differing=int(np.count_nonzero(apart)) + int(lost.sum()),
        largest=int(apart.max(initial=0)),
        histogram=_histogram(apart, int(lost.sum())),
        unit="ULP" if floating else "steps",
    )


def distance_of_floats(first: list[float], second: list[float]) -> Distance:
    """Of two lists of float32 bounds."""
    return distance(*(numpy_helper.from_array(np.asarray(values, dtype=np.float32)) for values in (first, second)))


def _array(tensor: onnx.TensorProto) -> np.ndarray[Any, Any]:
    array = np.ravel(numpy_helper.to_array(tensor))
    part = _PARTS.get(tensor.data_type)
    if part is not None:
        return array.view(part)
    if array.dtype.kind in "iufb":
        return array.astype(np.uint8) if array.dtype == bool else array
    # The short types of ml_dtypes: those with a sign and an exponent keep their bits, integers become wider.
    return array if tensor.data_type in _FLOATS else array.astype(np.float32).astype(np.int64)


def _ordered(array: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.uint64]]:
    width = 4 if array.dtype.name == _HALF_BYTE else array.dtype.itemsize * 8
    bits = array.view(f"u{array.dtype.itemsize}").astype(np.uint64)
    top = np.uint64(1) << np.uint64(width - 1)
    if array.dtype.kind == "u":
        return bits
    if array.dtype.kind == "i":
        return bits ^ top
    # Below zero a float's bits grow as it falls: they are turned round, and minus zero comes just below zero.
    magnitude = bits & (top - np.uint64(1))
    return np.where(bits & top, top - magnitude - np.uint64(1), bits | top)


def _histogram(apart: np.ndarray[Any, Any], lost: int) -> dict[str, int]:
    found = apart[apart > 0]
    # Exact where a logarithm in float64 is not: frexp of 2^53 + 1 is that of 2^53.
    powers = np.zeros(found.shape, dtype=np.int64)
    left = found.copy()
    for shift in (32, 16, 8, 4, 2, 1):
        high = left >> np.uint64(shift)
        powers += np.where(high > 0, shift, 0)
        left = np.where(high > 0, high, left)
    values, counts = np.unique(powers, return_counts=True)
    histogram = {str(2 ** int(value)): int(count) for value, count in zip(values, counts, strict=True)}
    return {**histogram, NOT_A_NUMBER: lost} if lost else histogram
