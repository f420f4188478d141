"""The trained integers as an ONNX model: Conv, Relu, MaxPool, Flatten, Gemm, Softmax; opset and IR version pinned."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper

from training.meter_reader.exact import CLASSES, SIDE, Trained

OPSET, IR = 17, 8
INPUT, OUTPUT = "frame", "probabilities"


def to_onnx(trained: Trained) -> bytes:
    """The model's bytes: input `frame` float32 [N, 1, 8, 8] in 0..1, output `probabilities` float32 [N, 10]."""
    filters = len(trained.kernels)
    initializers = [
        _exact("kernels", trained.kernels.reshape(filters, 1, 3, 3), 0),
        _exact("weights", trained.weights, trained.exponent),
        _exact("bias", trained.bias, trained.exponent),
    ]
    nodes = [
        helper.make_node("Conv", [INPUT, "kernels"], ["edges"], "conv", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["edges"], ["rising"], "relu"),
        helper.make_node("MaxPool", ["rising"], ["pooled"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["pooled"], ["features"], "flatten", axis=1),
        helper.make_node("Gemm", ["features", "weights", "bias"], ["scores"], "read_out", transB=1),
        helper.make_node("Softmax", ["scores"], [OUTPUT], "softmax", axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "meter_reader",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["N", 1, SIDE, SIDE])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["N", CLASSES])],
        initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)
    checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def _exact(name: str, integers: np.ndarray, exponent: int) -> TensorProto:
    """Integers * 2**-exponent as float32, which must hold every one of them exactly."""
    values = np.ldexp(integers.astype(np.float32), -exponent)
    if not np.array_equal(np.ldexp(values.astype(np.float64), exponent), integers):
        raise ArithmeticError(f"float32 does not hold {name} exactly")
    return numpy_helper.from_array(values, name)
