"""Every graph, node and tensor of a model, wherever it stands."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import onnx

from muster.build.onnx_safety.finding import shown


@dataclass(frozen=True)
class Placed:
    """Some nodes that stand together: of the graph, of a graph inside a node (`depth` above 0), or of a function."""

    place: str
    depth: int
    nodes: Sequence[onnx.NodeProto]
    graph: onnx.GraphProto | None


def scopes(model: onnx.ModelProto) -> Iterator[Placed]:
    """The graph, every function, and every graph that is held by a node of these. The walk over bytes bounded them."""
    yield from _with_held(Placed("graph", 0, model.graph.node, model.graph))
    for function in model.functions:
        yield from _with_held(Placed(f"function {shown(function.name)}", 0, function.node, None))


def held_graphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """The graphs in a node's attributes."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def tensors_of(scope: Placed) -> Iterator[tuple[str, onnx.TensorProto]]:
    """Initializers and the tensors in attributes, each with its place."""
    if scope.graph is not None:
        for tensor in scope.graph.initializer:
            yield f"initializer {shown(tensor.name)}", tensor
        for sparse in scope.graph.sparse_initializer:
            yield from _of_sparse("sparse initializer", sparse)
    for node in scope.nodes:
        for attribute in node.attribute:
            place = f"attribute {shown(attribute.name)} of {shown(node.op_type)}"
            if attribute.HasField("t"):
                yield place, attribute.t
            for tensor in attribute.tensors:
                yield place, tensor
            for sparse in [*attribute.sparse_tensors, *([attribute.sparse_tensor] if _has_sparse(attribute) else [])]:
                yield from _of_sparse(place, sparse)


def _has_sparse(attribute: onnx.AttributeProto) -> bool:
    return bool(attribute.HasField("sparse_tensor"))


def _of_sparse(place: str, sparse: onnx.SparseTensorProto) -> Iterator[tuple[str, onnx.TensorProto]]:
    yield f"values of {place}", sparse.values
    yield f"indices of {place}", sparse.indices


def _with_held(scope: Placed) -> Iterator[Placed]:
    yield scope
    for node in scope.nodes:
        for graph in held_graphs(node):
            place = f"graph {shown(graph.name)} in {shown(node.op_type)}"
            yield from _with_held(Placed(place, scope.depth + 1, graph.node, graph))
