"""What differs between two models beside what they compute: versions, producer, texts, recorded shapes."""

from __future__ import annotations

import hashlib

import onnx

_FIELDS = ("ir_version", "producer_name", "producer_version", "domain", "model_version", "doc_string")

_BY_DIGEST = ("sparse_initializer", "quantization_annotation")
"""Parts of a graph that are compared whole."""


def compare_metadata(first: onnx.ModelProto, second: onnx.ModelProto) -> dict[str, tuple[str, str]]:
    """Name of what differs, and how it is in each. `encoding` is there if only the bytes of the file are others."""
    found = {
        name: (str(getattr(first, name)), str(getattr(second, name)))
        for name in _FIELDS
        if getattr(first, name) != getattr(second, name)
    }
    for name, one, other in (
        ("opset_import", _opsets(first), _opsets(second)),
        ("metadata_props", _properties(first), _properties(second)),
        ("graph name", {"": first.graph.name}, {"": second.graph.name}),
        ("value_info", _shapes(first), _shapes(second)),
        ("texts of nodes", _texts(first), _texts(second)),
        *((name, _digests(first, name), _digests(second, name)) for name in _BY_DIGEST),
    ):
        if one != other:
            found[name] = (_only(one, other), _only(other, one))
    return found


def _only(one: dict[str, str], other: dict[str, str]) -> str:
    """The entries of `one` that `other` does not have so; the first of them if there are many."""
    entries = [f"{key} {value}".strip() for key, value in one.items() if other.get(key) != value]
    more = f" and {len(entries) - 3} more" if len(entries) > 3 else ""
    return (", ".join(entries[:3]) + more)[:300] or "nothing"


def _opsets(model: onnx.ModelProto) -> dict[str, str]:
    return {entry.domain or "ai.onnx": str(entry.version) for entry in model.opset_import}


def _properties(model: onnx.ModelProto) -> dict[str, str]:
    return {entry.key: entry.value for entry in model.metadata_props}


def _shapes(model: onnx.ModelProto) -> dict[str, str]:
    return {value.name: value.type.SerializeToString(deterministic=True).hex()[:64] for value in model.graph.value_info}


def _digests(model: onnx.ModelProto, name: str) -> dict[str, str]:
    return {
        str(position): hashlib.sha256(part.SerializeToString(deterministic=True)).hexdigest()[:16]
        for position, part in enumerate(getattr(model.graph, name))
    }


def _texts(model: onnx.ModelProto) -> dict[str, str]:
    return {
        node.name or ", ".join(node.output): node.doc_string or "(properties)"
        for node in model.graph.node
        if node.doc_string or node.metadata_props
    }
