"""Reading and writing ONNX: one byte string per model, and bounds on everything that comes from outside."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import onnx
from google.protobuf.message import DecodeError

from muster.build.complaints import first_line
from muster.kinds.errors import Refused

if TYPE_CHECKING:
    from muster.kinds.release import OnnxVersions

MAX_NODES: Final = 20_000
MAX_INITIALIZERS: Final = 20_000
MAX_PARAMETERS: Final = 2**29
MAX_TEXT: Final = 1_024

# Operators that hold graphs, draw random numbers, or make tensors of a size that no shape tells.
_REFUSED_OPERATORS: Final = frozenset(
    (
        "If",
        "Loop",
        "Scan",
        "SequenceMap",
        "Bernoulli",
        "Multinomial",
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
        "ConstantOfShape",
        "Expand",
        "Range",
        "Tile",
        "NonZero",
        "StringConcat",
        "StringSplit",
        "StringNormalizer",
        "RegexFullMatch",
        "TfIdfVectorizer",
        "Optional",
        "OptionalGetElement",
        "SequenceConstruct",
        "SequenceEmpty",
        "SplitToSequence",
        "ImageDecoder",
    )
)


def parse_model(data: bytes) -> onnx.ModelProto:
    """The model in `data`. Raises `Refused` if it is none."""
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except (DecodeError, RecursionError) as error:
        raise Refused("the source model is not an ONNX file", "export it again") from error
    return model


def dump_model(model: onnx.ModelProto) -> bytes:
    """The one byte string of a model."""
    return bytes(model.SerializeToString(deterministic=True))


def frames_at_once(model: onnx.ModelProto) -> int | None:
    """The size of a batch that the model's input fixes; None where it is free."""
    dimensions = model.graph.input[0].type.tensor_type.shape.dim if model.graph.input else []
    return dimensions[0].dim_value or None if dimensions else None


def check_bounds(model: onnx.ModelProto) -> None:
    """Refuse what could read outside the file, run code, or grow without bound. Raises `Refused` with the reason."""
    graph = model.graph
    if len(graph.node) > MAX_NODES or len(graph.initializer) > MAX_INITIALIZERS or not graph.node:
        raise Refused(
            f"the model has {len(graph.node)} nodes and {len(graph.initializer)} initializers",
            f"give a model with 1 to {MAX_NODES} nodes and at most {MAX_INITIALIZERS} initializers",
        )
    if model.functions or model.training_info or graph.sparse_initializer:
        raise Refused(
            "the model has local functions, training information or sparse initializers",
            "export the model for inference, with its functions inlined and its weights dense",
        )
    for node in graph.node:
        _check_node(node)
    tensors = [*graph.initializer, *(a.t for node in graph.node for a in node.attribute if a.HasField("t"))]
    for tensor in tensors:
        _check_tensor(tensor)
    if sum(_elements(tensor) for tensor in tensors) > MAX_PARAMETERS:
        raise Refused(f"the model has more than {MAX_PARAMETERS} parameters", "export a smaller model")


def check_versions(model: onnx.ModelProto, pins: OnnxVersions) -> None:
    """Opset and IR version must be the declared ones, and the only ones. Raises `Refused`."""
    found = [(entry.domain, entry.version) for entry in model.opset_import]
    if found != [("", pins.opset)] or model.ir_version != pins.ir:
        raise Refused(
            f"the model has IR version {model.ir_version} and opsets {found}, declared: {pins.ir} and {pins.opset}",
            "export with the declared versions, or declare those of the model",
        )


def check_valid(model: onnx.ModelProto) -> None:
    """ONNX's own checker. Raises `Refused`."""
    try:
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # checker and shape inference share no base class
        raise Refused(
            f"onnx.checker refuses the model: {first_line(error)}",
            "correct the export until onnx.checker.check_model(model, full_check=True) takes it",
        ) from error


def strip(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy without texts that change no answer: doc strings, metadata, producer, unknown fields."""
    stripped = onnx.ModelProto()
    stripped.CopyFrom(model)
    stripped.DiscardUnknownFields()
    for field in ("producer_name", "producer_version", "domain", "model_version"):
        stripped.ClearField(field)
    for message in _messages(stripped):
        for field in ("doc_string", "metadata_props"):
            if field in message.DESCRIPTOR.fields_by_name:
                message.ClearField(field)
    return stripped


def _messages(message: Any) -> Iterator[Any]:
    yield message
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for item in value if field.is_repeated else (value,):
            yield from _messages(item)


def _check_node(node: onnx.NodeProto) -> None:
    if node.domain not in ("", "ai.onnx"):
        raise Refused(f"operator {node.op_type} of domain {node.domain!r}", "only ONNX's own operators are accepted")
    if node.op_type in _REFUSED_OPERATORS:
        raise Refused(
            f"operator {node.op_type} is not accepted: its cost or outcome cannot be told from shapes",
            "export the model with fixed sizes, for inference, without control flow and without text operators",
        )
    names = [node.name, node.op_type, *node.input, *node.output]
    if any(len(name) > MAX_TEXT for name in names):
        raise Refused(
            f"a name in the model is longer than {MAX_TEXT} characters",
            "export it with shorter names of nodes and tensors",
        )
    if any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute):
        raise Refused(f"operator {node.op_type} holds a graph", "export without control flow")


def _check_tensor(tensor: onnx.TensorProto) -> None:
    if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
        raise Refused(f"tensor {tensor.name[:80]!r} lies outside the file", "save the model as one file")
    if tensor.data_type in (onnx.TensorProto.STRING, onnx.TensorProto.UNDEFINED):
        raise Refused(
            f"tensor {tensor.name[:80]!r} holds no numbers",
            "export with numeric tensors only; texts belong into the label map",
        )
    if any(dimension < 0 for dimension in tensor.dims) or len(tensor.name) > MAX_TEXT:
        raise Refused(
            f"tensor {tensor.name[:80]!r} has a negative dimension, or a name of more than {MAX_TEXT} characters",
            "export the model again: its file is damaged or made by hand",
        )


def _elements(tensor: onnx.TensorProto) -> int:
    elements = 1
    for dimension in tensor.dims:
        elements *= int(dimension)
    return elements
