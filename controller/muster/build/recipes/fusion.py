"""`fuse: safe`: what changes no answer beyond rounding, and depends on no CPU.

Batch normalization is folded into the convolution that it alone reads: w' = w·s/√(v+ε), b' = (b-m)·s/√(v+ε) + β, each
weight by itself in float64 and rounded to float32 once. Identity, and Dropout at inference, are left out. The runtime's
own fusions are not used: saved at "basic" they run kernels of the CPU to fold constants, at "all" they are layouts
for it.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper

from muster.build.recipes.graphs import Weights, attribute, keep_nodes


def fuse(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of the model with less to compute."""
    fused = onnx.ModelProto()
    fused.CopyFrom(model)
    _drop_idle(fused)
    _fold_normalization(fused)
    return fused


def _drop_idle(model: onnx.ModelProto) -> None:
    outputs = {value.name for value in model.graph.output}
    instead: dict[str, str] = {}
    kept = []
    for node in model.graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = instead.get(name, name)
        if _idle(node, model) and node.output[0] not in outputs:
            instead[node.output[0]] = node.input[0]
        else:
            kept.append(node)
    keep_nodes(model, kept)


def _idle(node: onnx.NodeProto, model: onnx.ModelProto) -> bool:
    if node.op_type == "Identity":
        return True
    if node.op_type != "Dropout" or (len(node.output) > 1 and _is_read(model, node.output[1])):
        return False
    if len(node.input) < 3 or not node.input[2]:
        return True
    training = next((tensor for tensor in model.graph.initializer if tensor.name == node.input[2]), None)
    return training is not None and not numpy_helper.to_array(training).any()


def _is_read(model: onnx.ModelProto, name: str) -> bool:
    return any(name in node.input for node in model.graph.node) or any(name == one.name for one in model.graph.output)


def _fold_normalization(model: onnx.ModelProto) -> None:
    weights = Weights(model)
    outputs = {value.name for value in model.graph.output}
    made = {node.output[0]: node for node in model.graph.node if node.op_type == "Conv"}
    reads: dict[str, int] = {}
    for node in model.graph.node:
        for name in node.input:
            reads[name] = reads.get(name, 0) + 1
    gone: set[str] = set()
    for node in model.graph.node:
        before = made.get(node.input[0]) if node.op_type == "BatchNormalization" else None
        alone = before is not None and reads[node.input[0]] == 1 and node.input[0] not in outputs
        if before is not None and alone and _foldable(node, before, weights):
            _fold(node, before, weights)
            gone.add(node.name + "\0" + node.output[0])
    keep_nodes(model, [node for node in model.graph.node if node.name + "\0" + node.output[0] not in gone])


def _foldable(node: onnx.NodeProto, before: onnx.NodeProto, weights: Weights) -> bool:
    biased = len(before.input) > 2 and before.input[2]
    return (
        not attribute(node, "training_mode", 0)
        and len(node.output) == 1
        and all(weights.holds(name) for name in node.input[1:5])
        and weights.own(before.input[1])
        and (not biased or weights.own(before.input[2]))
        and (bool(biased) or weights.own(node.input[2]))
    )


def _fold(node: onnx.NodeProto, before: onnx.NodeProto, weights: Weights) -> None:
    scale, shift, mean, variance = (weights.get(name) for name in node.input[1:5])
    factor = scale / np.sqrt(variance + np.float64(attribute(node, "epsilon", np.float32(1e-5))))
    kernel = weights.get(before.input[1])
    weights.put(before.input[1], kernel * factor.reshape(-1, *[1] * (kernel.ndim - 1)))
    biased = len(before.input) > 2 and bool(before.input[2])
    # Without a bias of its own the convolution takes over the tensor that held the shift.
    bias = before.input[2] if biased else node.input[2]
    weights.put(bias, ((weights.get(bias) if biased else 0.0) - mean) * factor + shift)
    if not biased:
        del before.input[2:]
        before.input.append(bias)
    before.output[0] = node.output[0]
