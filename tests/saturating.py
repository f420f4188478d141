"""An int8 model that saturates on AVX2 without VNNI, beside its source that does not.

It reads eight pixels and adds them up twice. Bright pixels make the first sum by far the larger one; but AVX2 adds two
products of eight bits in sixteen and stops at 32,767, so that there the second wins. No build shows that on a CPU that
has VNNI.
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper

from meter_example import changed, release
from muster.artifacts.tensors import dump_tensors
from muster.build.measuring.subject import Candidate, Subject
from muster.build.onnx_safety.admit import admit
from muster.kinds.release import Inference

PIXELS, FRAMES = 8, 64
VNNI = frozenset({"avx512_vnni", "avx_vnni"})
"""A CPU with one of these does not saturate."""
INFERENCE = Inference.model_validate(
    {
        "input": {"name": "x", "shape": [PIXELS], "normalization": {"kind": "scale", "divisor": "255"}},
        "output": {"name": "y", "labels": ["bright", "dark"]},
        "thresholds": {"confidence": "0%", "minConfident": "0%"},
    }
)


def model(*, quantized: bool) -> bytes:
    """Sums of the pixels with the weights 127, 127, … and 100, 28, … plus a bias for the second one.

    In steps of 1/255: two bright pixels are worth 2 · 255 · 127 = 64,770 to the first, which 16 bits cut to 32,767,
    and 255 · 128 = 32,640 to the second, which is whole.
    """
    weights = np.array([[127, 100], [127, 28]] * (PIXELS // 2), np.int8)
    scale, bias = np.float32(1 / 127), np.array([0, 10_000 / 255 / 127 * PIXELS / 2], np.float32)
    tensors = [numpy_helper.from_array(bias, "bias")]
    nodes = []
    if quantized:
        constants = {"pixel": np.float32(1 / 255), "dark": np.uint8(0), "weight": scale, "middle": np.int8(0)}
        tensors += [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
        tensors.append(numpy_helper.from_array(weights, "stored"))
        nodes += [
            helper.make_node("QuantizeLinear", ["x", "pixel", "dark"], ["steps"]),
            helper.make_node("DequantizeLinear", ["steps", "pixel", "dark"], ["seen"]),
            helper.make_node("DequantizeLinear", ["stored", "weight", "middle"], ["weights"]),
        ]
    else:
        tensors.append(numpy_helper.from_array(weights.astype(np.float32) * scale, "weights"))
        nodes.append(helper.make_node("Identity", ["x"], ["seen"]))
    nodes.append(helper.make_node("MatMul", ["seen", "weights"], ["sums"]))
    if quantized:
        # Otherwise the runtime makes one multiplication in float32 of the product and the bias.
        tensors.append(numpy_helper.from_array(np.asarray(np.float32(PIXELS / 255)), "sum"))
        nodes.append(helper.make_node("QuantizeLinear", ["sums", "sum", "dark"], ["stepped"]))
        nodes.append(helper.make_node("DequantizeLinear", ["stepped", "sum", "dark"], ["total"]))
    nodes.append(helper.make_node("Add", ["total" if quantized else "sums", "bias"], ["y"]))
    ends = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", size])]
        for name, size in (("x", PIXELS), ("y", 2))
    ]
    graph = helper.make_graph(nodes, "sums", *ends, tensors)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    checker.check_model(made)
    return made.SerializeToString()


def saturating_subject() -> Subject:
    """The int8 model beside its source, on frames of which the first half is bright."""
    frames = np.repeat(np.array([255, 60], np.uint8), FRAMES // 2)[:, None].repeat(PIXELS, axis=1)
    labels = np.repeat(np.array([0, 1], np.int64), FRAMES // 2)
    declared = changed(release("1.2.0"), inference=INFERENCE)
    pins = (("artifact", declared.spec.artifact.digest, True), ("source", declared.spec.source.digest, False))
    candidates = tuple(
        Candidate(role, digest, 1, admit(model(quantized=quantized)), INFERENCE) for role, digest, quantized in pins
    )
    snapshot = dump_tensors({"frames": frames, "labels": labels})
    return Subject(
        release=declared,
        candidates=candidates,
        bundle=b"",
        golden=(b"", b""),
        evaluation=snapshot,
        calibration=snapshot,
        note="there is none",
    )
