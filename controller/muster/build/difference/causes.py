"""Likely causes of a difference, each with the evidence for it.

| cause   | said when                                                                                             |
|---------|-------------------------------------------------------------------------------------------------------|
| source  | the source models have other digests; weights differ, and the inputs are not known to be the same       |
| data    | the calibration snapshots have other digests, or ranges lie further apart than rounding can take them   |
| recipe  | a stage of the recipe has other options                                                                |
| version | other builders, or models that name other producers, opsets or IR versions                             |
| isa     | the same inputs, and numbers that lie as far apart as rounding takes them; or machines that differ      |
| order   | the same nodes or initializers in another sequence                                                     |
| unknown | none of these                                                                                         |

`declared` means that the inputs themselves say so, `likely` that the numbers do, `possible` that they would allow it.
Rounding: ranges that were calibrated in float32 with and without fused multiply-add lay up to 384 ULP apart in a small
transformer, and 1 ULP in convolutions; with other data they lie thousands apart. `_ROUNDING` stands between. Ranges
that were snapped to a grid lie one step apart, so what counts is how far they lay apart before, where the store holds
that.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from muster.build.difference.distances import Distance, distance_of_floats
from muster.build.difference.graph import GraphDifference
from muster.build.difference.initializers import SCALE, WEIGHT, InitializerDifference
from muster.build.difference.sides import Facts

_ROUNDING: Final = 1_024
_TOLD: Final = ("cpu", "isa", "architecture")

Certainty = Literal["declared", "likely", "possible"]


@dataclass(frozen=True)
class Cause:
    """One explanation."""

    cause: Literal["source", "data", "recipe", "version", "isa", "order", "unknown"]
    certainty: Certainty
    evidence: str


@dataclass(frozen=True)
class Observed:
    """All that was found to differ."""

    graph: GraphDifference
    initializers: InitializerDifference
    metadata: dict[str, tuple[str, str]]
    facts: tuple[Facts, Facts]


def likely_causes(observed: Observed) -> tuple[Cause, ...]:
    """The most certain first; `unknown` alone if there is no evidence for any."""
    found = [
        *_declared(*observed.facts),
        *_versions(observed),
        *_order(observed),
        *_numbers(observed),
    ]
    rank = {"declared": 0, "likely": 1, "possible": 2}
    ordered = tuple(sorted(found, key=lambda cause: rank[cause.certainty]))
    return ordered or (Cause("unknown", "possible", "nothing that is known of the two explains it"),)


def table_distance(first: Facts, second: Facts) -> Distance | None:
    """How far the ranges lay apart as calibration found them; None unless both tables are there with equal names."""
    one, other = first.calibrated, second.calibrated
    if one is None or other is None or list(one.ranges) != list(other.ranges):
        return None
    bounds = [[bound for pair in table.ranges.values() for bound in pair] for table in (one, other)]
    return distance_of_floats(*bounds)


def _declared(first: Facts, second: Facts) -> Iterator[Cause]:
    for name in sorted(first.inputs.keys() & second.inputs.keys()):
        one, other = first.inputs[name], second.inputs[name]
        if one == other:
            continue
        evidence = f"{name}: {one} and {other}"
        if name == "source model":
            yield Cause("source", "declared", evidence)
        elif name == "builder":
            yield Cause("version", "declared", f"builders of other digests: {one} and {other}")
        elif name.startswith("tool "):
            yield Cause("version", "declared", evidence)
        elif name.startswith("recipe "):
            yield Cause("recipe", "declared", evidence)
        elif name == "calibration snapshot":
            yield Cause("data", "declared", evidence)


def _versions(observed: Observed) -> Iterator[Cause]:
    for name in ("producer_version", "producer_name", "opset_import", "ir_version"):
        if name in observed.metadata:
            one, other = observed.metadata[name]
            yield Cause("version", "likely", f"{name}: {one} and {other}")


def _order(observed: Observed) -> Iterator[Cause]:
    for what, reordered in (("nodes", observed.graph.reordered), ("initializers", observed.initializers.reordered)):
        if reordered:
            yield Cause("order", "likely", f"the same {what} come in another sequence")
    if observed.graph.renamed:
        pairs = observed.graph.renamed
        yield Cause("order", "likely", f"{len(pairs)} nodes have other names and are otherwise the same: {pairs[0][0]}")


def _numbers(observed: Observed) -> Iterator[Cause]:
    numbers, same_inputs = observed.initializers, _inputs_are_the_same(*observed.facts)
    yield from _machines(*observed.facts)
    if not numbers.differing or not observed.graph.same:
        return
    apart = table_distance(*observed.facts)
    yield from _weights(numbers, same_inputs)
    if not numbers.roles.get(SCALE):
        return
    scales = f"{numbers.roles[SCALE]} scales differ, by up to {numbers.largest(SCALE)} ULP"
    if apart is not None and apart.differing:
        scales += (
            f"; before they were snapped, {apart.differing} of {apart.elements} bounds, by up to {apart.largest} ULP"
        )
    far = apart.largest if apart is not None and apart.differing else numbers.largest(SCALE)
    if far <= _ROUNDING:
        yield Cause(
            "isa", "likely" if numbers.only_scales or same_inputs else "possible", f"{scales}: as rounding does"
        )
    elif not same_inputs:
        yield Cause("data", "likely", f"{scales}: further than rounding takes them")
    else:
        # The same inputs by digest: what is left is how they were computed with.
        yield Cause("version", "possible", f"{scales}, though the inputs are the same: another implementation")


def _weights(numbers: InitializerDifference, same_inputs: bool) -> Iterator[Cause]:
    if not numbers.roles.get(WEIGHT):
        return
    far, unit = numbers.largest_of(WEIGHT)
    by = f"by up to {far} {unit}" if far else "in shape or type"
    text = f"{numbers.roles[WEIGHT]} weights differ, {by}"
    if not same_inputs:
        yield Cause("source", "possible", text)
    # A quantized weight that lay on a boundary is rounded one step further.
    if 0 < far <= (_ROUNDING if unit == "ULP" else 1):
        yield Cause("isa", "likely" if same_inputs else "possible", f"{text}: as rounding does")
    elif same_inputs:
        yield Cause("version", "possible", f"{text}, though the inputs are the same: another implementation")


def _machines(first: Facts, second: Facts) -> Iterator[Cause]:
    differing = [
        f"{name} {first.machine[name]} and {second.machine[name]}"
        for name in _TOLD
        if name in first.machine and name in second.machine and first.machine[name] != second.machine[name]
    ]
    if differing:
        yield Cause("isa", "possible", f"made on other machines: {'; '.join(differing)}")


def _inputs_are_the_same(first: Facts, second: Facts) -> bool:
    """True if both are known, and nothing that went in differs."""
    return bool(first.inputs) and dict(first.inputs) == dict(second.inputs)
