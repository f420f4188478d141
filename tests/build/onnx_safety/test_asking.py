"""The table of operators says what the installed runtime says of itself, and models of others agree."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from hostile_models import small_model
from muster.build.onnx_runtime import VERSION, Session
from muster.build.onnx_safety.admit import examine
from muster.build.onnx_safety.asking import DOMAINS, ask, merged
from muster.build.onnx_safety.rules import WHATEVER_LOADS
from muster.build.onnx_safety.safe_model import SafeModel
from muster.kinds.errors import Refused
from muster.kinds.runtime_operators import OPERATORS, runs
from muster.kinds.runtimes import ONNX_RUNTIMES

LOADED = replace(WHATEVER_LOADS, runtimes=(VERSION,))
MINOR = VERSION.rpartition(".")[0]
SHIPPED = sorted((Path(onnx.__file__).parent / "backend/test/data").rglob("*.onnx"))


def test_the_table_holds_the_answers_of_the_installed_runtime() -> None:
    """Every operator and version of its registry, and no other."""
    found = {
        (domain, name, since)
        for domain, names in ask().items()
        for name, versions in names.items()
        for since, can in versions.items()
        if can
    }
    told = {
        (domain, name, since)
        for domain in DOMAINS
        for name, row in OPERATORS[domain].items()
        for since in (int(entry.partition(":")[0]) for entry in row.split())
        if runs(MINOR, domain, name, since)
    }
    assert found == told


def test_every_runtime_of_the_other_table_was_asked() -> None:
    """Each version that raised something stands in the table of opsets too."""
    raised = {
        entry.partition(":")[2] for rows in OPERATORS.values() for row in rows.values() for entry in row.split()
    } - {"", "-"}
    assert raised <= set(ONNX_RUNTIMES)
    assert runs("1.20", "", "Conv", 21)
    assert not runs("1.20", "", "Gelu", 19)


def test_merging_refuses_what_the_table_cannot_say() -> None:
    """An operator that a newer runtime lost would be a hole in the allow-list."""
    answers = {"1.1": {"": {"Old": {1: True}, "New": {1: False}}}, "1.2": {"": {"Old": {1: True}, "New": {1: True}}}}
    assert merged(answers)[""] == {"Old": "1", "New": "1:1.2"}
    with pytest.raises(ValueError, match=r"1.3 does not run Old-1, which 1.1 runs"):
        merged({**answers, "1.3": {"": {"Old": {1: False}}}})


def test_there_are_models_to_ask_about() -> None:
    """The package carries those of its own backend tests."""
    assert len(SHIPPED) > 100


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.parent.name)
def test_a_shipped_model_loads_or_is_refused_for_a_named_reason(path: Path) -> None:
    """What is refused, the runtime does not load either; what is not, it loads: the checker and it agree."""
    data = path.read_bytes()
    rules = {finding.rule for finding in examine(data, LOADED)}
    assert rules <= {"opset", "ir", "operator", "domain"}
    if "StringNormalizer" in {node.op_type for node in onnx.load_from_string(data).graph.node} and not _loads(data):
        pytest.skip("the runtime wants the locale en_US for this operator, which this machine may not have")
    assert _loads(data) == (not rules)


@functools.cache
def _loads(data: bytes) -> bool:
    try:
        Session(SafeModel(data))
    except Refused:
        return False
    return True


def test_the_small_model_of_these_tests_loads() -> None:
    """Otherwise its variations would be refused for another reason."""
    assert _loads(small_model().SerializeToString())
