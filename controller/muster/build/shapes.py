"""Shapes and costs read from an ONNX graph: nothing is computed with the tensors themselves."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import onnx
from onnx import helper

from muster.build.complaints import first_line
from muster.kinds.errors import Refused

if TYPE_CHECKING:
    from muster.kinds.release import Inference

Shape = tuple[int, ...]

MAX_ELEMENTS: Final = 2**26
MAX_OPERATIONS: Final = 2**36
STATIC_SHAPES: Final = "export with static shapes; only the first axis, which counts frames, is free"


@dataclass(frozen=True)
class Cost:
    """What one frame costs.

    `operations`: multiply-accumulates of Conv, Gemm and MatMul; `bytes`: initializers once, and each tensor between
    operators written once and read once. Tensors that only lead into or come out of a quantization step are left
    out, since a runtime fuses them.
    """

    operators: Mapping[str, int]
    parameters: int
    operations: int
    bytes: int


def infer_shapes(model: onnx.ModelProto, *, check_type: bool) -> onnx.ModelProto:
    """A copy of the model with the shape of every tensor that can be inferred. Raises `Refused`."""
    try:
        return onnx.shape_inference.infer_shapes(model, check_type=check_type, strict_mode=True)
    except Exception as error:  # a C++ exception of no known base
        raise Refused(
            f"shapes cannot be inferred: {first_line(error)}",
            "export with shapes that fit each other from input to output",
        ) from error


def tensor_shapes(model: onnx.ModelProto) -> dict[str, tuple[Shape, int]]:
    """Shape for one frame, and bytes per element, of every tensor. Raises `Refused` for a shape left open.

    The first axis may be symbolic: it counts frames, and is one here.
    """
    inferred = infer_shapes(model, check_type=False)
    found: dict[str, tuple[Shape, int]] = {
        tensor.name: (tuple(tensor.dims), _width(tensor.data_type)) for tensor in inferred.graph.initializer
    }
    for value in [*inferred.graph.input, *inferred.graph.value_info, *inferred.graph.output]:
        kind = value.type.tensor_type
        found.setdefault(value.name, (_shape(value.name, kind.shape), _width(kind.elem_type)))
    missing = {name for node in inferred.graph.node for name in (*node.input, *node.output) if name} - set(found)
    if missing:
        raise Refused(f"no shape can be inferred for {', '.join(sorted(missing)[:5])}", STATIC_SHAPES)
    return found


def _shape(name: str, shape: onnx.TensorShapeProto) -> Shape:
    dimensions = list(shape.dim)
    sizes = [dimension.dim_value if dimension.HasField("dim_value") else None for dimension in dimensions]
    if sizes and sizes[0] is None:
        sizes[0] = 1
    known = [size for size in sizes if size is not None]
    if len(known) != len(sizes) or min(known, default=1) < 0 or math.prod(known) > MAX_ELEMENTS:
        raise Refused(f"tensor {name} has the shape {sizes}", STATIC_SHAPES)
    return tuple(known)


def check_contract(model: onnx.ModelProto, inference: Inference) -> None:
    """The model's input and output must be those of the inference config. Raises `Refused`."""
    initial = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in initial]
    shapes = tensor_shapes(model)
    wanted = (inference.input.name, inference.output.name)
    names = tuple(value.name for value in (*inputs, *model.graph.output))
    if names != wanted:
        raise Refused(
            f"the model's input and output are {names}, the inference config says {wanted}",
            "write the model's names into input.name and output.name; it has one input and one output",
        )
    expected = {wanted[0]: (1, *inference.input.shape), wanted[1]: (1, len(inference.output.labels))}
    for name, shape in expected.items():
        if shapes[name][0] != shape:
            raise Refused(
                f"{name} has the shape {shapes[name][0][1:]}, the inference config says {shape[1:]}",
                "correct input.shape or output.labels in the inference config, or export the model for them",
            )
    first = inputs[0].type.tensor_type
    if first.elem_type != onnx.TensorProto.FLOAT or first.shape.dim[0].HasField("dim_value"):
        raise Refused("the model's input must be float32 with a free first axis", "export with a dynamic batch axis")
    if cost_of(model).operations > MAX_OPERATIONS:
        raise Refused(
            f"the model takes more than {MAX_OPERATIONS} multiply-accumulates per frame",
            "export a smaller model, or one for smaller frames",
        )


def cost_of(model: onnx.ModelProto) -> Cost:
    """The cost of one frame. Raises `Refused` for a shape left open."""
    shapes = tensor_shapes(model)
    initial = {tensor.name for tensor in model.graph.initializer}
    size = {name: math.prod(shape) * width for name, (shape, width) in shapes.items()}
    fused = _fused(model)
    between = {name for node in model.graph.node for name in (*node.input, *node.output) if name} - initial - fused
    return Cost(
        operators=dict(sorted(Counter(node.op_type for node in model.graph.node).items())),
        parameters=sum(math.prod(tensor.dims) for tensor in model.graph.initializer),
        operations=sum(_operations(node, shapes) for node in model.graph.node),
        bytes=sum(size[name] for name in initial) + 2 * sum(size[name] for name in between),
    )


def _fused(model: onnx.ModelProto) -> set[str]:
    readers: dict[str, set[str]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, set()).add(node.op_type)
    fused = {name for name, operators in readers.items() if operators == {"QuantizeLinear"}}
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear":
            fused.update(node.output)
    return fused - {value.name for value in model.graph.input}


def _operations(node: onnx.NodeProto, shapes: Mapping[str, tuple[Shape, int]]) -> int:
    out = math.prod(shapes[node.output[0]][0])
    if node.op_type == "Conv":
        return out * math.prod(shapes[node.input[1]][0][1:])
    if node.op_type == "MatMul":
        return out * shapes[node.input[0]][0][-1]
    if node.op_type == "Gemm":
        transposed = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
        return out * shapes[node.input[0]][0][0 if transposed else -1]
    return 0


def _width(element: int) -> int:
    try:
        return int(helper.tensor_dtype_to_np_dtype(element).itemsize)
    except KeyError as error:
        raise Refused("a tensor of the model has no element type", "export it with a type for every tensor") from error
