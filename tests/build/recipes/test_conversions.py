"""Weights only, float16 and dynamic: what they keep of the weights, and what they refuse."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from small_models import drawn, model_of, operators, scores, tensor

from architectures import SMALL
from muster.build.onnx_runtime import Session
from muster.build.onnx_tools import quantize_dynamic, to_float16
from muster.build.recipes.weights import quantize_weights
from muster.build.reference import Reference
from muster.kinds.errors import Refused
from muster.kinds.recipe import DynamicStage

LAYERS = ("Conv", "Gemm", "MatMul")
GEMM = helper.make_node("Gemm", ["x", "w"], ["y"], transB=1)
DYNAMIC = DynamicStage.model_validate(
    {"format": "dynamic", "operators": ["Conv", "MatMul"], "perChannel": False, "reduceRange": True}
)


def test_each_channel_has_its_own_scale() -> None:
    """A weight comes back to within half a step of its channel; a channel of zeros stays zeros."""
    weights = drawn(4, 6) * np.array([[1.0], [1e-3], [0.0], [1e4]], np.float32)
    quantized = quantize_weights(model_of([GEMM], {"w": weights}, (6,)), LAYERS)
    onnx.checker.check_model(quantized, full_check=True)
    scales = tensor(quantized, "w_scale").astype(np.float64)
    whole = tensor(quantized, "w_quantized")
    assert whole.dtype == np.int8
    assert whole.min() >= -127
    assert (np.abs(whole * scales - weights) <= scales * 0.5000001).all()
    assert (np.abs(whole).max(axis=1) == [127, 127, 0, 127]).all()


@pytest.mark.parametrize("name", sorted(set(SMALL) - {"densenet121", "inception-v2"}))
def test_the_runtime_computes_what_the_reference_says(name: str) -> None:
    """Scales lie on the right axis of every kind of layer, and activations stay float32."""
    architecture = SMALL[name]()
    quantized = quantize_weights(onnx.load_from_string(architecture.model), LAYERS)
    data = quantized.SerializeToString(deterministic=True)
    assert len(data) < len(architecture.model)
    frames = architecture.frames(2, 1) / np.float32(255)
    found = Session(data).run("frame", frames)
    assert np.abs(found - Reference(data).scores(frames)).max() < 1e-5


def test_a_recipe_that_meets_no_weights_is_refused() -> None:
    """It would do nothing and be called quantized."""
    with pytest.raises(Refused, match="no weights in Conv"):
        quantize_weights(model_of([GEMM], {"w": drawn(4, 6)}, (6,)), ("Conv",))


def test_float16_lies_between_float32_ends() -> None:
    """Nodes come in an order that a checker takes, and weights are those nearest in float16."""
    weights = drawn(4, 6)
    model = model_of([helper.make_node("Relu", ["x"], ["r"]), helper.make_node("Gemm", ["r", "w"], ["y"], transB=1)],
                     {"w": weights}, (6,))  # fmt: skip
    converted = onnx.load_from_string(to_float16(model.SerializeToString()))
    onnx.checker.check_model(converted, full_check=True)
    assert operators(converted) == ["Cast", "Relu", "Gemm", "Cast"]
    assert (tensor(converted, "w") == weights.astype(np.float16)).all()
    ends = [value.type.tensor_type.elem_type for value in (*converted.graph.input, *converted.graph.output)]
    assert ends == [TensorProto.FLOAT] * 2


def test_the_reference_sees_float16_weights_in_float64() -> None:
    """What it answers is exact but for the weights' rounding: no sum is taken in float16."""
    weights = drawn(3, 2_000)
    model = model_of([GEMM], {"w": weights}, (2_000,))
    frames = drawn(2, 2_000, seed=8)
    found = scores(onnx.load_from_string(to_float16(model.SerializeToString())), frames)
    expected = frames.astype(np.float64) @ weights.astype(np.float16).astype(np.float64).T
    assert np.allclose(expected, found, rtol=1e-12, atol=1e-12)


def test_weights_beyond_float16_are_refused() -> None:
    """The converter would clip them in silence."""
    model = model_of([GEMM], {"w": [[70_000.0, 1.0]]}, (2,))
    with pytest.raises(Refused, match="weights w leave the range of float16"):
        to_float16(model.SerializeToString())


@pytest.mark.parametrize("per_channel", [True, False])
def test_dynamic_takes_a_gemm_as_a_matmul(per_channel: bool) -> None:
    """With a scale per tensor or per channel; a recipe that meets no weights is refused."""
    model = model_of([GEMM], {"w": drawn(4, 6)}, (6,))
    model.metadata_props.add(key="onnx.quant.pre_process", value="onnxruntime.quant")
    stage = DYNAMIC.model_copy(update={"per_channel": per_channel})
    written = onnx.load_from_string(quantize_dynamic(model.SerializeToString(), stage))
    frames = drawn(1, 6, seed=7)
    assert np.abs(scores(written, frames) - scores(model, frames)).max() < 0.1
    with pytest.raises(Refused, match="no weights in Conv"):
        quantize_dynamic(model.SerializeToString(), DYNAMIC.model_copy(update={"operators": ("Conv",)}))


def test_dynamic_ranges_are_found_when_the_model_runs() -> None:
    """int8 weights, whole-number arithmetic, and nothing outside ONNX's own operators."""
    model = onnx.load_from_string(SMALL["transformer"]().model)
    model.metadata_props.add(key="onnx.quant.pre_process", value="onnxruntime.quant")
    quantized = onnx.load_from_string(quantize_dynamic(model.SerializeToString(), DYNAMIC))
    assert {"DynamicQuantizeLinear", "MatMulInteger"} <= set(operators(quantized))
    assert {node.domain for node in quantized.graph.node} <= {""}
    assert TensorProto.INT8 in {one.data_type for one in quantized.graph.initializer}
