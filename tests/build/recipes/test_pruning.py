"""Pruning gives up the weakest weights or channels, so many as declared, and nothing else."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper
from small_models import Nodes, drawn, model_of, put, scores, tensor

from architectures import SMALL
from muster.build.recipes.channels import prune_channels
from muster.build.recipes.pruning import prune_weights
from muster.kinds.errors import Refused

HALF = 500_000


def test_the_smallest_weights_become_zero() -> None:
    """In each tensor its share, rounded down; the others stay as they are."""
    weights = drawn(5, 3)
    model = model_of([helper.make_node("Gemm", ["x", "w"], ["y"], transB=1)], {"w": weights}, (3,))
    pruned = tensor(prune_weights(model, HALF), "w")
    assert (pruned == 0).sum() == 7
    assert (pruned[pruned != 0] == weights[pruned != 0]).all()
    assert np.abs(weights[pruned == 0]).max() < np.abs(weights[pruned != 0]).min()


def test_of_equal_weights_the_first_go() -> None:
    """Signs do not count."""
    model = model_of([helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": [[1.0, -1.0], [1.0, -1.0]]}, (2,))
    assert tensor(prune_weights(model, HALF), "w").tolist() == [[0.0, 0.0], [1.0, -1.0]]


def test_weights_that_are_no_numbers_are_refused() -> None:
    """They have no order."""
    model = model_of([helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": [[np.nan, 1.0]] * 2}, (2,))
    with pytest.raises(Refused, match="weights w are not finite"):
        prune_weights(model, HALF)


def _network() -> tuple[onnx.ModelProto, tuple[int, ...]]:
    """Every operator that keeps channels apart, and each kind of end."""
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", ["c1", "s", "b", "m", "v"], ["n"]),
        helper.make_node("Clip", ["n", "zero", "six"], ["r"]),
        helper.make_node("Conv", ["r", "w2", "b2"], ["c2"], group=6, pads=[1, 1, 1, 1]),
        helper.make_node("Sigmoid", ["c2"], ["g"]),
        helper.make_node("Mul", ["c2", "g"], ["swish"]),
        helper.make_node("Conv", ["swish", "w3"], ["c3"]),
        helper.make_node("MaxPool", ["c3"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "w4", "b4"], ["d"], transB=1),
        helper.make_node("Add", ["d", "a"], ["e"]),
        helper.make_node("Relu", ["e"], ["h"]),
        helper.make_node("MatMul", ["h", "w5"], ["y"]),
    ]
    tensors = {
        "w1": drawn(6, 3, 3, 3), "b1": drawn(6), "s": drawn(6), "b": drawn(6, seed=1), "m": drawn(6, seed=2),
        "v": np.abs(drawn(6)) + 0.5, "zero": np.float32(0.0), "six": np.float32(6.0), "w2": drawn(6, 1, 3, 3),
        "b2": drawn(6), "w3": drawn(4, 6, 1, 1), "w4": drawn(8, 16), "b4": drawn(8), "a": drawn(1, 8),
        "w5": drawn(8, 3),
    }  # fmt: skip
    return model_of(nodes, tensors, (3, 4, 4)), (3, 4, 4)


def test_cutting_channels_is_giving_them_no_weight_where_they_are_read() -> None:
    """Exactly, through every operator on the way; and the graph is smaller."""
    model, frame = _network()
    pruned = prune_channels(model, HALF)
    onnx.checker.check_model(pruned, full_check=True)
    shapes = {one.name: list(one.dims) for one in pruned.graph.initializer}
    assert shapes["w1"] == [3, 3, 3, 3]
    assert shapes["w2"] == [3, 1, 3, 3]
    assert shapes["w3"] == [2, 3, 1, 1]
    assert shapes["w4"] == [4, 8]
    assert shapes["a"] == [1, 4]
    assert shapes["w5"] == [4, 3]
    silent = model
    for name, reader, axis, others in (("w1", "w3", 1, (1, 2, 3)), ("w3", "w4", 1, None), ("w4", "w5", 0, (1,))):
        # Weights of a layer that lost inputs count what is left of them.
        strength = np.abs(tensor(silent, name).astype(np.float64))
        strength = strength.sum(axis=others or (1, 2, 3))
        weakest = np.argsort(strength)[: len(strength) // 2]
        values = tensor(silent, reader).copy()
        columns = np.ravel([[4 * one + step for step in range(4)] for one in weakest]) if name == "w3" else weakest
        np.moveaxis(values, axis, 0)[columns] = 0.0
        silent = put(silent, reader, values)
    frames = drawn(3, *frame, seed=9)
    assert np.allclose(scores(silent, frames), scores(pruned, frames), rtol=1e-12, atol=1e-12)


def _residual() -> Nodes:
    return [helper.make_node("Conv", ["x", "w"], ["c"]), helper.make_node("Add", ["x", "c"], ["y"])]


def _grouped() -> Nodes:
    first = helper.make_node("Conv", ["x", "w"], ["c"])
    return [first, helper.make_node("Conv", ["c", "g"], ["y"], group=2)]


def _normalized() -> Nodes:
    first = helper.make_node("Conv", ["x", "w"], ["c"])
    return [first, helper.make_node("Softmax", ["c"], ["s"], axis=1), helper.make_node("Conv", ["s", "w"], ["y"])]


CANNOT = {"an output": _residual()[:1], "a residual": _residual(), "groups": _grouped(), "a softmax": _normalized()}


@pytest.mark.parametrize("name", CANNOT)
def test_channels_that_somebody_needs_stay(name: str) -> None:
    """A layer that cannot be followed to its end is not cut; a model of such layers is refused."""
    nodes = [*CANNOT[name]]
    nodes[-1].output[0] = "y"
    tensors = {one: value for one, value in {"w": drawn(4, 4, 1, 1), "g": drawn(4, 2, 1, 1)}.items()
               if any(one in node.input for node in nodes)}  # fmt: skip
    with pytest.raises(Refused, match="no layer of the model has channels"):
        prune_channels(model_of(nodes, tensors, (4, 3, 3)), HALF)


@pytest.mark.parametrize(("name", "cut"), [("mobilenet", 6), ("transformer", 2), ("squeezenet", 9)])
def test_real_networks_get_smaller(name: str, cut: int) -> None:
    """All layers but those that end in a residual or a concatenation, or at the end, lose a quarter."""
    model = onnx.load_from_string(SMALL[name]().model)
    pruned = prune_channels(model, 250_000)
    before = {one.name: tuple(one.dims) for one in model.graph.initializer}
    after = {one.name: tuple(one.dims) for one in pruned.graph.initializer}
    readers = {node.input[1] for node in model.graph.node if node.op_type in ("Conv", "Gemm", "MatMul")} & set(before)
    axis = -1 if name == "transformer" else 0
    depthwise = {one for one in readers if before[one][1] == 1}
    found = [one for one in readers - depthwise if one in after and before[one][axis] != after[one][axis]]
    assert len(found) == cut
    assert all(after[one][axis] == before[one][axis] - before[one][axis] // 4 for one in found)
