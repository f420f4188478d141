"""Reading and writing ONNX: one byte string per model, and bounds on everything that comes from outside."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import onnx

from muster.build.complaints import first_line
from muster.build.onnx_safety import admit
from muster.kinds.errors import Refused

if TYPE_CHECKING:
    from muster.kinds.release import OnnxVersions


def parse_model(data: bytes) -> onnx.ModelProto:
    """The model in `data`, whose bytes were bounded before they were parsed. Raises `Refused` if it is none."""
    return admit.parse(data)


def parse_source(data: bytes) -> onnx.ModelProto:
    """As `parse_model`, for the file that somebody brought: says that it is the source model which is refused."""
    try:
        return parse_model(data)
    except Refused as error:
        raise Refused(f"the source model is refused: {error.message}", error.hint) from error


def dump_model(model: onnx.ModelProto) -> bytes:
    """The one byte string of a model."""
    return bytes(model.SerializeToString(deterministic=True))


def frames_at_once(model: onnx.ModelProto) -> int | None:
    """The size of a batch that the model's input fixes; None where it is free."""
    dimensions = model.graph.input[0].type.tensor_type.shape.dim if model.graph.input else []
    return dimensions[0].dim_value or None if dimensions else None


def check_bounds(model: onnx.ModelProto) -> None:
    """Refuse what could read outside the file, run code, or grow without bound. Raises `Refused` with the reason."""
    admit.refuse_found(admit.examine_model(model))


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
