"""`fuse: safe` computes the same with less, and leaves alone what it cannot tell."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper
from small_models import Nodes, drawn, model_of, operators, scores, tensor

from architectures import mobilenet
from muster.build.recipes.fusion import fuse
from muster.build.reference import Reference
from muster.kinds.errors import Refused

NORMAL = {"s": [2.0, -0.5], "b": [0.1, 0.2], "m": [0.3, -0.4], "v": [0.25, 4.0]}


def _convolution(*inputs: str) -> onnx.NodeProto:
    return helper.make_node("Conv", ["x", *inputs], ["c"], "conv")


def _normalization(output: str = "y") -> onnx.NodeProto:
    return helper.make_node("BatchNormalization", ["c", "s", "b", "m", "v"], [output], "bn", epsilon=0.5)


@pytest.mark.parametrize("biased", [True, False])
def test_a_normalization_goes_into_the_convolution_before_it(biased: bool) -> None:
    """With or without a bias of its own, to within the rounding of its weights."""
    tensors = {**NORMAL, "w": drawn(2, 3, 3, 3), **({"a": [0.7, -0.1]} if biased else {})}
    model = model_of([_convolution("w", *(["a"] if biased else [])), _normalization()], tensors, (3, 5, 5))
    fused = fuse(model)
    onnx.checker.check_model(fused, full_check=True)
    assert operators(fused) == ["Conv"]
    frames = drawn(4, 3, 5, 5, seed=6)
    assert np.allclose(scores(model, frames), scores(fused, frames), rtol=1e-6, atol=1e-6)


def test_weights_are_rounded_once() -> None:
    """Each folded weight is the float32 nearest to the exact product."""
    tensors = {**NORMAL, "w": drawn(2, 3, 1, 1)}
    fused = fuse(model_of([_convolution("w"), _normalization()], tensors, (3, 2, 2)))
    factor = np.array([2.0, -0.5]) / np.sqrt(np.array([0.25, 4.0]) + 0.5)
    expected = (tensors["w"].astype(np.float64) * factor.reshape(2, 1, 1, 1)).astype(np.float32)
    assert (tensor(fused, "w") == expected).all()


def _read_twice() -> Nodes:
    return [_convolution("w"), _normalization("n"), helper.make_node("Add", ["c", "n"], ["y"])]


def _weights_read_twice() -> Nodes:
    second = helper.make_node("Conv", ["x", "w"], ["d"])
    return [_convolution("w"), _normalization("n"), second, helper.make_node("Add", ["d", "n"], ["y"])]


@pytest.mark.parametrize("nodes", [_read_twice(), _weights_read_twice()], ids=["the result", "the weights"])
def test_what_others_read_stays(nodes: Nodes) -> None:
    """A convolution whose result or weights somebody else reads is not changed."""
    model = model_of(nodes, {**NORMAL, "w": drawn(2, 3, 1, 1)}, (3, 2, 2))
    assert operators(model) == operators(fuse(model))


def test_identity_and_idle_dropout_go() -> None:
    """Dropout that trains, or whose mask is read, is not idle."""
    nodes = [
        helper.make_node("Identity", ["x"], ["i"]),
        helper.make_node("Dropout", ["i"], ["d"]),
        helper.make_node("Relu", ["d"], ["r"]),
        helper.make_node("Dropout", ["r", "ratio", "training"], ["y"]),
    ]
    model = model_of(nodes, {"ratio": np.float32(0.5), "training": np.array(True)}, (3,))
    assert operators(fuse(model)) == ["Relu", "Dropout"]
    idle = model_of([*nodes[:2], helper.make_node("Relu", ["d"], ["y"])], {}, (3,))
    assert operators(fuse(idle)) == ["Relu"]


def test_weights_that_leave_float32_are_refused() -> None:
    """Rather than folded into infinity."""
    tensors = {**NORMAL, "s": [3e38, 1.0], "v": [0.0, 1.0], "w": 10 * np.ones((2, 3, 1, 1), np.float32)}
    with pytest.raises(Refused, match="leave the range of float32"):
        fuse(model_of([_convolution("w"), _normalization()], tensors, (3, 2, 2)))


def test_a_real_network_answers_the_same() -> None:
    """All eleven normalizations of the MobileNet-like network are folded."""
    architecture = mobilenet()
    fused = fuse(onnx.load_from_string(architecture.model))
    assert "BatchNormalization" not in operators(fused)
    frames = architecture.frames(3, 1) / np.float32(255)
    expected = Reference(architecture.model).scores(frames)
    assert np.abs(expected - Reference(fused.SerializeToString()).scores(frames)).max() < 1e-6
