"""Source models come from outside: what could read files, run code or grow without bound is refused with its reason."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from meter_example import LOCK, changed, digests, filled_store, release
from muster.artifacts.store import Store
from muster.artifacts.tensors import dump_tensors
from muster.build.onnx_model import dump_model, strip
from muster.build.pipeline import build_release
from muster.build.shapes import cost_of
from muster.build.stage_functions import calibrate, import_model, preprocess
from muster.kinds.errors import MusterError, Refused

SPEC = release().spec


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    store = filled_store(tmp_path_factory.mktemp("source"))
    return store.get(digests()["models"]["1.1.0"]["digest"])


def _take_in(data: bytes) -> bytes:
    imported = import_model(data, SPEC.recipe.import_, SPEC.onnx)
    return preprocess(imported, SPEC.recipe.preprocess, SPEC.inference)


def _set_opset(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 16


def _second_domain(model: onnx.ModelProto) -> None:
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))


def _ir(model: onnx.ModelProto) -> None:
    model.ir_version = 14


def _external(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../../etc/passwd"


def _foreign_operator(model: onnx.ModelProto) -> None:
    model.graph.node[1].domain = "com.example"


def _function(model: onnx.ModelProto) -> None:
    model.functions.add(name="f", domain="local")


def _control_flow(model: onnx.ModelProto) -> None:
    attribute = model.graph.node[1].attribute.add(name="body", type=onnx.AttributeProto.GRAPH)
    attribute.g.name = "inner"


def _bomb(model: onnx.ModelProto) -> None:
    model.graph.node[1].op_type = "ConstantOfShape"


def _random(model: onnx.ModelProto) -> None:
    model.graph.node[1].op_type = "RandomNormalLike"


def _huge_initializer(model: onnx.ModelProto) -> None:
    del model.graph.initializer[0].dims[:]
    model.graph.initializer[0].dims.extend([2**31, 2**31, 2**31])


def _negative_dimension(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[0] = -1


def _short_data(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].raw_data = model.graph.initializer[0].raw_data[:-4]


def _too_many_nodes(model: onnx.ModelProto) -> None:
    model.graph.node.extend([model.graph.node[1]] * 20_000)


def _cycle(model: onnx.ModelProto) -> None:
    model.graph.node[0].input[0] = "scores"


def _other_input(model: onnx.ModelProto) -> None:
    model.graph.input[0].name = "picture"
    model.graph.node[0].input[0] = "picture"


def _fixed_batch(model: onnx.ModelProto) -> None:
    for value in (model.graph.input[0], model.graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_value = 1


def _open_shape(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "H"


def _string(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(helper.make_tensor("text", TensorProto.STRING, [1], [b"x"]))


HOSTILE: dict[str, tuple[Callable[[onnx.ModelProto], None], str]] = {
    "another opset": (_set_opset, "opsets"),
    "a second domain": (_second_domain, "opsets"),
    "another IR version": (_ir, "IR version 14"),
    "external data": (_external, "outside the file"),
    "foreign operator": (_foreign_operator, "of domain 'com.example'"),
    "local function": (_function, "local functions"),
    "control flow": (_control_flow, "holds a graph"),
    "shape bomb": (_bomb, "ConstantOfShape is not accepted"),
    "random numbers": (_random, "RandomNormalLike is not accepted"),
    "huge initializer": (_huge_initializer, "parameters"),
    "negative dimension": (_negative_dimension, "negative dimension"),
    "initializer cut short": (_short_data, "bytes of data"),
    "too many nodes": (_too_many_nodes, "20006 nodes"),
    "cycle": (_cycle, "onnx.checker"),
    "another input": (_other_input, "input and output"),
    "fixed batch": (_fixed_batch, "free first axis"),
    "open shape": (_open_shape, "the shape"),
    "text": (_string, "no numbers"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_models_are_refused_with_the_reason(source: bytes, case: str) -> None:
    """Before anything is computed with them."""
    change, why = HOSTILE[case]
    model = onnx.load_from_string(source)
    change(model)
    with pytest.raises(Refused, match=why):
        _take_in(model.SerializeToString())


def test_a_model_above_the_declared_size_is_refused(source: bytes) -> None:
    """The recipe says how much is taken in."""
    stage = SPEC.recipe.import_.model_copy(update={"max_size": len(source) - 1})
    with pytest.raises(Refused, match="the recipe takes"):
        import_model(source, stage, SPEC.onnx)


@given(position=st.integers(0, 10**6), byte=st.integers(0, 255))
@settings(max_examples=60, deadline=None)
def test_any_damage_is_refused_or_survived(position: int, byte: int) -> None:
    """No byte of a source model makes the builder fail in another way than by a complaint of its own."""
    data = bytearray(_SOURCE[0])
    data[position % len(data)] = byte
    with contextlib.suppress(MusterError):
        _take_in(bytes(data))


_SOURCE: list[bytes] = []


@pytest.fixture(scope="module", autouse=True)
def _remember(source: bytes) -> None:
    _SOURCE[:] = [source]


@pytest.mark.parametrize("data", [b"", b"not a model", b"\x08\x08", b"\xff" * 100])
def test_what_is_no_model_is_refused(data: bytes) -> None:
    """Without a traceback."""
    with pytest.raises(Refused):
        _take_in(data)


def test_texts_do_not_reach_the_artifact(source: bytes) -> None:
    """Doc strings, metadata and the producer's name change no answer, and so no digest after preprocessing."""
    model = onnx.load_from_string(source)
    model.doc_string = model.graph.doc_string = model.graph.node[0].doc_string = "made on a Tuesday"
    model.producer_name, model.producer_version = "exporter", "1"
    model.metadata_props.add(key="machine", value="laptop")
    model.graph.node[2].metadata_props.add(key="line", value="12")
    model.graph.initializer[0].doc_string = "kernels"
    assert _take_in(source) == _take_in(model.SerializeToString())
    assert strip(model).producer_name == ""


@pytest.mark.parametrize("weight", [np.nan, np.inf, 1e38])
def test_a_tensor_that_leaves_float32_stops_calibration(source: bytes, weight: float) -> None:
    """Not-a-number is no bound that could be dropped, and what overflows has no range."""
    model = onnx.load_from_string(source)
    kernels = np.full((16, 1, 3, 3), weight, np.float32)
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(kernels, "kernels"))
    snapshot = dump_tensors({"frames": np.full((3, 8, 8), 9, np.uint8)})
    with pytest.raises(Refused, match="leaves the range of float32"):
        calibrate(_take_in(dump_model(model)), snapshot, SPEC.recipe.calibrate, SPEC.inference, lambda *_: None)


def test_a_canonical_source_is_imported_as_it_is(source: bytes) -> None:
    """Not a byte changes."""
    assert source == import_model(source, SPEC.recipe.import_, SPEC.onnx)


def test_a_model_that_changes_nothing_but_a_weight_is_another_artifact(tmp_path: Path, source: bytes) -> None:
    """One bit of one weight reaches the artifact's digest, and the first difference is where it came in."""
    store = filled_store(tmp_path)
    model = onnx.load_from_string(source)
    weights = numpy_helper.to_array(model.graph.initializer[1]).copy()
    weights[0, 0] += np.float32(0.5)
    model.graph.initializer[1].CopyFrom(numpy_helper.from_array(weights, "weights"))
    other = store.put(dump_model(model))
    declared = changed(release(), source=SPEC.source.model_copy(update={"digest": other}))
    result = build_release(declared, store, LOCK)
    assert result.difference == "imported"
    assert result.artifact != SPEC.artifact


def test_costs_by_hand() -> None:
    """Conv 2x1x3x3 on 8x8, then Gemm 128 to 10: 2*64*9 and 1280 operations; bytes as the docstring counts them."""
    kernels = numpy_helper.from_array(np.ones((2, 1, 3, 3), np.float32), "kernels")
    weights = numpy_helper.from_array(np.ones((10, 128), np.float32), "weights")
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "kernels"], ["c"], pads=[1, 1, 1, 1]),
            helper.make_node("Flatten", ["c"], ["f"]),
            helper.make_node("Gemm", ["f", "weights"], ["y"], transB=1),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 1, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 10])],
        [kernels, weights],
    )
    cost = cost_of(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))
    assert cost.operations == 2 * 64 * 9 + 128 * 10
    assert cost.parameters == 18 + 1280
    assert cost.bytes == 4 * (18 + 1280) + 2 * 4 * (64 + 128 + 128 + 10)
    assert cost.operators == {"Conv": 1, "Flatten": 1, "Gemm": 1}


def test_a_store_without_anything(tmp_path: Path) -> None:
    """An empty store is no crash."""
    with pytest.raises(MusterError, match="source model"):
        build_release(release(), Store(tmp_path), LOCK)
