"""Each limit on a model is met by a model that exceeds it, and the finding has the limit's name."""

from __future__ import annotations

import time
from dataclasses import replace

import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from hostile_models import CASES, message, small_model
from muster.build.onnx_runtime import Session
from muster.build.onnx_safety.admit import BUILD_RULES, MAX_FINDINGS, admit, examine, refuse_found
from muster.build.onnx_safety.finding import RULES
from muster.build.onnx_safety.rules import Limits, Rules
from muster.build.onnx_safety.tensor_checks import elements_of
from muster.kinds.errors import Refused

DEVICE = replace(BUILD_RULES, runtimes=("1.31.1",))
GOOD = small_model().SerializeToString()


def test_a_model_without_fault_is_admitted_byte_for_byte() -> None:
    """And loads."""
    assert examine(GOOD, DEVICE) == ()
    assert Session(admit(GOOD, DEVICE)).provider == "CPUExecutionProvider"


@pytest.mark.parametrize("case", CASES)
def test_every_fault_has_its_name(case: str) -> None:
    """The first finding is the expected one; all of them name a rule, a place and a way out."""
    rule, made = CASES[case]
    found = examine(made(), DEVICE)
    assert [finding.rule for finding in found][:1] == [rule]
    assert len(found) <= MAX_FINDINGS
    assert all(finding.rule in RULES and finding.place and finding.message and finding.hint for finding in found)
    with pytest.raises(Refused, match=rf"\[{rule}\]"):
        refuse_found(found)


def test_every_rule_is_broken_by_some_model() -> None:
    """No rule stands in the list that nothing here has tried."""
    elsewhere = {"size", "parameters", "runtime", "function-recursion", "function-expansion"}
    assert {rule for rule, _ in CASES.values()} | elsewhere == set(RULES)


def test_size_comes_before_everything() -> None:
    """Bytes above the limit are not looked at."""
    found = examine(b"\xff" * 11, Rules(limits=Limits(size=10)))
    assert [finding.rule for finding in found] == ["size"]


def test_empty_messages_are_counted_before_they_are_made() -> None:
    """Two bytes in the file are a hundred in memory: what holds too many is not parsed."""
    found = examine(message(7, b"\x0a\x00" * 1_000), Rules(limits=Limits(fields=1_000)))
    assert [(finding.rule, "more than 1000 fields" in finding.message) for finding in found] == [("wire", True)]


def test_tensors_that_are_small_alone_are_counted_together() -> None:
    """The limit on parameters is one on their sum, constants in nodes included."""
    model = small_model()
    model.graph.node.append(helper.make_node("Constant", [], ["c"], value=helper.make_tensor("c", 1, [3], [1, 2, 3])))
    exactly = Rules(limits=Limits(parameters=15))
    assert examine(model.SerializeToString(), exactly) == ()
    found = examine(model.SerializeToString(), Rules(limits=Limits(parameters=14)))
    assert [finding.rule for finding in found] == ["parameters"]


def test_a_runtime_that_nobody_asked_runs_nothing() -> None:
    """It is not guessed at."""
    found = examine(GOOD, replace(BUILD_RULES, runtimes=("9.9.9",)))
    assert [finding.rule for finding in found] == ["runtime"]


def test_the_oldest_runtime_of_a_fleet_decides() -> None:
    """Opset 23 is loaded by 1.31 and not by 1.20: with both in the fleet, it is refused for the one that cannot."""
    model = small_model()
    model.opset_import[0].version = 23
    data = model.SerializeToString()
    assert examine(data, DEVICE) == ()
    found = examine(data, replace(BUILD_RULES, runtimes=("1.31.1", "1.20.1")))
    assert [(finding.rule, "1.20.1" in finding.message) for finding in found] == [("opset", True)]


def _with_functions(calls: int, levels: int) -> bytes:
    """Each function calls the next so many times; written out they are calls ** levels nodes."""
    model = small_model()
    model.opset_import.append(helper.make_opsetid("local", 1))
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
    for level in range(levels):
        inner = "Relu" if level == levels - 1 else f"f{level + 1}"
        domain = "" if level == levels - 1 else "local"
        nodes = [helper.make_node(inner, ["a"], [f"b{call}"], domain=domain) for call in range(calls)]
        model.functions.append(helper.make_function("local", f"f{level}", ["a"], ["b0"], nodes, imports))
    model.graph.node.append(helper.make_node("f0", ["y"], ["z"], domain="local"))
    return model.SerializeToString()


FUNCTIONS = Rules(limits=Limits(functions=64), domains=frozenset({"", "local"}))


def test_functions_are_counted_as_they_grow() -> None:
    """Ten calls at each of sixty levels are 10^60 nodes, found without writing out one of them."""
    assert examine(_with_functions(2, 5), FUNCTIONS) == ()
    began = time.perf_counter()
    found = examine(_with_functions(10, 60), FUNCTIONS)
    assert [finding.rule for finding in found] == ["function-expansion"]
    assert time.perf_counter() - began < 5


def test_functions_that_call_each_other_are_refused() -> None:
    """Writing them out would not end."""
    model = onnx.load_from_string(_with_functions(1, 2))
    model.functions[1].node[0].op_type, model.functions[1].node[0].domain = "f0", "local"
    assert examine(model.SerializeToString(), FUNCTIONS)[0].rule == "function-recursion"


def test_a_subgraph_is_looked_into() -> None:
    """What is refused in the graph is refused in a graph inside of it, where graphs inside are taken at all."""
    inner = helper.make_graph([helper.make_node("Gelu", ["y"], ["g"])], "inner", [], [])
    model = small_model()
    model.graph.node.append(helper.make_node("If", ["c"], ["z"], then_branch=inner, else_branch=inner))
    rules = replace(DEVICE, limits=Limits(subgraphs=1), refused=frozenset())
    assert [finding.rule for finding in examine(model.SerializeToString(), rules)] == ["operator"]


@given(st.lists(st.integers(-2, 2**63 - 1), max_size=8), st.integers(1, 2**40))
def test_products_are_exact(dimensions: list[int], limit: int) -> None:
    """The number of elements, or nothing; never a number that came out of an overflow."""
    found = elements_of(dimensions, limit)
    product = 1
    for dimension in dimensions:
        product *= dimension
    assert found is None or found == product <= limit
    if found is None:
        assert min(dimensions) < 0 or any(dimension > 1 for dimension in dimensions)


@given(st.data())
@settings(max_examples=400, deadline=None)
def test_any_damage_is_a_finding_or_a_model(data: st.DataObject) -> None:
    """Bytes changed, cut, doubled: the checker says something or nothing, and raises nothing."""
    damaged = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(damaged) - 1))
        match data.draw(st.sampled_from(["set", "cut", "double"])):
            case "set":
                damaged[position] = data.draw(st.integers(0, 255))
            case "cut":
                del damaged[position : position + data.draw(st.integers(1, 9))]
                damaged = damaged or bytearray(b"\0")
            case _:
                damaged[position:position] = damaged[position : position + data.draw(st.integers(1, 40))]
    found = examine(bytes(damaged), DEVICE)
    assert {finding.rule for finding in found} <= set(RULES)
    if not found:
        parsed = onnx.load_from_string(bytes(damaged))
        assert all(tensor.data_location != TensorProto.EXTERNAL for tensor in parsed.graph.initializer)


@given(st.binary(max_size=400))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_a_finding_or_a_model(data: bytes) -> None:
    """None of them raises anything."""
    assert {finding.rule for finding in examine(data, DEVICE)} <= set(RULES)
