"""A gate that would pass everything, or nothing, is refused when its policy is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

import pytest
from gate_situations import policy_with
from hypothesis import given
from hypothesis import strategies as st

from muster.check.gates.declared import gate_complaints, gate_problems
from muster.check.gates.table import GATE_KINDS
from muster.kinds.policy import Comparator, Gate, GateMetric, RelativeTo

SIZE = {"metric": "artifact-size", "comparator": "<=", "threshold": "4MiB"}
RIGHT = {"metric": "accuracy", "comparator": ">=", "threshold": "0.9"}
FAST = {"metric": "p95-latency", "comparator": "<=", "threshold": "20ms"}
LEVEL = {"metric": "reproducibility", "comparator": ">=", "threshold": "3"}

MEANINGLESS: Mapping[str, tuple[dict[str, Any], list[str]]] = {
    "accuracy at most": (RIGHT | {"comparator": "<="}, ["comparator"]),
    "size at least": (SIZE | {"comparator": ">"}, ["comparator"]),
    "a time for an accuracy": (RIGHT | {"threshold": "20ms"}, ["threshold"]),
    "a number for a time": (FAST | {"threshold": "20"}, ["threshold"]),
    "a size for a ratio": (SIZE | {"relativeTo": "budget"}, ["threshold"]),
    "accuracy over a budget": (RIGHT | {"relativeTo": "budget"}, ["relativeTo"]),
    "latency on clean inputs": (FAST | {"relativeTo": "clean"}, ["relativeTo"]),
    "accuracy of at least nothing": (RIGHT | {"threshold": "0"}, ["threshold"]),
    "accuracy of more than all": (RIGHT | {"comparator": ">", "threshold": "100%"}, ["threshold"]),
    "accuracy above what there is": (RIGHT | {"threshold": "1.1"}, ["threshold"]),
    "ratio of at least nothing": (RIGHT | {"threshold": "0", "relativeTo": "source"}, ["threshold"]),
    "below no time at all": (FAST | {"comparator": "<", "threshold": "0us"}, ["threshold"]),
    "negative": (RIGHT | {"threshold": "-1"}, ["threshold"]),
    "overlap of at most all": (
        {"metric": "calibration-overlap", "comparator": "<=", "threshold": "1"},
        ["threshold"],
    ),
    "a level that there is not": (
        {"metric": "reproducibility", "comparator": ">=", "threshold": "4"},
        ["threshold"],
    ),
    "signature per class": (
        {"metric": "signature", "comparator": ">=", "threshold": "1", "deviceClass": "cam-day"},
        ["deviceClass"],
    ),
    "latency of a slice": (FAST | {"slice": "dim"}, ["slice"]),
    "a slice of clean inputs": (
        {"metric": "robustness", "comparator": ">=", "threshold": "0.9", "relativeTo": "clean", "slice": "noise"},
        ["slice"],
    ),
    "samples of a pin": (SIZE | {"minSamples": 3}, ["minSamples"]),
    "age of a pin": (SIZE | {"maxAge": "1d"}, ["maxAge"]),
    "bound of a pin": (SIZE | {"bound": "upper"}, ["bound"]),
    "bound that equals": (RIGHT | {"comparator": "==", "bound": "lower"}, ["bound"]),
    "lenient bound of any sample": (RIGHT | {"bound": "upper"}, ["bound"]),
    "lenient bound of a time": (FAST | {"bound": "lower"}, ["bound"]),
    "rebuilders of a pin": (SIZE | {"rebuilders": ["a", "b"]}, ["rebuilders"]),
    "agreement on a pin": (SIZE | {"agreeing": 2}, ["agreeing"]),
    "rebuilders of a level that one proves": (LEVEL | {"threshold": "2", "agreeing": 2}, ["agreeing"]),
    "fewer rebuilders than must agree": (LEVEL | {"rebuilders": ["a", "b"], "agreeing": 3}, ["rebuilders"]),
    "one rebuilder": (LEVEL | {"rebuilders": ["a"]}, ["rebuilders"]),
    "a rebuilder twice": (LEVEL | {"rebuilders": ["a", "b", "a"]}, ["rebuilders"]),
    "everything at once": (
        SIZE | {"comparator": ">", "slice": "a", "bound": "upper"},
        ["comparator", "slice", "bound"],
    ),
}


def gate_of(fields: Mapping[str, Any]) -> Gate:
    return Gate.model_validate({"name": "a-gate", **fields})


@pytest.mark.parametrize("name", MEANINGLESS)
def test_a_gate_that_means_nothing(name: str) -> None:
    """Each problem names its field, and what would be right."""
    fields, wrong = MEANINGLESS[name]
    found = list(gate_complaints("policies/default.yaml", policy_with(fields)))
    assert [("spec", "tiers", 0, "gates", 0, field) for field in wrong] == [one.pointer.path for one in found]
    assert all(one.message and one.hint and one.severity == "error" for one in found)


@pytest.mark.parametrize("metric", get_args(GateMetric))
def test_the_example_of_every_kind_means_something(metric: GateMetric) -> None:
    """What the documents show is not refused."""
    gate = gate_of(GATE_KINDS[metric].example)
    assert gate.metric == metric
    assert list(gate_problems(gate)) == []


def test_the_table_knows_every_metric() -> None:
    """No metric can be declared that nobody decides."""
    assert list(get_args(GateMetric)) == list(GATE_KINDS)


@pytest.mark.parametrize(
    "fields",
    [
        RIGHT,
        RIGHT | {"bound": "upper", "minSamples": 200},
        FAST,
        SIZE,
        LEVEL | {"rebuilders": ["a", "identities/b"], "agreeing": 2},
        LEVEL | {"agreeing": 16},
    ],
    ids=str,
)
def test_a_gate_that_means_something(fields: dict[str, Any]) -> None:
    """It is let be."""
    assert list(gate_problems(gate_of(fields))) == []


def test_two_gates_of_one_name() -> None:
    """A waiver for one would be a waiver for both."""
    found = list(gate_complaints("p", policy_with(RIGHT | {"name": "twice"}, SIZE | {"name": "twice"})))
    assert [one.pointer.path for one in found] == [("spec", "tiers", 0, "gates", 1, "name")]


@given(
    st.sampled_from(get_args(GateMetric)),
    st.sampled_from(get_args(Comparator)),
    st.sampled_from(["0", "1", "0.5", "-3", "99%", "20ms", "4MiB", "999999999999999.999999999"]),
    st.sampled_from(get_args(RelativeTo)),
)
def test_every_gate_that_can_be_declared_is_looked_at(
    metric: str, comparator: str, threshold: str, relative_to: str
) -> None:
    """No combination raises; one that is let be has a comparator and a relation that the table lists."""
    gate = gate_of({"metric": metric, "comparator": comparator, "threshold": threshold, "relativeTo": relative_to})
    if not list(gate_problems(gate)):
        assert comparator in GATE_KINDS[gate.metric].comparators
        assert relative_to in GATE_KINDS[gate.metric].relative_to
