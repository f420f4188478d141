"""Small graphs with named weights, for tests of one transformation."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from architectures import IR, OPSET
from muster.build.reference import Reference

Nodes = list[onnx.NodeProto]


def model_of(nodes: Nodes, tensors: dict[str, object], frame: tuple[int, ...], opset: int = OPSET) -> onnx.ModelProto:
    """A checked model from `x` to `y`; tensors of floats are float32."""
    initializers = []
    for name, value in tensors.items():
        array = np.asarray(value)
        initializers.append(numpy_helper.from_array(array.astype("f4") if array.dtype.kind == "f" else array, name))
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *frame])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=IR)
    inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    onnx.checker.check_model(inferred, full_check=True)
    return inferred


def drawn(*shape: int, seed: int = 5) -> np.ndarray:
    """Numbers from a normal distribution."""
    return np.random.Generator(np.random.PCG64(seed)).standard_normal(shape).astype(np.float32)


def scores(model: onnx.ModelProto, frames: np.ndarray) -> np.ndarray:
    """What the model answers, in float64."""
    return Reference(model.SerializeToString()).values(frames)["y"]


def tensor(model: onnx.ModelProto, name: str) -> np.ndarray:
    """One of its initializers."""
    return numpy_helper.to_array(next(one for one in model.graph.initializer if one.name == name))


def put(model: onnx.ModelProto, name: str, values: np.ndarray) -> onnx.ModelProto:
    """A copy with other values in one of its initializers."""
    changed = onnx.ModelProto.FromString(model.SerializeToString())
    for one in changed.graph.initializer:
        if one.name == name:
            one.CopyFrom(numpy_helper.from_array(values.astype(np.float32), name))
    return changed


def operators(model: onnx.ModelProto) -> list[str]:
    """Its operators in the order of the graph."""
    return [node.op_type for node in model.graph.node]
