"""What differs between two graphs: nodes added, removed, changed, renamed, and their order.

Nodes are matched by what they put out, since no name is put out twice. Those that are left are matched by what they
compute: a fingerprint of operator, attributes and inputs, where an input is the fingerprint of the node that made it,
the position of a graph's input, or the digest of an initializer. Such a pair was renamed and is otherwise the same.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass

import onnx

_Key = tuple[str, ...]


@dataclass(frozen=True)
class ChangedNode:
    """A node that puts out the same names; `changes` says which parts of it are others."""

    node: str
    changes: tuple[str, ...]


@dataclass(frozen=True)
class GraphDifference:
    """Nodes by a text such as `Conv conv1 -> features`. `reordered`: the common nodes come in another order."""

    nodes: tuple[int, int]
    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[ChangedNode, ...]
    renamed: tuple[tuple[str, str], ...]
    reordered: bool
    interface: tuple[str, ...]
    """What is another of the inputs, outputs and functions."""

    @property
    def same(self) -> bool:
        """True if nothing of it differs."""
        return not (self.added or self.removed or self.changed or self.renamed or self.reordered or self.interface)


def compare_graphs(first: onnx.ModelProto, second: onnx.ModelProto) -> GraphDifference:
    """From the first to the second."""
    one, other = (_by_outputs(model) for model in (first, second))
    common = [key for key in one if key in other]
    renamed = _renamed(first, second, (one.keys() - other.keys(), other.keys() - one.keys()))
    gone, come = {old for old, _ in renamed}, {new for _, new in renamed}
    changed = ((key, _changes(one[key], other[key])) for key in common)
    return GraphDifference(
        nodes=(len(first.graph.node), len(second.graph.node)),
        added=tuple(_text(node) for key, node in other.items() if key not in one and key not in come),
        removed=tuple(_text(node) for key, node in one.items() if key not in other and key not in gone),
        changed=tuple(ChangedNode(_text(one[key]), changes) for key, changes in changed if changes),
        renamed=tuple((_text(one[old]), _text(other[new])) for old, new in renamed),
        reordered=common != [key for key in other if key in one],
        interface=_interface(first, second),
    )


def _by_outputs(model: onnx.ModelProto) -> dict[_Key, onnx.NodeProto]:
    """Nodes by what they put out. That it is put out once, no check of safety asks: the second has a key of its own."""
    found: dict[_Key, onnx.NodeProto] = {}
    for node in model.graph.node:
        found[_free(tuple(node.output), found)] = node
    return found


def _free(key: _Key, taken: Container[_Key]) -> _Key:
    return next(one for again in itertools.count() if (one := (*key, *[""] * again)) not in taken)


def _text(node: onnx.NodeProto) -> str:
    domain = f"{node.domain}." if node.domain else ""
    return f"{domain}{node.op_type} {node.name or '(no name)'} -> {', '.join(node.output)}"


def _changes(one: onnx.NodeProto, other: onnx.NodeProto) -> tuple[str, ...]:
    found = [
        f"{field}: {getattr(one, field)!r} became {getattr(other, field)!r}"
        for field in ("op_type", "domain", "overload", "name")
        if getattr(one, field) != getattr(other, field)
    ]
    if list(one.input) != list(other.input):
        found.append(f"inputs: {list(one.input)} became {list(other.input)}")
    left, right = _attributes(one), _attributes(other)
    found += [
        f"attribute {name} differs"
        for name in sorted(left.keys() | right.keys())
        if left.get(name) != right.get(name) and name not in _constants(one) & _constants(other)
    ]
    return tuple(found)


def _constants(node: onnx.NodeProto) -> set[str]:
    """Attributes that are compared number by number, with the initializers."""
    constant = node.op_type == "Constant" and node.output
    return {attribute.name for attribute in node.attribute if attribute.HasField("t")} if constant else set()


def _attributes(node: onnx.NodeProto) -> dict[str, bytes]:
    return {attribute.name: _canonical(attribute) for attribute in node.attribute}


def _canonical(message: onnx.AttributeProto | onnx.TensorProto) -> bytes:
    copy = type(message)()
    copy.CopyFrom(message)
    copy.ClearField("doc_string")
    return bytes(copy.SerializeToString(deterministic=True))


def _renamed(
    first: onnx.ModelProto, second: onnx.ModelProto, left: tuple[Iterable[_Key], Iterable[_Key]]
) -> list[tuple[_Key, _Key]]:
    """Pairs of nodes without a partner by name whose fingerprints are the same; in the first's order."""
    wanted, offered = set(left[0]), set(left[1])
    waiting: dict[bytes, list[_Key]] = {}
    for key, mark in _fingerprints(second).items():
        if key in offered:
            waiting.setdefault(mark, []).append(key)
    pairs = []
    for key, mark in _fingerprints(first).items():
        if key in wanted and waiting.get(mark):
            pairs.append((key, waiting[mark].pop(0)))
    return pairs


def _fingerprints(model: onnx.ModelProto) -> dict[_Key, bytes]:
    marks: dict[str, bytes] = {"": b"none"}
    for position, value in enumerate(model.graph.input):
        marks[value.name] = b"input %d" % position
    for tensor in model.graph.initializer:
        nameless = type(tensor)()
        nameless.CopyFrom(tensor)
        nameless.ClearField("name")
        marks[tensor.name] = hashlib.sha256(_canonical(nameless)).digest()
    found: dict[_Key, bytes] = {}
    for node in model.graph.node:
        parts = [node.domain.encode(), node.op_type.encode(), *(marks.get(name, b"unknown") for name in node.input)]
        parts += [name.encode() + data for name, data in sorted(_attributes(node).items())]
        mark = hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).digest()
        found[_free(tuple(node.output), found)] = mark
        for position, name in enumerate(node.output):
            marks[name] = mark + b"%d" % position
    return found


def _interface(first: onnx.ModelProto, second: onnx.ModelProto) -> tuple[str, ...]:
    found = []
    for what in ("input", "output"):
        one, other = (_values(getattr(model.graph, what)) for model in (first, second))
        if one != other:
            found.append(f"the graph's {what}s: {', '.join(one)} became {', '.join(other)}")
    functions = [
        {
            (item.domain, item.name, item.overload): item.SerializeToString(deterministic=True)
            for item in model.functions
        }
        for model in (first, second)
    ]
    differing = {
        key for key in functions[0].keys() | functions[1].keys() if functions[0].get(key) != functions[1].get(key)
    }
    found += [f"local function {domain}.{name}" for domain, name, _ in sorted(differing)]
    return tuple(found)


def _values(values: Sequence[onnx.ValueInfoProto]) -> list[str]:
    return [f"{value.name} {_type(value)}" for value in values]


def _type(value: onnx.ValueInfoProto) -> str:
    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":
        return f"{kind} {value.type.SerializeToString(deterministic=True).hex()[:64]}"
    tensor = value.type.tensor_type
    sizes = [
        item.dim_param or "?" if not item.HasField("dim_value") else str(item.dim_value) for item in tensor.shape.dim
    ]
    return f"{element_type(tensor.elem_type)}[{', '.join(sizes)}]"


def element_type(number: int) -> str:
    """Its name in ONNX; the number where there is none, which the declared type of a value may be."""
    names = onnx.TensorProto.DataType
    return names.Name(number).lower() if number in names.values() else f"type {number}"
