"""Small models, each with one thing wrong, as bytes. `CASES`: name -> (rule that names it, model)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def small_model() -> onnx.ModelProto:
    """One Gemm with its weights and a Relu: nothing speaks against it."""
    weights = numpy_helper.from_array(np.arange(12, dtype=np.float32).reshape(3, 4), "weights")
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["x", "weights"], ["sums"], name="gemm", alpha=1.0),
            helper.make_node("Relu", ["sums"], ["y"], name="relu"),
        ],
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4])],
        [weights],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def varint(number: int) -> bytes:
    """Base 128, as protobuf writes it."""
    digits = []
    while number > 0x7F:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*digits, number])


def message(number: int, body: bytes) -> bytes:
    """A length-delimited field."""
    return varint(number << 3 | 2) + varint(len(body)) + body


CASES: dict[str, tuple[str, Callable[[], bytes]]] = {}


def _case(name: str, rule: str) -> Callable[[Callable[[onnx.ModelProto], None]], None]:
    """Register a change of the small model."""

    def register(change: Callable[[onnx.ModelProto], None]) -> None:
        def made() -> bytes:
            model = small_model()
            change(model)
            return model.SerializeToString()

        CASES[name] = (rule, made)

    return register


def _raw(name: str, rule: str, made: Callable[[], bytes]) -> None:
    CASES[name] = (rule, made)


_GRAPH = 7
_raw("no model", "wire", lambda: b"not a model")
_raw("an endless varint", "wire", lambda: b"\x08" + b"\xff" * 40)
_raw("cut short", "wire", lambda: small_model().SerializeToString()[:-1])
_raw("a length past the end of its message", "wire", lambda: message(_GRAPH, b"\x0a\x7f"))
_raw("a field nobody knows", "unknown-field", lambda: small_model().SerializeToString() + message(99, b"x"))
_raw("a group", "wire", lambda: small_model().SerializeToString() + bytes([_GRAPH << 3 | 3, _GRAPH << 3 | 4]))
_raw("a field number of zero", "unknown-field", lambda: b"\x00\x00")
_raw("a graph of two parts", "merged-message", lambda: small_model().SerializeToString() + message(_GRAPH, b""))
_raw("an empty file", "empty", lambda: b"")


def _nested(levels: int) -> bytes:
    body = b""
    for _ in range(levels):
        # Graph in an attribute (6) of a node (5) of a graph (1).
        body = message(1, message(5, message(6, body)))
    return message(_GRAPH, body)


_raw("graphs inside graphs", "depth", lambda: _nested(40))


@_case("a name that is no UTF-8", "text")
def _(model: onnx.ModelProto) -> None:
    model.graph.node[0].ClearField("name")
    # The library writes no such name; it reads one, and fails where it is looked at.
    model.graph.node[0].MergeFromString(message(3, b"\xff\xfe"))


@_case("a long name", "text")
def _(model: onnx.ModelProto) -> None:
    model.graph.node[0].name = "n" * 1_025


@_case("a long comment", "text")
def _(model: onnx.ModelProto) -> None:
    model.doc_string = "d" * 65_537


@_case("many nodes", "nodes")
def _(model: onnx.ModelProto) -> None:
    model.graph.node.extend([model.graph.node[1]] * 20_000)


@_case("many initializers", "initializers")
def _(model: onnx.ModelProto) -> None:
    model.graph.initializer.extend([helper.make_tensor("s", TensorProto.FLOAT, [], [1.0])] * 20_001)


@_case("a graph in a node", "subgraph")
def _(model: onnx.ModelProto) -> None:
    model.graph.node.add(op_type="Relu").attribute.add(name="body", type=onnx.AttributeProto.GRAPH).g.name = "inner"


@_case("a local function", "function")
def _(model: onnx.ModelProto) -> None:
    model.functions.add(name="f", domain="local")


@_case("training information", "training")
def _(model: onnx.ModelProto) -> None:
    model.training_info.add()


@_case("a sparse initializer", "sparse")
def _(model: onnx.ModelProto) -> None:
    sparse = model.graph.sparse_initializer.add()
    sparse.values.CopyFrom(helper.make_tensor("values", TensorProto.FLOAT, [1], [1.0]))
    sparse.indices.CopyFrom(helper.make_tensor("indices", TensorProto.INT64, [1], [0]))
    sparse.dims.append(10)


@_case("many inputs", "arity")
def _(model: onnx.ModelProto) -> None:
    model.graph.node.add(op_type="Sum", input=["x"] * 1_025, output=["z"])


@_case("many attributes", "attributes")
def _(model: onnx.ModelProto) -> None:
    for number in range(65):
        model.graph.node[0].attribute.append(helper.make_attribute(f"a{number}", 1))


@_case("a long list", "attribute-size")
def _(model: onnx.ModelProto) -> None:
    attribute = model.graph.node[0].attribute.add(name="list", type=onnx.AttributeProto.FLOATS)
    attribute.floats.extend([0.0] * (2**16 + 1))


@_case("texts for weights", "element-type")
def _(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(helper.make_tensor("text", TensorProto.STRING, [1], [b"x"]))


@_case("an element type of the future", "element-type")
def _(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].data_type = 1_000


@_case("a product that overflows 64 bits to a small number", "shape")
def _(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[:] = [2**32, 2**32, 3, 4]


@_case("a product that overflows before it meets a zero", "shape")
def _(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[:] = [2**62, 2**62, 0]
    model.graph.initializer[0].raw_data = b""


@_case("a negative dimension", "shape")
def _(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[:] = [-3, -4]


@_case("many dimensions", "shape")
def _(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[:] = [3, 4, *[1] * 15]


@_case("a part of a tensor", "shape")
def _(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].segment.begin = 0


@_case("a declared shape of 2^80 elements", "shape")
def _(model: onnx.ModelProto) -> None:
    model.graph.value_info.append(helper.make_tensor_value_info("sums", TensorProto.FLOAT, [2**40, 2**40]))


@_case("less data than the shape says", "data-length")
def _(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].raw_data = model.graph.initializer[0].raw_data[:-1]


@_case("more data than the shape says", "data-length")
def _(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].raw_data += b"\0"


@_case("data twice", "data-length")
def _(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].float_data.append(1)


@_case("data in another list", "data-length")
def _(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.int32_data.extend(range(12))


@_case("a shape and no data", "data-length")
def _(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].ClearField("raw_data")


@_case("data in another file", "external-data")
def _(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../../etc/passwd")


@_case("a constant in another file", "external-data")
def _(model: onnx.ModelProto) -> None:
    node = model.graph.node.add(op_type="Constant", output=["c"])
    tensor = node.attribute.add(name="value", type=onnx.AttributeProto.TENSOR).t
    tensor.data_type = TensorProto.FLOAT
    tensor.external_data.add(key="location", value="/etc/passwd")


@_case("a foreign operator", "domain")
def _(model: onnx.ModelProto) -> None:
    model.graph.node[1].domain = "com.example"


@_case("a domain that comes twice", "domain")
def _(model: onnx.ModelProto) -> None:
    model.opset_import.append(helper.make_opsetid("ai.onnx", 6))


@_case("a domain that is not imported", "domain")
def _(model: onnx.ModelProto) -> None:
    del model.opset_import[:]


@_case("an operator of any size", "unbounded-operator")
def _(model: onnx.ModelProto) -> None:
    model.graph.node[1].op_type = "ConstantOfShape"


@_case("an operator under the domain's other name", "unbounded-operator")
def _(model: onnx.ModelProto) -> None:
    model.graph.node[1].op_type, model.graph.node[1].domain = "Loop", "ai.onnx"


@_case("an operator that no runtime has", "operator")
def _(model: onnx.ModelProto) -> None:
    model.graph.node[1].op_type = "Reluu"


@_case("an operator that came with a later opset", "operator")
def _(model: onnx.ModelProto) -> None:
    model.graph.node[1].op_type = "Gelu"


@_case("an opset of the future", "opset")
def _(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 28


@_case("an IR version of the future", "ir")
def _(model: onnx.ModelProto) -> None:
    model.ir_version = 14
