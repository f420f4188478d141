"""The reference's own operators say what the runtime says, to float32, for every attribute that they take."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from onnx import helper
from small_models import drawn, model_of, scores

from muster.build.onnx_runtime import Session
from muster.build.reference import Reference
from muster.kinds.errors import Refused

FRAMES = drawn(2, 3, 9, 11)
POOLS: dict[str, dict[str, Any]] = {
    "plain": {"kernel_shape": [3, 3]},
    "strides": {"kernel_shape": [2, 3], "strides": [2, 1]},
    "unequal sides": {"kernel_shape": [3, 4], "pads": [0, 1, 2, 3], "strides": [2, 2]},
    "same, upper": {"kernel_shape": [2, 4], "auto_pad": "SAME_UPPER", "strides": [2, 3]},
    "same, lower": {"kernel_shape": [2, 4], "auto_pad": "SAME_LOWER", "strides": [2, 3]},
    "valid": {"kernel_shape": [4, 4], "auto_pad": "VALID", "strides": [3, 3]},
    "rounding up to the same": {"kernel_shape": [3, 3], "ceil_mode": 1, "strides": [2, 2]},
}
AVERAGES = {**POOLS, "padding counts": {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1}}
MAXIMA = {**POOLS, "dilations": {"kernel_shape": [3, 2], "dilations": [2, 3], "pads": [1, 0, 1, 1]}}
CASES = [("AveragePool", *item) for item in AVERAGES.items()] + [("MaxPool", *item) for item in MAXIMA.items()]


@pytest.mark.parametrize(("operator", "name", "attributes"), CASES, ids=[f"{one[0]}, {one[1]}" for one in CASES])
def test_pools(operator: str, name: str, attributes: dict[str, Any]) -> None:
    """Windows, padding and what it counts for."""
    model = model_of([helper.make_node(operator, ["x"], ["y"], **attributes)], {}, FRAMES.shape[1:])
    expected = Session(model.SerializeToString()).run("x", FRAMES)
    found = scores(model, FRAMES)
    assert expected.shape == found.shape, name
    assert np.abs(expected - found).max() < 1e-6, name


@pytest.mark.parametrize("operator", ["AveragePool", "MaxPool"])
def test_windows_added_by_rounding_up_are_refused(operator: str) -> None:
    """Implementations differ there."""
    node = helper.make_node(operator, ["x"], ["y"], kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)
    model = model_of([node], {}, FRAMES.shape[1:])
    with pytest.raises(Refused, match="ceil_mode"):
        Reference(model.SerializeToString()).values(FRAMES)


def test_erf_has_all_its_digits() -> None:
    """ONNX's own evaluator keeps 24 bits of it."""
    model = model_of([helper.make_node("Erf", ["x"], ["y"])], {}, FRAMES.shape[1:])
    found = scores(model, FRAMES)
    expected = [math.erf(value) for value in FRAMES.astype(np.float64).ravel().tolist()]
    assert expected == found.ravel().tolist()


NODES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "convolution, unequal sides": ("Conv", {"pads": [0, 1, 2, 1], "strides": [2, 1]}, {"w": drawn(4, 3, 3, 2)}),
    "convolution, dilated": ("Conv", {"dilations": [2, 3]}, {"w": drawn(4, 3, 3, 2), "b": drawn(4)}),
    "convolution, depthwise": ("Conv", {"group": 3, "pads": [1, 1, 1, 1]}, {"w": drawn(6, 1, 3, 3)}),
    "convolution, same, lower": ("Conv", {"auto_pad": "SAME_LOWER", "strides": [2, 2]}, {"w": drawn(4, 3, 2, 2)}),
    "transposed convolution": ("ConvTranspose", {"strides": [2, 2], "pads": [1, 0, 0, 1]}, {"w": drawn(3, 2, 3, 3)}),
    "response, odd": ("LRN", {"size": 3, "alpha": 0.3}, {}),
    "batch normalization": (
        "BatchNormalization",
        {"epsilon": 0.01},
        {"s": drawn(3), "b": drawn(3), "m": drawn(3), "v": np.abs(drawn(3))},
    ),
    "instance normalization": ("InstanceNormalization", {}, {"s": drawn(3), "b": drawn(3)}),
    "layer normalization": ("LayerNormalization", {"axis": 2}, {"s": drawn(9, 11), "b": drawn(9, 11)}),
    "softmax over channels": ("Softmax", {"axis": 1}, {}),
    "leaky": ("LeakyRelu", {"alpha": 0.2}, {}),
    "exponential": ("Elu", {"alpha": 0.7}, {}),
    "hard sigmoid": ("HardSigmoid", {"alpha": 0.3, "beta": 0.4}, {}),
    "hard swish": ("HardSwish", {}, {}),
    "parametric": ("PRelu", {}, {"slope": drawn(3, 1, 1)}),
    "softplus": ("Softplus", {}, {}),
    "clip": ("Clip", {}, {"low": -0.5, "high": 0.7}),
    "mean over width": ("ReduceMean", {"axes": [3], "keepdims": 0}, {}),
    "norm over channels": ("ReduceL2", {"axes": [1]}, {}),
    "space to depth": ("SpaceToDepth", {"blocksize": 1}, {}),
    "padding, mirrored": ("Pad", {"mode": "reflect"}, {"pads": np.array([0, 0, 1, 2, 0, 0, 2, 1])}),
    "resize, nearest": ("Resize", {"mode": "nearest"}, {"": 0, "factors": np.array([1.0, 1.0, 2.0, 1.5])}),
    "resize, linear": ("Resize", {"mode": "linear"}, {"": 0, "factors": np.array([1.0, 1.0, 2.0, 1.5])}),
    "power": ("Pow", {}, {"exponent": 3.0}),
}


@pytest.mark.parametrize("name", NODES)
def test_operators_of_networks(name: str) -> None:
    """With fewer frames than channels, and sizes that are all different: where a mix-up of axes shows."""
    operator, attributes, tensors = NODES[name]
    node = helper.make_node(operator, ["x", *tensors], ["y"], **attributes)
    model = model_of([node], {key: value for key, value in tensors.items() if key}, FRAMES.shape[1:])
    expected = Session(model.SerializeToString()).run("x", FRAMES)
    found = scores(model, FRAMES)
    assert expected.shape == found.shape
    assert np.abs(expected - found).max() < 1e-5
