"""Real architectures with weights drawn from PCG64: a MobileNet-like network, a small transformer, and those that the
`onnx` package carries for its own tests, whose weights are left out there and drawn here.

Everything is a function of a seed: integers from PCG64, and one division each (no sum, whose order a CPU could choose).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET, IR = 17, 8
LABELS = 10
_STEPS = 2**20


@dataclass(frozen=True)
class Architecture:
    """A model, and the shape of one frame of it. `operators`: what of it a static recipe quantizes."""

    name: str
    model: bytes
    frame: tuple[int, ...]
    labels: int
    operators: tuple[str, ...]

    def frames(self, count: int, seed: int) -> np.ndarray:
        """Frames of whole numbers from 0 to 255, as float32."""
        generator = np.random.Generator(np.random.PCG64(seed))
        return generator.integers(0, 256, (count, *self.frame)).astype(np.float32)


class Weights:
    """Draws tensors, and collects them as initializers."""

    def __init__(self, seed: int, gain: float = 2.0) -> None:
        self._gain = gain
        self._generator = np.random.Generator(np.random.PCG64(seed))
        self.tensors: list[onnx.TensorProto] = []

    def draw(self, name: str, shape: tuple[int, ...], bound: float = 0.0, around: float = 0.0) -> str:
        """Uniform in `around` ± `bound`; without a bound, such that a layer keeps the scale of what it reads."""
        whole = self._generator.integers(-_STEPS, _STEPS + 1, shape).astype(np.float64)
        bound = bound or float(np.sqrt(3.0 * self._gain / max(1, int(np.prod(shape[1:])))))
        return self.put(name, whole / _STEPS * bound + around)

    def put(self, name: str, value: np.ndarray | float, kind: type = np.float32) -> str:
        self.tensors.append(numpy_helper.from_array(np.asarray(value, kind), name))
        return name


def _model(nodes: list[onnx.NodeProto], weights: Weights, frame: tuple[int, ...], labels: int) -> bytes:
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("frame", TensorProto.FLOAT, ["N", *frame])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", labels])],
        weights.tensors,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)
    return model.SerializeToString(deterministic=True)


def mobilenet() -> Architecture:
    """Inverted bottlenecks with depthwise convolutions, batch normalization, ReLU6, a residual and global pooling."""
    weights, nodes = Weights(11), []

    def convolution(x: str, name: str, channels: tuple[int, int], kernel: int, **options: int) -> str:
        groups = options.get("group", 1)
        weights.draw(f"{name}.w", (channels[1], channels[0] // groups, kernel, kernel))
        pads = [kernel // 2] * 4
        strides = [options.get("stride", 1)] * 2
        nodes.append(
            helper.make_node("Conv", [x, f"{name}.w"], [f"{name}.c"], name, pads=pads, strides=strides, group=groups)
        )
        parts = [weights.draw(f"{name}.{part}", (channels[1],), 0.2, 1.0 if part in "sv" else 0.0) for part in "sbmv"]
        nodes.append(helper.make_node("BatchNormalization", [f"{name}.c", *parts], [f"{name}.n"], f"{name}.bn"))
        return f"{name}.n"

    def clipped(x: str) -> str:
        nodes.append(helper.make_node("Clip", [x, "zero", "six"], [f"{x}6"], f"{x}.clip"))
        return f"{x}6"

    weights.put("zero", 0.0)
    weights.put("six", 6.0)
    x = clipped(convolution("frame", "stem", (3, 8), 3, stride=2))
    for index, (inside, outside, stride) in enumerate(((8, 12, 2), (12, 12, 1), (12, 16, 1))):
        wide = inside * 3
        y = clipped(convolution(x, f"b{index}.expand", (inside, wide), 1))
        y = clipped(convolution(y, f"b{index}.depth", (wide, wide), 3, stride=stride, group=wide))
        y = convolution(y, f"b{index}.project", (wide, outside), 1)
        if inside == outside:
            nodes.append(helper.make_node("Add", [x, y], [f"b{index}.sum"], f"b{index}.add"))
            y = f"b{index}.sum"
        x = y
    x = clipped(convolution(x, "head", (16, 32), 1))
    nodes.append(helper.make_node("GlobalAveragePool", [x], ["pooled"], "pool"))
    nodes.append(helper.make_node("Flatten", ["pooled"], ["flat"], "flatten"))
    weights.draw("fc.w", (LABELS, 32))
    weights.draw("fc.b", (LABELS,), 0.1)
    nodes.append(helper.make_node("Gemm", ["flat", "fc.w", "fc.b"], ["logits"], "fc", transB=1))
    nodes.append(helper.make_node("Softmax", ["logits"], ["scores"], "softmax", axis=1))
    operators = ("Add", "Clip", "Conv", "Gemm", "GlobalAveragePool")
    return Architecture("mobilenet", _model(nodes, weights, (3, 32, 32), LABELS), (3, 32, 32), LABELS, operators)


def transformer() -> Architecture:
    """Two blocks of attention and a feed-forward network with GELU (as Erf), layer normalization, mean over time."""
    weights, nodes, (time, width, heads) = Weights(12), [], (12, 32, 4)

    def node(operator: str, inputs: list[str], name: str, **attributes: object) -> str:
        nodes.append(helper.make_node(operator, inputs, [name], f"{name}.node", **attributes))
        return name

    def linear(x: str, name: str, sizes: tuple[int, int], gain: float = 1.0) -> str:
        scale = gain * float(np.sqrt(3.0 / sizes[0]))
        product = node("MatMul", [x, weights.draw(f"{name}.w", sizes, scale)], f"{name}.product")
        return node("Add", [product, weights.draw(f"{name}.b", (sizes[1],), 0.1)], name)

    def normalized(x: str, name: str) -> str:
        parts = [weights.draw(f"{name}.s", (width,), 0.2, 1.0), weights.draw(f"{name}.z", (width,), 0.2)]
        return node("LayerNormalization", [x, *parts], name, axis=-1)

    def attention(x: str, name: str) -> str:
        queries, keys, values = (
            node("Transpose", [node("Reshape", [linear(x, f"{name}.{p}", (width, width)), "split"], f"{name}.{p}s")],
                 f"{name}.{p}t", perm=[0, 2, 3, 1] if p == "k" else [0, 2, 1, 3])
            for p in "qkv"
        )  # fmt: skip
        scores = node("MatMul", [queries, keys], f"{name}.scores")
        scaled = node("Mul", [scores, "root"], f"{name}.scaled")
        mixed = node("MatMul", [node("Softmax", [scaled], f"{name}.soft", axis=-1), values], f"{name}.mixed")
        merged = node("Reshape", [node("Transpose", [mixed], f"{name}.back", perm=[0, 2, 1, 3]), "merge"], f"{name}.m")
        return linear(merged, f"{name}.out", (width, width))

    def gelu(x: str) -> str:
        error = node("Erf", [node("Mul", [x, "half-root"], f"{x}.scaled")], f"{x}.erf")
        return node("Mul", [node("Mul", [x, "half"], f"{x}.half"), node("Add", [error, "one"], f"{x}.one")], f"{x}.g")

    weights.put("split", [0, time, heads, width // heads], np.int64)
    weights.put("merge", [0, time, width], np.int64)
    for name, value in {"root": 1 / np.sqrt(width / heads), "half-root": np.sqrt(0.5), "half": 0.5, "one": 1.0}.items():
        weights.put(name, value)
    x = node("Add", [linear("frame", "embed", (16, width)), weights.draw("positions", (time, width), 0.5)], "embedded")
    for block in ("first", "second"):
        x = node("Add", [x, attention(normalized(x, f"{block}.n1"), f"{block}.a")], f"{block}.s1")
        hidden = gelu(linear(normalized(x, f"{block}.n2"), f"{block}.up", (width, 64)))
        x = node("Add", [x, linear(hidden, f"{block}.down", (64, width))], f"{block}.s2")
    mean = node("ReduceMean", [normalized(x, "last")], "mean", axes=[1], keepdims=0)
    node("Softmax", [linear(mean, "logits", (width, LABELS), 8.0)], "scores", axis=-1)
    operators = ("Add", "MatMul", "Mul")
    return Architecture("transformer", _model(nodes, weights, (time, 16), LABELS), (time, 16), LABELS, operators)


def light(name: str, side: int, gain: float = 2.0, thin: int = 1, flat: tuple[int, int] = (0, 0)) -> Architecture:
    """One of the architectures in `onnx.backend.test.data/light`, brought to opset 17, with weights and a free batch.

    `side`: height and width of a frame, a multiple of 32; 224 in the package. `gain`: of the weights drawn; 2 makes
    up for what ReLU takes away, 1 suits networks with normalization. `thin`: every layer has so many times fewer
    channels than in the package; the graph stays. `flat`: how many values the first dense layer reads in the package,
    and how many here, where that is more than channels.
    """
    import onnx.backend.test
    import onnx.version_converter

    path = Path(onnx.backend.test.__file__).parent / "data/light" / f"light_{name}.onnx"
    model = _drawn(onnx.load(path), gain, _Thinner(thin, dict([flat])))
    initial = {tensor.name for tensor in model.graph.initializer}
    read = {name for node in model.graph.node for name in node.input} - initial
    inputs = [value for value in model.graph.input if value.name in read]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    del model.graph.value_info[:]
    model.ir_version = IR
    deep = len(model.graph.output[0].type.tensor_type.shape.dim) > 2
    softmax = deep and model.graph.node[-1].op_type == "Softmax"
    if softmax:
        # Over [N, labels, 1, 1]: its meaning changed with opset 13.
        model.graph.output[0].name = model.graph.node.pop().input[0]
    model = onnx.version_converter.convert_version(model, OPSET)
    _resize(model, side)
    end = model.graph.output[0].name
    if deep:
        model.graph.node.append(helper.make_node("Flatten", [end], [end := "flat"], "flatten"))
    if softmax:
        model.graph.node.append(helper.make_node("Softmax", [end], [end := "soft"], "softmax", axis=1))
    model.graph.output[0].name = end
    _rename(model, {inputs[0].name: "frame", end: "scores"})
    frame, labels = (3, side, side), LABELS
    for value, shape in ((model.graph.input[0], frame), (model.graph.output[0], (labels,))):
        value.CopyFrom(helper.make_tensor_value_info(value.name, TensorProto.FLOAT, ["N", *shape]))
    del model.graph.value_info[:]
    return Architecture(
        name.replace("_", "-"), model.SerializeToString(deterministic=True), frame, labels, ("Concat", "Conv", "Gemm")
    )


@dataclass(frozen=True)
class _Thinner:
    """Sizes of weights: so many times fewer channels, but the frame's colours; and ten labels."""

    times: int
    known: Mapping[int, int]

    def __call__(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        # Caffe wrote [labels, channels] as [1, 1, labels, channels].
        channels = range(4) if shape[:2] == (1, 1) else range(2)
        known = {1: 1, 3: 3, 1_000: LABELS, **self.known}
        return tuple(known.get(size, size // self.times) if at in channels else size for at, size in enumerate(shape))

    def first(self, tensor: onnx.TensorProto) -> onnx.TensorProto:
        """What the package did keep of vectors: the first channels."""
        if tensor.data_type != TensorProto.FLOAT:
            return tensor
        values = numpy_helper.to_array(tensor)
        kept = values[tuple(slice(size) for size in self(values.shape))]
        return numpy_helper.from_array(np.ascontiguousarray(kept), tensor.name)


def _drawn(model: onnx.ModelProto, gain: float, thinned: _Thinner) -> onnx.ModelProto:
    """ConstantOfShape stands where a weight was: by its shape it is told what it was."""
    weights, known = Weights(13, gain), {tensor.name: tensor for tensor in model.graph.initializer}
    scales = _scales(model)
    kept = []
    for node in model.graph.node:
        if node.op_type != "ConstantOfShape":
            kept.append(node)
            continue
        shape = thinned(tuple(numpy_helper.to_array(known.pop(node.input[0])).tolist()))
        around = 1.0 if node.output[0] in scales else 0.0
        weights.draw(node.output[0], shape, 0.0 if len(shape) > 1 else 0.2, around)
        _regroup([other for other in model.graph.node if node.output[0] in other.input[1:2]], shape)
    del model.graph.node[:], model.graph.initializer[:]
    model.graph.node.extend(kept)
    read = {name for node in kept for name in node.input}
    model.graph.initializer.extend(thinned.first(tensor) for tensor in known.values() if tensor.name in read)
    model.graph.initializer.extend(weights.tensors)
    return model


def _scales(model: onnx.ModelProto) -> set[str]:
    """What a normalization multiplies by or divides by, some of it in a Mul of its own."""
    factors = {name for node in model.graph.node if node.op_type == "Mul" for name in node.input}
    found = {node.input[0] for node in model.graph.node if node.op_type == "Unsqueeze" and node.output[0] in factors}
    for node in model.graph.node:
        if node.op_type == "BatchNormalization":
            found |= {node.input[1], node.input[4]}
    return found


def _regroup(readers: list[onnx.NodeProto], shape: tuple[int, ...]) -> None:
    """A depthwise convolution has as many groups as channels, also when these are fewer."""
    for node in readers:
        for item in node.attribute:
            if node.op_type == "Conv" and item.name == "group" and shape[1] == 1:
                item.i = shape[0]


def _resize(model: onnx.ModelProto, side: int) -> None:
    """Where sizes are written into the graph (Reshape, the last pooling): any number of frames, of this side."""
    shapes = {node.input[1] for node in model.graph.node if node.op_type == "Reshape"}
    for tensor in model.graph.initializer:
        shape = numpy_helper.to_array(tensor).copy() if tensor.name in shapes else np.zeros(0, np.int64)
        if len(shape):
            shape[0] = 0 if shape[0] == 1 else LABELS
            # Channels: whatever is left.
            shape[{2: 1, 4: 1, 5: 2}[len(shape)]] = -1
            if len(shape) > 3:
                shape[-2:] = shape[-2:] * side // 224
            tensor.CopyFrom(numpy_helper.from_array(shape, tensor.name))
    for node in model.graph.node:
        for item in node.attribute:
            if node.op_type == "AveragePool" and item.name == "kernel_shape" and list(item.ints) == [7, 7]:
                item.ints[:] = [7 * side // 224] * 2


def _rename(model: onnx.ModelProto, names: dict[str, str]) -> None:
    for node in model.graph.node:
        for values in (node.input, node.output):
            for index, name in enumerate(values):
                values[index] = names.get(name, name)
    for value in (*model.graph.input, *model.graph.output):
        value.name = names.get(value.name, value.name)


SMALL: dict[str, Callable[[], Architecture]] = {
    "mobilenet": mobilenet,
    "transformer": transformer,
    "squeezenet": lambda: light("squeezenet", 32, gain=2.5, thin=2),
    "shufflenet": lambda: light("shufflenet", 32, gain=1.0, thin=2),
    "bvlc-alexnet": lambda: light("bvlc_alexnet", 64, gain=4.0, thin=16, flat=(9_216, 16)),
    "zfnet512": lambda: light("zfnet512", 64, gain=4.0, thin=16, flat=(18_432, 32)),
    "vgg19": lambda: light("vgg19", 32, gain=2.5, thin=16, flat=(25_088, 32)),
    "resnet50": lambda: light("resnet50", 32, gain=1.0, thin=16),
    "inception-v1": lambda: light("inception_v1", 64, gain=2.5, thin=16),
    "inception-v2": lambda: light("inception_v2", 64, gain=2.5, thin=16),
    "densenet121": lambda: light("densenet121", 32, gain=2.5, thin=8),
}
