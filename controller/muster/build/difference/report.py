"""The difference report as data. Rendered by `rendering`."""

from __future__ import annotations

from typing import Any, Final

from muster.build.difference.causes import Observed, likely_causes, table_distance
from muster.build.difference.distances import Distance
from muster.build.difference.graph import GraphDifference, compare_graphs
from muster.build.difference.initializers import InitializerDifference, compare_initializers
from muster.build.difference.metadata import compare_metadata
from muster.build.difference.sides import Facts, Side

LISTED: Final = 50
"""Of a long list, so many entries are shown; its length is told in full."""


def difference_report(first: Side, second: Side) -> dict[str, Any]:
    """What differs from the first to the second, as JSON. `same`: their bytes are, and so are their stages."""
    graph = compare_graphs(first.model, second.model)
    initializers = compare_initializers(first.model, second.model)
    metadata = compare_metadata(first.model, second.model)
    stages = _stages(first.facts, second.facts)
    if first.digest != second.digest and graph.same and initializers.same and not metadata:
        metadata = {"encoding": (first.digest, second.digest)}
    diverged = next((stage["stage"] for stage in stages if not stage["same"]), None)
    same = first.digest == second.digest and diverged is None
    observed = Observed(graph, initializers, metadata, (first.facts, second.facts))
    causes = () if same else likely_causes(observed)
    return {
        "same": same,
        "first": {"name": first.name, "model": first.digest},
        "second": {"name": second.name, "model": second.digest},
        "summary": "the same" if same else _summary(observed, diverged),
        "firstStageThatDiverged": diverged,
        "causes": [{"cause": one.cause, "certainty": one.certainty, "evidence": one.evidence} for one in causes],
        "stages": stages,
        "ranges": _distance(table_distance(first.facts, second.facts)),
        "graph": _graph(graph),
        "initializers": _initializers(initializers),
        "metadata": {name: {"first": one, "second": other} for name, (one, other) in metadata.items()},
    }


def _summary(observed: Observed, diverged: str | None) -> str:
    graph, numbers = observed.graph, observed.initializers
    parts = []
    if not graph.same:
        parts.append("the graph")
    if numbers.only_scales and not numbers.reordered:
        parts.append(f"only scales: {len(numbers.differing)} of {numbers.common} initializers")
    elif not numbers.same:
        roles = ", ".join(f"{count} of role {role}" for role, count in numbers.roles.items()) or "their names or order"
        parts.append(f"{len(numbers.differing)} of {numbers.common} initializers ({roles})")
    if observed.metadata:
        parts.append(f"metadata ({', '.join(observed.metadata)})")
    if not parts:
        return f"the models are the same; {diverged} differs"
    return f"what differs: {'; '.join(parts)}"


def _stages(first: Facts, second: Facts) -> list[dict[str, Any]]:
    return [
        {"stage": name, "first": digest, "second": second.outputs[name], "same": digest == second.outputs[name]}
        for name, digest in first.outputs.items()
        if name in second.outputs
    ]


def _graph(graph: GraphDifference) -> dict[str, Any]:
    return {
        "nodes": list(graph.nodes),
        "added": _listed(graph.added),
        "removed": _listed(graph.removed),
        "changed": _listed([{"node": item.node, "changes": list(item.changes)} for item in graph.changed]),
        "renamed": _listed([{"first": one, "second": other} for one, other in graph.renamed]),
        "reordered": graph.reordered,
        "interface": list(graph.interface),
    }


def _initializers(numbers: InitializerDifference) -> dict[str, Any]:
    return {
        "counts": list(numbers.counts),
        "common": numbers.common,
        "differ": len(numbers.differing),
        "onlyScales": numbers.only_scales,
        "roles": numbers.roles,
        "reordered": numbers.reordered,
        "histogram": {unit: found for unit in ("ULP", "steps") if (found := numbers.histogram(unit))},
        "added": _listed(numbers.added),
        "removed": _listed(numbers.removed),
        "differing": _listed([{"name": item.name, "role": item.role, "what": item.what} for item in numbers.differing]),
    }


def _distance(apart: Distance | None) -> dict[str, Any] | None:
    if apart is None:
        return None
    return {
        "bounds": apart.elements,
        "differ": apart.differing,
        "largest": apart.largest,
        "histogram": {"ULP": dict(apart.histogram)},
    }


def _listed(entries: Any) -> dict[str, Any]:
    return {"count": len(entries), "shown": list(entries[:LISTED])}
