"""How many nodes there are, how they are nested, and what they grow to once functions are written out."""

from __future__ import annotations

from collections.abc import Iterator

import onnx

from muster.build.onnx_safety.finding import SafetyFinding, shown
from muster.build.onnx_safety.rules import Limits, Rules
from muster.build.onnx_safety.walking import Placed, held_graphs, scopes

_Called = tuple[str, str, str]
"""Domain, name and overload of a function."""


def check_structure(model: onnx.ModelProto, rules: Rules) -> Iterator[SafetyFinding]:
    """Counts, subgraphs, functions, attributes."""
    yield from _check_counts(model, rules)
    for scope in scopes(model):
        if scope.depth > rules.limits.subgraphs:
            yield SafetyFinding(
                "subgraph",
                scope.place,
                f"{scope.place}: the operator holds a graph, {scope.depth} deep; {rules.limits.subgraphs} are accepted",
                "export without control flow",
            )
        for node in scope.nodes:
            yield from _check_node(node, scope, rules.limits)
    yield from _check_functions(model, rules.limits)


def _check_counts(model: onnx.ModelProto, rules: Rules) -> Iterator[SafetyFinding]:
    limits = rules.limits
    inside = list(scopes(model))
    nodes = sum(len(scope.nodes) for scope in inside)
    initializers = sum(len(scope.graph.initializer) for scope in inside if scope.graph is not None)
    found = f"the model has {nodes} nodes and {initializers} initializers"
    hint = f"give a model with 1 to {limits.nodes} nodes and at most {limits.initializers} initializers"
    if not model.graph.node:
        yield SafetyFinding("empty", "graph", found, hint)
    if nodes > limits.nodes:
        yield SafetyFinding("nodes", "graph", found, hint)
    if initializers > limits.initializers:
        yield SafetyFinding("initializers", "graph", found, hint)
    if model.training_info:
        yield SafetyFinding("training", "model", "the model has training information", "export the model for inference")
    if not rules.sparse and any(scope.graph is not None and scope.graph.sparse_initializer for scope in inside):
        yield SafetyFinding(
            "sparse", "graph", "the model has sparse initializers", "export the model with dense weights"
        )


def _check_node(node: onnx.NodeProto, scope: Placed, limits: Limits) -> Iterator[SafetyFinding]:
    place = f"{shown(node.op_type)} in {scope.place}"
    if len(node.input) > limits.arity or len(node.output) > limits.arity:
        yield SafetyFinding(
            "arity",
            place,
            f"{place} has {len(node.input)} inputs and {len(node.output)} outputs, more than {limits.arity}",
            "export it in smaller steps",
        )
    if len(node.attribute) > limits.attributes:
        yield SafetyFinding(
            "attributes",
            place,
            f"{place} has {len(node.attribute)} attributes, more than {limits.attributes}",
            "no operator of ONNX has so many: export it again",
        )
    for attribute in node.attribute:
        lengths = (len(attribute.ints), len(attribute.floats), len(attribute.strings), len(attribute.tensors))
        if max(lengths) > limits.listed:
            yield SafetyFinding(
                "attribute-size",
                place,
                f"attribute {shown(attribute.name)} of {place} lists {max(lengths)} values, more than {limits.listed}",
                "export constants as initializers",
            )


def _check_functions(model: onnx.ModelProto, limits: Limits) -> Iterator[SafetyFinding]:
    if len(model.functions) > limits.functions:
        yield SafetyFinding(
            "function",
            "model",
            f"the model has {len(model.functions)} local functions, {limits.functions} are accepted",
            "export the model for inference, with its functions inlined",
        )
        return
    expansion = _Expansion(model)
    if expansion.recursive is not None:
        yield SafetyFinding(
            "function-recursion",
            f"function {shown(expansion.recursive)}",
            f"function {shown(expansion.recursive)} calls itself, or is defined twice",
            "export the model with its functions inlined",
        )
    elif expansion.nodes > limits.expanded:
        yield SafetyFinding(
            "function-expansion",
            "graph",
            f"with its functions written out the model has {expansion.nodes} nodes, more than {limits.expanded}",
            "export a smaller model, or one that calls its functions less",
        )


class _Expansion:
    """Nodes of a model whose functions are written out, counted without writing them out.

    A function is counted once; its call then costs one addition. Integers of Python do not overflow.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.recursive: str | None = None
        self._bodies = {_name(function): function for function in model.functions}
        self._sizes: dict[_Called, int] = {}
        self._open: set[_Called] = set()
        if len(self._bodies) < len(model.functions):
            self.recursive = model.functions[0].name
        self.nodes = self._count(model.graph.node)

    def _count(self, nodes: Iterator[onnx.NodeProto]) -> int:
        total = 0
        for node in nodes:
            called = (node.domain, node.op_type, node.overload)
            total += self._size(called) if called in self._bodies else 1
            total += sum(self._count(graph.node) for graph in held_graphs(node))
        return total

    def _size(self, called: _Called) -> int:
        if called in self._open:
            self.recursive = called[1]
            return 0
        if called not in self._sizes:
            self._open.add(called)
            self._sizes[called] = self._count(self._bodies[called].node)
            self._open.remove(called)
        return self._sizes[called]


def _name(function: onnx.FunctionProto) -> _Called:
    return function.domain, function.name, function.overload
