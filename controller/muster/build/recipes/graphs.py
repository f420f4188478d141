"""Reading and changing the weights of a graph by name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, numpy_helper

from muster.kinds.errors import Refused

Float64 = npt.NDArray[np.float64]

WEIGHTED = ("Conv", "Gemm", "MatMul")


class Weights:
    """The float32 initializers of a model, as float64; what is put is rounded to float32, once."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._tensors = {tensor.name: tensor for tensor in model.graph.initializer}
        self._readers: dict[str, int] = {}
        for node in model.graph.node:
            for name in node.input:
                self._readers[name] = self._readers.get(name, 0) + 1
        for value in model.graph.output:
            self._readers[value.name] = self._readers.get(value.name, 0) + 1

    def holds(self, name: str) -> bool:
        """True if `name` is an initializer of float32."""
        return name in self._tensors and self._tensors[name].data_type == TensorProto.FLOAT

    def own(self, name: str) -> bool:
        """True if `name` is such an initializer and is read once."""
        return self.holds(name) and self._readers.get(name) == 1

    def shape(self, name: str) -> tuple[int, ...]:
        """Its shape."""
        return tuple(self._tensors[name].dims)

    def get(self, name: str) -> Float64:
        """Its values. Raises `Refused` unless all are finite."""
        values = numpy_helper.to_array(self._tensors[name]).astype(np.float64)
        if not np.isfinite(values).all():
            raise Refused(f"weights {name} are not finite", "export a model whose training did not diverge")
        return values

    def put(self, name: str, values: Float64) -> None:
        """Replace it by `values` of any shape. Raises `Refused` unless float32 holds them."""
        with np.errstate(over="ignore"):
            narrow = np.ascontiguousarray(values, dtype=np.float32)
        if not np.isfinite(narrow).all():
            raise Refused(f"weights {name} leave the range of float32", "leave that stage out of the recipe")
        self._tensors[name].CopyFrom(numpy_helper.from_array(narrow, name))


def attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    """An attribute's value, or `default`."""
    found = next((item for item in node.attribute if item.name == name), None)
    return default if found is None else onnx.helper.get_attribute_value(found)


def layers(model: onnx.ModelProto, operators: tuple[str, ...] = WEIGHTED) -> Iterator[onnx.NodeProto]:
    """Nodes whose second input is a weight tensor of two dimensions or more, in the order of the graph."""
    weights = Weights(model)
    for node in model.graph.node:
        name = node.input[1] if node.op_type in operators and len(node.input) > 1 else ""
        if weights.holds(name) and len(weights.shape(name)) > 1:
            yield node


def output_axis(node: onnx.NodeProto, rank: int) -> int:
    """The axis of a layer's weights that counts its output channels."""
    if node.op_type == "Conv":
        return 0
    return 0 if node.op_type == "Gemm" and attribute(node, "transB", 0) else rank - 1


def keep_nodes(model: onnx.ModelProto, kept: list[onnx.NodeProto]) -> None:
    """Leave these nodes, in this order, and the initializers that they read."""
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in kept]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    read = {name for node in nodes for name in node.input} | {value.name for value in model.graph.output}
    tensors = [tensor for tensor in model.graph.initializer if tensor.name in read]
    copies = [onnx.TensorProto.FromString(tensor.SerializeToString()) for tensor in tensors]
    del model.graph.initializer[:]
    model.graph.initializer.extend(copies)
    del model.graph.value_info[:]
