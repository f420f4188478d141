"""Tensors and declared shapes: products that cannot overflow, and data as long as the shape says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import onnx
from onnx import TensorProto

from muster.build.onnx_safety.external import check_external
from muster.build.onnx_safety.finding import SafetyFinding, shown
from muster.build.onnx_safety.rules import Limits, Rules
from muster.build.onnx_safety.walking import Placed, scopes, tensors_of

_BITS: Final[Mapping[int, tuple[int, str]]] = {
    TensorProto.FLOAT: (32, "float_data"),
    TensorProto.UINT8: (8, "int32_data"),
    TensorProto.INT8: (8, "int32_data"),
    TensorProto.UINT16: (16, "int32_data"),
    TensorProto.INT16: (16, "int32_data"),
    TensorProto.INT32: (32, "int32_data"),
    TensorProto.INT64: (64, "int64_data"),
    TensorProto.BOOL: (8, "int32_data"),
    TensorProto.FLOAT16: (16, "int32_data"),
    TensorProto.DOUBLE: (64, "double_data"),
    TensorProto.UINT32: (32, "uint64_data"),
    TensorProto.UINT64: (64, "uint64_data"),
    TensorProto.COMPLEX64: (64, "float_data"),
    TensorProto.COMPLEX128: (128, "double_data"),
    TensorProto.BFLOAT16: (16, "int32_data"),
    TensorProto.FLOAT8E4M3FN: (8, "int32_data"),
    TensorProto.FLOAT8E4M3FNUZ: (8, "int32_data"),
    TensorProto.FLOAT8E5M2: (8, "int32_data"),
    TensorProto.FLOAT8E5M2FNUZ: (8, "int32_data"),
    TensorProto.UINT4: (4, "int32_data"),
    TensorProto.INT4: (4, "int32_data"),
    TensorProto.FLOAT4E2M1: (4, "int32_data"),
}
"""Bits of one element, and the list that holds elements which are not raw. What onnx adds later is refused by name."""

_TYPED: Final = ("float_data", "int32_data", "string_data", "int64_data", "double_data", "uint64_data")
_AGAIN: Final = "export the model again: its file is damaged or made by hand"


def elements_of(dimensions: Iterable[int], limit: int) -> int | None:
    """The product, exact; None if a dimension is negative, or a product on the way is above `limit`.

    Zeros are left out on the way: a reader that multiplies in 64 bits overflows before it meets the zero.
    Worked example: [2^32, 2^32, 0] is None and not 0.
    """
    product, empty = 1, False
    for dimension in dimensions:
        if dimension < 0:
            return None
        empty = empty or dimension == 0
        product *= dimension or 1
        if product > limit:
            return None
    return 0 if empty else product


def check_tensors(model: onnx.ModelProto, rules: Rules) -> Iterator[SafetyFinding]:
    """Every tensor of the model, then all of them together, then the shapes that the graph declares."""
    total = 0
    for scope in scopes(model):
        for place, tensor in tensors_of(scope):
            yield from _check_tensor(place, tensor, rules)
            total += elements_of(tensor.dims, rules.limits.elements) or 0
        yield from _check_declared(scope, rules.limits)
    if total > rules.limits.parameters:
        yield SafetyFinding(
            "parameters",
            "model",
            f"the model has {total} parameters, more than {rules.limits.parameters}",
            "export a smaller model",
        )


def _check_tensor(place: str, tensor: onnx.TensorProto, rules: Rules) -> Iterator[SafetyFinding]:
    if tensor.data_type not in _BITS and not (rules.texts and tensor.data_type == TensorProto.STRING):
        yield SafetyFinding(
            "element-type",
            place,
            f"{place} holds no numbers, or numbers of an unknown type: element type {tensor.data_type}",
            "export with numeric tensors only; texts belong into the label map",
        )
        return
    count = elements_of(tensor.dims, rules.limits.elements)
    if count is None or len(tensor.dims) > rules.limits.rank or tensor.HasField("segment"):
        yield _shape_finding(place, tensor.dims, rules.limits)
        return
    if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
        yield from check_external(place, tensor, _size(tensor, count), rules.external)
    elif (found := _mislaid(tensor, count)) is not None:
        yield SafetyFinding(
            "data-length", place, f"{place} has the shape {list(tensor.dims)} and holds {found}", _AGAIN
        )


def _shape_finding(place: str, dimensions: Iterable[int], limits: Limits) -> SafetyFinding:
    shape = list(dimensions)
    text = str(shape[: limits.rank])
    return SafetyFinding(
        "shape",
        place,
        f"{place} has the shape {text}: a negative dimension, more than {limits.rank} of them, "
        f"or more than {limits.elements} elements or parameters",
        _AGAIN,
    )


def _size(tensor: onnx.TensorProto, count: int) -> int:
    """Bytes of raw data; elements of less than a byte are packed, the last byte filled up."""
    bits = _BITS.get(tensor.data_type, (8, ""))[0]
    return (count * bits + 7) // 8


def _mislaid(tensor: onnx.TensorProto, count: int) -> str | None:
    filled = [name for name in _TYPED if len(getattr(tensor, name))]
    if tensor.HasField("raw_data"):
        if filled or tensor.data_type == TensorProto.STRING:
            return "its data twice"
        size = _size(tensor, count)
        return None if len(tensor.raw_data) == size else f"{len(tensor.raw_data)} bytes of data, not {size}"
    if tensor.data_type == TensorProto.STRING:
        wanted, own = count, "string_data"
    else:
        bits, own = _BITS[tensor.data_type]
        wanted = _listed(tensor.data_type, bits, count)
    if filled not in ([], [own]):
        return f"its data in {', '.join(filled)}, not in {own}"
    found = len(getattr(tensor, own))
    return None if found == wanted else f"{found} values of data, not {wanted}"


def _listed(data_type: int, bits: int, count: int) -> int:
    """Values in the typed list: complex numbers take two, and two elements of four bits share one."""
    if data_type in (TensorProto.COMPLEX64, TensorProto.COMPLEX128):
        return 2 * count
    return (count + 1) // 2 if bits == 4 else count


def _check_declared(scope: Placed, limits: Limits) -> Iterator[SafetyFinding]:
    if scope.graph is None:
        return
    for value in (*scope.graph.input, *scope.graph.output, *scope.graph.value_info):
        if not value.type.HasField("tensor_type"):
            continue
        declared = value.type.tensor_type.shape.dim
        sizes = [dimension.dim_value for dimension in declared if dimension.HasField("dim_value")]
        if len(declared) > limits.rank or elements_of(sizes, limits.elements) is None:
            yield _shape_finding(f"the value {shown(value.name)}", sizes, limits)
