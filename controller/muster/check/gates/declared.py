"""Does a declared gate mean anything? One that passes everything, or nothing, is refused when it is read."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from muster.check.gates.compare import holds
from muster.check.gates.table import GATE_KINDS
from muster.kinds.finding import Complaint, Pointer
from muster.kinds.policy import FEWEST_AGREEING, Gate, Policy
from muster.kinds.quantity import Measure, measure_of

Problem = tuple[str, str, str]
"""The field, what is wrong with it, and what would be right."""


def gate_complaints(path: str, policy: Policy) -> Iterator[Complaint]:
    """Complaints about the gates of all tiers of the policy at `path`."""
    for index, tier in enumerate(policy.spec.tiers):
        names: set[str] = set()
        for number, gate in enumerate(tier.gates):
            here = ("spec", "tiers", index, "gates", number)
            if gate.name in names:
                pointer = Pointer(path, (*here, "name"))
                hint = "give each gate of a tier a name of its own: waivers go by it"
                yield Complaint(pointer, "gate", f"gate {gate.name} stands here again", hint)
            names.add(gate.name)
            for field, message, hint in gate_problems(gate):
                yield Complaint(Pointer(path, (*here, field)), "gate", message, hint)


def gate_problems(gate: Gate) -> Iterator[Problem]:
    """Everything about the gate that its metric does not know."""
    yield from _comparison(gate)
    yield from _scope(gate)
    yield from _sampling(gate)
    yield from _rebuilders(gate)


def _comparison(gate: Gate) -> Iterator[Problem]:
    kind = GATE_KINDS[gate.metric]
    if gate.comparator not in kind.comparators:
        choices = ", ".join(f'"{comparator}"' for comparator in kind.comparators)
        message = f"{gate.metric} is better the {kind.better} it is: {gate.comparator} asks for the worse side"
        yield "comparator", message, f"write one of {choices}"
    if gate.relative_to not in kind.relative_to:
        message = f"{gate.metric} cannot be relative to {gate.relative_to}"
        yield "relativeTo", message, f"write one of {', '.join(kind.relative_to)}"
        return
    threshold = measure_of(gate.threshold)
    wanted = kind.dimension if gate.relative_to == "absolute" else "number"
    if threshold.dimension != wanted:
        of = "a ratio" if gate.relative_to != "absolute" else f"a {kind.dimension}"
        yield "threshold", f"{gate.metric} is compared with {of}, not with {gate.threshold}", f"write {_units(wanted)}"
    elif reason := _meaningless(gate, threshold):
        yield "threshold", reason, "write a threshold that some releases pass and others do not"


def _meaningless(gate: Gate, threshold: Measure) -> str | None:
    """Why no value, or every value, would pass: values run from 0 to what the table says, ratios have no end."""
    most = GATE_KINDS[gate.metric].most if gate.relative_to == "absolute" else None
    lowest, highest = Decimal(0), Decimal("Infinity") if most is None else Decimal(most)
    ends = [holds(value, gate.comparator, threshold.amount) for value in (lowest, highest)]
    if gate.comparator == "==":
        ends = [False, lowest <= threshold.amount <= highest]
    if all(ends):
        return f"every {gate.metric} is {gate.comparator} {gate.threshold}"
    return None if any(ends) else f"no {gate.metric} is {gate.comparator} {gate.threshold}"


def _scope(gate: Gate) -> Iterator[Problem]:
    kind = GATE_KINDS[gate.metric]
    if gate.device_class is not None and kind.scope == "release":
        yield "deviceClass", f"{gate.metric} is the same on every device class", "leave deviceClass out"
    if gate.slice is not None and not kind.sliced:
        yield "slice", f"{gate.metric} has no slices", "leave slice out"
    if gate.slice is not None and gate.relative_to == "clean":
        yield "slice", "a slice cannot be relative to clean: its own clean accuracy is not measured", "leave one out"
    if gate.max_age is not None and kind.reads in ("size", "compatibility"):
        yield "maxAge", f"{gate.metric} is answered by declarations, which have no age", "leave maxAge out"


def _sampling(gate: Gate) -> Iterator[Problem]:
    kind = GATE_KINDS[gate.metric]
    if gate.min_samples is not None and not kind.samples:
        yield "minSamples", f"{gate.metric} does not rest on samples", "leave minSamples out"
    if gate.bound is None:
        return
    if kind.interval == "none":
        yield "bound", f"{gate.metric} has no sampling error", "leave bound out"
    elif gate.comparator == "==":
        yield "bound", "a bound is never equal to a threshold", f'compare with "{kind.comparators[0]}"'
    elif (gate.bound == "lower") != (kind.better == "more") and gate.min_samples is None:
        message = f"the {gate.bound} bound of few samples passes nearly everything"
        yield "bound", message, "write minSamples too, or the other bound"


def _rebuilders(gate: Gate) -> Iterator[Problem]:
    field = "rebuilders" if gate.rebuilders else "agreeing"
    if not gate.rebuilders and gate.agreeing is None:
        return
    threshold = measure_of(gate.threshold)
    if gate.metric != "reproducibility" or threshold.dimension != "number":
        yield field, f"{gate.metric} does not ask who rebuilt it", f"leave {field} out"
    elif holds(Decimal(2), gate.comparator, threshold.amount):
        yield field, "only level 3 asks who rebuilt it", f'write threshold "3", or leave {field} out'
    elif len(set(gate.rebuilders)) < len(gate.rebuilders):
        yield "rebuilders", "a rebuilder stands here twice", "name each once"
    elif gate.rebuilders and len(gate.rebuilders) < (gate.agreeing or FEWEST_AGREEING):
        message = f"{len(gate.rebuilders)} named, and {gate.agreeing or FEWEST_AGREEING} of them must agree"
        yield "rebuilders", message, "name more, or ask for fewer with agreeing, 2 at least"


def _units(dimension: str) -> str:
    return {"number": '"0.99" or "99%"', "time": '"20ms"', "size": '"4MiB"'}[dimension]
