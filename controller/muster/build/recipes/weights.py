"""`format: weights`: int8 weights with a scale per output channel, which the runtime widens when it loads the model.

A scale is the channel's largest magnitude over 127, computed in float64 and rounded to float32; a weight is divided by
it in float64 and rounded to the nearest whole number, half to even. Element by element: one answer on every CPU.

Widening is written as Cast and Mul, not as DequantizeLinear: ONNX Runtime 1.31 turns the latter before a MatMul into
MatMulNBits, which rounds activations to int8 as well, and before a Conv it widens anew for every frame.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from muster.build.recipes.graphs import Weights, keep_nodes, layers, output_axis
from muster.kinds.errors import Refused

LEVELS = 127


def quantize_weights(model: onnx.ModelProto, operators: tuple[str, ...]) -> onnx.ModelProto:
    """A copy of the model. Raises `Refused` for one without weights in these operators."""
    quantized = onnx.ModelProto()
    quantized.CopyFrom(model)
    weights = Weights(quantized)
    axes: dict[str, int] = {}
    for node in layers(quantized, operators):
        axes.setdefault(node.input[1], output_axis(node, len(weights.shape(node.input[1]))))
    if not axes:
        raise Refused(f"the model has no weights in {', '.join(operators)}", "name the operators of the model's layers")
    widened = []
    for name, axis in axes.items():
        whole, scales = _whole(weights.get(name), axis)
        inputs = [f"{name}_quantized", f"{name}_scale"]
        quantized.graph.initializer.extend(
            numpy_helper.from_array(value, one) for one, value in zip(inputs, (whole, scales), strict=True)
        )
        widened += [
            helper.make_node("Cast", inputs[:1], [f"{name}_whole"], f"{name}_cast", to=TensorProto.FLOAT),
            helper.make_node("Mul", [f"{name}_whole", inputs[1]], [name], f"{name}_widen"),
        ]
    remaining = [tensor for tensor in quantized.graph.initializer if tensor.name not in axes]
    copies = [onnx.TensorProto.FromString(tensor.SerializeToString()) for tensor in remaining]
    del quantized.graph.initializer[:]
    quantized.graph.initializer.extend(copies)
    keep_nodes(quantized, [*widened, *quantized.graph.node])
    return quantized


def _whole(values: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """int8 values of the same shape, and one float32 scale per channel, which broadcasts over them."""
    others = tuple(index for index in range(values.ndim) if index != axis)
    largest = np.abs(values).max(axis=others, keepdims=True)
    with np.errstate(under="ignore"):
        scales = (largest / LEVELS).astype(np.float32)
    # A channel of zeros, or of numbers too small for any scale, has no scale of its own.
    scales[scales < np.finfo(np.float32).tiny] = 1.0
    whole = np.clip(np.rint(values / scales.astype(np.float64)), -LEVELS, LEVELS).astype(np.int8)
    return whole, scales
