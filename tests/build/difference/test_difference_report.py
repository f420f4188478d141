"""The report names what differs and no more, and a cause only with its evidence."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper

from hostile_models import small_model
from meter_example import LOCK, ROOT, changed, filled_store, release
from muster.artifacts.store import Store
from muster.build.calibration_table import CalibrationTable
from muster.build.difference.report import difference_report
from muster.build.difference.sides import Facts, facts_of, side_of
from muster.build.pipeline import BuildResult, build_release
from muster.cli import exit_code_of
from muster.cli.diff_model import diff_model
from muster.review.reports.model_difference import difference_markdown, difference_text


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return filled_store(tmp_path_factory.mktemp("state") / "store")


@pytest.fixture(scope="module")
def built(store: Store) -> BuildResult:
    return build_release(release(), store, LOCK)


@pytest.fixture
def model(built: BuildResult, store: Store) -> onnx.ModelProto:
    return onnx.load_from_string(store.get(built.outputs.quantized))


def _report(one: onnx.ModelProto, other: onnx.ModelProto, facts: tuple[Facts, Facts] = (Facts(), Facts())) -> dict:
    sides = (side_of(name, m.SerializeToString(), f) for name, m, f in zip("ab", (one, other), facts, strict=True))
    report = difference_report(*sides)
    assert report == json.loads(json.dumps(report))
    return report


def _nudge(model: onnx.ModelProto, role: str, steps: int) -> str:
    """Move the first number of the first scale or weight by so many steps; its name."""
    position = {"scale": 1, "weight": 0}[role]
    inputs = [node.input[position] for node in model.graph.node if node.op_type == "DequantizeLinear"]
    tensor = next(t for t in map(partial(_known, model), inputs) if t and t.data_type in (1, TensorProto.INT8))
    array = numpy_helper.to_array(tensor).copy()
    flat = array.reshape(-1)
    for _ in range(steps):
        flat[0] = np.nextafter(flat[0], np.float32(np.inf)) if role == "scale" else flat[0] - np.sign(flat[0] or 1)
    tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    return tensor.name


def _known(model: onnx.ModelProto, name: str) -> onnx.TensorProto | None:
    return next((tensor for tensor in model.graph.initializer if tensor.name == name), None)


def test_the_same_is_the_same(model: onnx.ModelProto) -> None:
    """And no cause is sought for it."""
    report = _report(model, model)
    assert (report["same"], report["summary"], report["causes"]) == (True, "the same", [])


def test_only_scales_by_one_ulp_point_to_the_instruction_set(model: onnx.ModelProto) -> None:
    """The pattern that calibration on another CPU leaves: one scale, one unit in the last place."""
    other = copy.deepcopy(model)
    name = _nudge(other, "scale", 1)
    report = _report(model, other)
    found = report["initializers"]
    assert (found["differ"], found["onlyScales"], found["histogram"]) == (1, True, {"ULP": {"1": 1}})
    assert found["differing"]["shown"][0]["name"] == name
    assert [(one["cause"], one["certainty"]) for one in report["causes"]] == [("isa", "likely")]
    assert report["summary"].startswith("what differs: only scales: 1 of ")


def test_scales_that_are_far_apart_point_to_the_data(model: onnx.ModelProto) -> None:
    """No rounding takes them so far."""
    other = copy.deepcopy(model)
    _nudge(other, "scale", 5_000)
    assert [one["cause"] for one in _report(model, other)["causes"]] == ["data"]


def test_weights_are_told_from_scales(model: onnx.ModelProto) -> None:
    """Whole numbers are counted in steps."""
    other = copy.deepcopy(model)
    _nudge(other, "weight", 2)
    report = _report(model, other)
    assert (report["initializers"]["onlyScales"], report["initializers"]["roles"]) == (False, {"weight": 1})
    assert report["initializers"]["histogram"] == {"steps": {"2": 1}}
    assert report["causes"][0]["cause"] == "source"


def _drop(model: onnx.ModelProto) -> None:
    del model.graph.node[-1]
    model.graph.output[0].name = model.graph.node[-1].output[0]


def _attribute(model: onnx.ModelProto) -> None:
    node = next(node for node in model.graph.node if node.attribute)
    node.attribute[0].i += 1
    node.attribute[0].ints.append(1)


def _operator(model: onnx.ModelProto) -> None:
    next(node for node in model.graph.node if node.op_type == "MaxPool").op_type = "AveragePool"


def _swap(model: onnx.ModelProto) -> None:
    nodes = [model.graph.node[1], model.graph.node[0], *model.graph.node[2:]]
    copies = [copy.deepcopy(node) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(copies)


def _rename(model: onnx.ModelProto) -> None:
    first = model.graph.node[0]
    old = first.output[0]
    first.output[0] = "another"
    for node in model.graph.node:
        for position, name in enumerate(node.input):
            if name == old:
                node.input[position] = "another"


def _shuffle(model: onnx.ModelProto) -> None:
    tensors = [copy.deepcopy(tensor) for tensor in reversed(model.graph.initializer)]
    del model.graph.initializer[:]
    model.graph.initializer.extend(tensors)


def _opset(model: onnx.ModelProto) -> None:
    model.opset_import[0].version += 1


def _producer(model: onnx.ModelProto) -> None:
    model.producer_version = "9.9"


def _shape(model: onnx.ModelProto) -> None:
    model.graph.value_info[0].type.tensor_type.elem_type = TensorProto.DOUBLE


CHANGES: dict[str, tuple[Callable[[onnx.ModelProto], None], str, str]] = {
    "a node is gone": (_drop, "removed", "unknown"),
    "an attribute is another": (_attribute, "attribute", "unknown"),
    "an operator is another": (_operator, "op_type: 'MaxPool' became 'AveragePool'", "unknown"),
    "two nodes change places": (_swap, "another sequence", "order"),
    "a tensor has another name": (_rename, "renamed", "order"),
    "initializers change places": (_shuffle, "another sequence", "order"),
    "another opset": (_opset, "ai.onnx 18", "version"),
    "another producer": (_producer, "9.9", "version"),
    "another recorded shape": (_shape, "value_info", "unknown"),
}


@pytest.mark.parametrize("case", CHANGES)
def test_every_change_is_named(model: onnx.ModelProto, case: str) -> None:
    """In text and in Markdown, with the cause that it points to first."""
    change, told, cause = CHANGES[case]
    other = copy.deepcopy(model)
    change(other)
    report = _report(model, other)
    assert not report["same"]
    assert report["causes"][0]["cause"] == cause
    assert told in difference_text(report)
    assert "### Likely causes" in difference_markdown(report)


def test_another_encoding_of_the_same_model_is_said_to_be_that(model: onnx.ModelProto) -> None:
    """The bytes differ and nothing that is in them."""
    other = copy.deepcopy(model)
    tensor = next(tensor for tensor in other.graph.initializer if tensor.data_type == TensorProto.FLOAT)
    values = numpy_helper.to_array(tensor).reshape(-1)
    raw = tensor.HasField("raw_data")
    tensor.ClearField("raw_data")
    tensor.ClearField("float_data")
    if raw:
        tensor.float_data.extend(values.tolist())
    else:
        tensor.raw_data = values.tobytes()
    report = _report(model, other)
    assert (report["same"], list(report["metadata"])) == (False, ["encoding"])


def test_declared_inputs_come_before_everything(model: onnx.ModelProto, store: Store) -> None:
    """Another calibration snapshot is said, not guessed; likewise source, recipe and builder."""
    facts = facts_of(release(), store)
    for name, cause in {
        "calibration snapshot": "data",
        "source model": "source",
        "builder": "version",
        "recipe snap": "recipe",
    }.items():
        assert name in facts.inputs
        other = copy.deepcopy(model)
        _nudge(other, "scale", 1)
        report = _report(model, other, (facts, replace(facts, inputs={**facts.inputs, name: "another"})))
        assert (report["causes"][0]["cause"], report["causes"][0]["certainty"]) == (cause, "declared")


def test_ranges_before_snapping_tell_rounding_from_data(model: onnx.ModelProto) -> None:
    """A snapped scale moves by a whole step of the grid, though calibration was off by one unit."""
    other = copy.deepcopy(model)
    _nudge(other, "scale", 8_192)
    tables = [
        CalibrationTable("CalibratedRanges", "minmax", {"x": (0.0, float(top))})
        for top in (np.float32(1), np.nextafter(np.float32(1), np.float32(2)))
    ]
    facts = tuple(Facts(inputs={"source model": "s"}, calibrated=table) for table in tables)
    report = _report(model, other, facts)
    assert report["ranges"] == {"bounds": 2, "differ": 1, "largest": 1, "histogram": {"ULP": {"1": 1}}}
    assert [(one["cause"], one["certainty"]) for one in report["causes"]] == [("isa", "likely")]


def test_the_first_stage_that_diverged_is_named(model: onnx.ModelProto, store: Store) -> None:
    """In the order of the stages."""
    facts = facts_of(release(), store)
    later = {**facts.outputs, "calibrated": "sha256:1", "quantized": "sha256:2"}
    report = _report(model, model, (facts, replace(facts, outputs=later)))
    assert (report["same"], report["firstStageThatDiverged"]) == (False, "calibrated")
    assert report["summary"] == "the models are the same; calibrated differs"


def test_a_weight_that_rounding_moved_points_to_the_instruction_set(model: onnx.ModelProto) -> None:
    """With the same inputs: one unit in the last place of a float, one step of a whole number, and no further."""
    same = Facts(inputs={"source model": "s"})
    for steps, cause in ((1, "isa"), (3, "version")):
        other = copy.deepcopy(model)
        _nudge(other, "weight", steps)
        assert [one["cause"] for one in _report(model, other, (same, same))["causes"]] == [cause]
    one, other = small_model(), small_model()
    weights = numpy_helper.to_array(one.graph.initializer[0]).copy()
    weights[2, 3] = np.nextafter(weights[2, 3], np.float32(99))
    other.graph.initializer[0].CopyFrom(numpy_helper.from_array(weights, "weights"))
    report = _report(one, other, (same, same))
    assert (report["initializers"]["histogram"], report["initializers"]["roles"]) == ({"ULP": {"1": 1}}, {"weight": 1})
    assert [(one["cause"], one["certainty"]) for one in report["causes"]] == [("isa", "likely")]
    # Nobody knows where these come from.
    assert [one["cause"] for one in _report(one, other)["causes"]] == ["source", "isa"]


def test_other_tools_and_other_machines_are_named(model: onnx.ModelProto) -> None:
    """As the reports of two builds tell them: a version is declared, an instruction set is possible."""
    facts = [
        Facts(inputs={"tool onnxruntime": version}, machine={"isa": isa})
        for version, isa in (("1.30.0", "avx2"), ("1.31.1", "avx2 avx512_vnni"))
    ]
    other = copy.deepcopy(model)
    _nudge(other, "scale", 1)
    causes = _report(model, other, (facts[0], facts[1]))["causes"]
    assert (causes[0]["cause"], causes[0]["certainty"]) == ("version", "declared")
    assert "1.30.0 and 1.31.1" in causes[0]["evidence"]
    assert [one["cause"] for one in causes].count("isa") == 2
    assert "avx512_vnni" in causes[-1]["evidence"]


def _hostile_type(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = 9_999


def _sequence(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.sequence_type.elem_type.tensor_type.elem_type = 1


def _sparse(model: onnx.ModelProto) -> None:
    sparse = model.graph.sparse_initializer.add()
    sparse.values.CopyFrom(helper.make_tensor("values", TensorProto.FLOAT, [1], [1.0]))
    sparse.indices.CopyFrom(helper.make_tensor("indices", TensorProto.INT64, [1], [0]))
    sparse.dims.append(10)


def _twice(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(helper.make_tensor("weights", TensorProto.FLOAT, [1], [7.0]))


def _same_output(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Sigmoid", ["x"], ["y"]))


@pytest.mark.parametrize("change", [_hostile_type, _sequence, _sparse, _twice, _same_output])
def test_what_no_runtime_would_take_is_told_apart_too(change: Callable[[onnx.ModelProto], None]) -> None:
    """Types that nobody knows, names that come twice: a difference in them is named, and not taken for an encoding."""
    other = small_model()
    change(other)
    for pair in ((small_model(), other), (other, small_model())):
        report = _report(*pair)
        assert (report["same"], "encoding" in report["metadata"]) == (False, False)
        assert difference_text(report)
    assert _report(other, other)["same"]


def test_a_constant_in_a_node_is_compared_number_by_number() -> None:
    """As an initializer is, not as an attribute that differs."""
    models = []
    for value in (1.0, float(np.nextafter(np.float32(1), np.float32(2)))):
        made = small_model()
        tensor = helper.make_tensor("c", TensorProto.FLOAT, [1], [value])
        made.graph.node.insert(0, helper.make_node("Constant", [], ["c"], value=tensor))
        models.append(made)
    report = _report(*models)
    assert report["graph"]["changed"]["count"] == 0
    assert report["initializers"]["histogram"] == {"ULP": {"1": 1}}


def test_names_out_of_a_model_do_not_reach_the_terminal(model: onnx.ModelProto) -> None:
    """Nor do they end a table."""
    other = copy.deepcopy(model)
    other.graph.node.append(helper.make_node("Relu", ["scores"], ["\x1b[2J|x\n# heading"]))
    report = _report(model, other)
    assert "\x1b" not in difference_text(report)
    lines = difference_markdown(report).splitlines()
    assert not [line for line in lines if line.startswith("# ")]
    assert [line for line in lines if "\\u007cx" in line]
    assert all(line.count("|") in (0, 3, 4, 5) for line in lines)


def test_the_verb_takes_files_artifacts_releases_and_reports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: Store, built: BuildResult, model: onnx.ModelProto
) -> None:
    """Exit code 0 for the same, 1 for a difference, 2 for what cannot be read."""
    state = str(store.folder.parent)
    monkeypatch.chdir(ROOT)
    data = store.get(built.outputs.quantized)
    (tmp_path / "model.onnx").write_bytes(data)
    (tmp_path / "artifact.tar").write_bytes(store.get(built.artifact.digest))
    outputs = [{"output": name, "found": digest} for name, digest in built.outputs.in_order()]
    (tmp_path / "report.json").write_text(json.dumps({"release": "meter-reader/1.1.0", "outputs": outputs}))
    other = copy.deepcopy(model)
    _nudge(other, "scale", 1)
    (tmp_path / "other.onnx").write_bytes(other.SerializeToString())
    same = ["model.onnx", "artifact.tar", "report.json"]
    for name in same:
        assert exit_code_of(["diff-model", "meter-reader/1.1.0", str(tmp_path / name), "--state", state]) == 0
    for output in ("text", "json", "yaml", "markdown"):
        arguments = [str(tmp_path / "model.onnx"), str(tmp_path / "other.onnx"), "-o", output]
        done = CliRunner().invoke(diff_model, arguments, standalone_mode=False)
        assert (done.return_value, "only scales" in done.output) == (1, True)


@pytest.mark.parametrize("data", [b"", b"\xff\xff", b"{", b"[]", b'{"outputs": 1}', b'{"outputs": []}', b"{" * 100_000])
def test_what_cannot_be_read_is_no_difference(tmp_path: Path, capsys: pytest.CaptureFixture[str], data: bytes) -> None:
    """Exit code 2, and a hint."""
    (tmp_path / "bad").write_bytes(data)
    assert exit_code_of(["diff-model", str(tmp_path / "bad"), str(tmp_path / "bad")]) == 2
    assert "hint:" in capsys.readouterr().err


def test_releases_with_other_sources_differ_by_declaration(store: Store, built: BuildResult) -> None:
    """A release that pins another source says so itself."""
    spec = release().spec
    other = changed(release(), source=spec.source.model_copy(update={"digest": "sha256:" + "0" * 64}))
    data = store.get(built.outputs.quantized)
    sides = (side_of(name, data, facts_of(one, store)) for name, one in (("a", release()), ("b", other)))
    report = difference_report(*sides)
    # What comes out is pinned the same, so nothing differs; the cause is only sought for a difference.
    assert report["same"]
