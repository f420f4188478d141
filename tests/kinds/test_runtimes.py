"""The table of runtimes says what the installed runtime says of itself."""

from __future__ import annotations

import onnx
import pytest
from onnx import TensorProto, helper

from muster.build.onnx_runtime import Session, onnxruntime
from muster.kinds.errors import Refused
from muster.kinds.runtimes import loadable

NEWEST_ASKED = 40


def loads(opset: int, ir: int) -> bool:
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "one", value[:1], value[1:])
    model = onnx.ModelProto(ir_version=ir, graph=graph, opset_import=[helper.make_opsetid("", opset)])
    try:
        Session(model.SerializeToString())
    except Refused:
        return False
    return True


def test_the_installed_runtime_loads_exactly_what_the_table_says() -> None:
    """Opsets inside the range load and those outside do not; so with IR versions."""
    known = loadable(onnxruntime.__version__)
    assert known is not None
    opsets = [opset for opset in range(1, NEWEST_ASKED) if loads(opset, 8)]
    assert opsets == list(range(known.least_opset, known.most_opset + 1))
    assert [ir for ir in range(1, NEWEST_ASKED) if loads(15, ir)] == list(range(1, known.most_ir + 1))


@pytest.mark.parametrize("version", ["1.19.2", "2.0.0", "1.31.1+vendor", "1.31", "1.311.1", ""])
def test_versions_that_nobody_asked_are_unknown(version: str) -> None:
    """No version is guessed at, and no vendor's build is taken for the released one."""
    assert loadable(version) is None
