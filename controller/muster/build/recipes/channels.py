"""`prune: structured`: whole output channels of a layer are cut out of the graph, the weakest first.

A channel's strength is the exact sum of its weights' magnitudes (`math.fsum`); of equal ones the first goes first. A
layer is cut only if everything that its channels lead to is known: from the layer they pass operators that keep
channels apart, and end as the input channels of other layers. Cutting them is then the same as giving them weight zero
there, but smaller.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx

from muster.build.recipes.graphs import Weights, attribute, layers, output_axis
from muster.build.recipes.pruning import MILLION
from muster.build.shapes import Shape, tensor_shapes
from muster.kinds.errors import Refused

_APART = frozenset(
    ("Clip", "Dropout", "Elu", "Erf", "Gelu", "HardSigmoid", "HardSwish", "Identity", "LeakyRelu", "Relu", "Sigmoid")
) | {"Softplus", "Tanh"}
_POOLS = frozenset(("AveragePool", "GlobalAveragePool", "GlobalMaxPool", "MaxPool"))


@dataclass(frozen=True)
class _Layout:
    """How channels lie in a tensor: on this axis, each `repeat` times in a row."""

    axis: int
    repeat: int = 1


@dataclass
class _Cut:
    """What has to be cut along: tensor → layout; and depthwise convolutions, whose number of groups changes."""

    tensors: dict[str, _Layout] = field(default_factory=dict)
    depthwise: list[onnx.NodeProto] = field(default_factory=list)


class _BlockedError(Exception):
    """A layer's channels reach something that is not known to keep them apart."""


def prune_channels(model: onnx.ModelProto, share: int) -> onnx.ModelProto:
    """A copy of the model; `share` in parts per million of each layer's channels, rounded down.

    Raises `Refused` if no layer can be cut.
    """
    pruned = onnx.ModelProto()
    pruned.CopyFrom(model)
    shapes = {name: shape for name, (shape, _) in tensor_shapes(pruned).items()}
    cut_layers = 0
    for node in [*layers(pruned)]:
        weights = Weights(pruned)
        axis = output_axis(node, len(weights.shape(node.input[1])))
        count = weights.shape(node.input[1])[axis] * share // MILLION
        try:
            cut = _Follower(pruned, weights, shapes).follow(node, axis)
        except _BlockedError:
            continue
        if count:
            _apply(cut, weights, _weakest(weights.get(node.input[1]), axis, count))
            cut_layers += 1
    if not cut_layers:
        raise Refused(
            "no layer of the model has channels that can be cut out",
            'raise prune.share, or write "method: magnitude": paths that add or join tensors keep their channels',
        )
    del pruned.graph.value_info[:]
    return pruned


def _keeps_apart(node: onnx.NodeProto, layout: _Layout) -> bool:
    pooled = node.op_type in _POOLS and layout == _Layout(1)
    return len(node.output) == 1 and (pooled or node.op_type in _APART)


def _weakest(values: np.ndarray, axis: int, count: int) -> list[int]:
    rows = np.abs(np.moveaxis(values, axis, 0)).reshape(values.shape[axis], -1)
    strength = [(math.fsum(row), index) for index, row in enumerate(rows.tolist())]
    return sorted(index for _, index in sorted(strength)[:count])


def _apply(cut: _Cut, weights: Weights, channels: list[int]) -> None:
    for name, layout in cut.tensors.items():
        gone = [channel * layout.repeat + step for channel in channels for step in range(layout.repeat)]
        weights.put(name, np.delete(weights.get(name), gone, axis=layout.axis))
    for node in cut.depthwise:
        for item in node.attribute:
            if item.name == "group":
                item.i -= len(channels)


class _Follower:
    """Follows the channels of one layer through the graph, whose nodes are in topological order."""

    def __init__(self, model: onnx.ModelProto, weights: Weights, shapes: Mapping[str, Shape]) -> None:
        self._model, self._weights, self._shapes = model, weights, shapes
        self._outputs = {value.name for value in model.graph.output}
        self._reached: dict[str, _Layout] = {}
        self._channels = 0
        self._cut = _Cut()

    def follow(self, layer: onnx.NodeProto, axis: int) -> _Cut:
        """What has to be cut for the layer's channels to go. Raises `_BlockedError`."""
        self._channels = self._weights.shape(layer.input[1])[axis]
        if layer.op_type == "Conv" and attribute(layer, "group", 1) != 1:
            raise _BlockedError
        self._take(layer.input[1], _Layout(axis))
        rank = len(self._shapes[layer.output[0]])
        if len(layer.input) > 2 and layer.input[2]:
            self._take_vector(layer.input[2])
        self._reach(layer.output[0], _Layout(1 if layer.op_type == "Conv" else rank - 1))
        for node in self._model.graph.node:
            if any(name in self._reached for name in node.input):
                self._pass(node)
        return self._cut

    def _pass(self, node: onnx.NodeProto) -> None:
        first = self._reached.get(node.input[0])
        if node.op_type in ("Add", "Mul", "Sub"):
            self._pass_pair(node)
        elif first is None or any(name in self._reached for name in node.input[1:]):
            raise _BlockedError
        elif _keeps_apart(node, first):
            self._reach(node.output[0], first)
        elif node.op_type == "BatchNormalization" and first == _Layout(1) and len(node.output) == 1:
            for name in node.input[1:5]:
                self._take_vector(name)
            self._reach(node.output[0], first)
        elif node.op_type == "Flatten" and first == _Layout(1) and attribute(node, "axis", 1) == 1:
            self._reach(node.output[0], _Layout(1, math.prod(self._shapes[node.input[0]][2:])))
        else:
            self._end(node, first)

    def _pass_pair(self, node: onnx.NodeProto) -> None:
        layouts = {self._reached[name] for name in node.input if name in self._reached}
        shape = self._shapes[node.output[0]]
        layout = layouts.pop()
        if layouts or layout.repeat != 1:
            raise _BlockedError
        for name in node.input:
            if name in self._reached:
                continue
            if not self._weights.holds(name):
                raise _BlockedError
            other = self._weights.shape(name)
            # Broadcasting aligns the last axes.
            axis = layout.axis - (len(shape) - len(other))
            if axis >= 0 and other[axis] != 1:
                self._take(name, _Layout(axis))
        self._reach(node.output[0], layout)

    def _end(self, node: onnx.NodeProto, layout: _Layout) -> None:
        last = layout.axis == len(self._shapes[node.input[0]]) - 1
        if node.op_type == "Conv" and layout == _Layout(1):
            if attribute(node, "group", 1) == 1:
                self._take(node.input[1], _Layout(1))
            else:
                self._pass_depthwise(node)
        elif node.op_type == "Gemm" and last and not attribute(node, "transA", 0):
            self._take(node.input[1], _Layout(1 if attribute(node, "transB", 0) else 0, layout.repeat))
        elif node.op_type == "MatMul" and last and self._rank(node.input[1]) == 2:
            self._take(node.input[1], _Layout(0, layout.repeat))
        else:
            raise _BlockedError

    def _pass_depthwise(self, node: onnx.NodeProto) -> None:
        if not attribute(node, "group", 1) == self._channels == self._shapes[node.output[0]][1]:
            raise _BlockedError
        self._take(node.input[1], _Layout(0))
        if len(node.input) > 2 and node.input[2]:
            self._take_vector(node.input[2])
        self._cut.depthwise.append(node)
        self._reach(node.output[0], _Layout(1))

    def _rank(self, name: str) -> int:
        return len(self._weights.shape(name)) if self._weights.holds(name) else 0

    def _take_vector(self, name: str) -> None:
        if self._rank(name) != 1:
            raise _BlockedError
        self._take(name, _Layout(0))

    def _take(self, name: str, layout: _Layout) -> None:
        size = self._channels * layout.repeat
        if not self._weights.own(name) or self._weights.shape(name)[layout.axis] != size or name in self._cut.tensors:
            raise _BlockedError
        self._cut.tensors[name] = layout

    def _reach(self, name: str, layout: _Layout) -> None:
        if name in self._outputs:
            raise _BlockedError
        self._reached[name] = layout
