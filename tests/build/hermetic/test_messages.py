"""What goes to the process reads there as here; what comes back is judged before it is used."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from meter_example import release
from muster.build.hermetic.messages import MAX_RESULT, read_result, write_request
from muster.build.hermetic.values import read_values
from muster.build.pipeline import BuildInputs
from muster.kinds.errors import MusterError, Refused, TryAgain, Unusable

RAN = {
    "outputs": {"imported": "sha256:" + "0" * 64},
    "stages": [{"stage": "import", "digest": "sha256:" + "0" * 64, "cached": False, "seconds": 0.5}],
    "measurement": {
        **{name: {"frames": 3, "right": 2, "confident": 1} for name in ("source", "artifact")},
        **{
            name: {"operators": {"Conv": 1}, "parameters": 1, "operations": 2, "bytes": 3}
            for name in ("source_cost", "artifact_cost")
        },
        "model_size": 10,
    },
    "tools": {"onnxruntime": "1.30.0"},
}


def test_a_release_reads_there_as_here() -> None:
    """Fields, properties, tuples and decimals of everything that the stages look at."""
    inputs = BuildInputs.of(release())
    request = json.loads(write_request(inputs, None))
    there = BuildInputs(**{name: read_values(value) for name, value in request["inputs"].items()})
    assert (inputs.source, inputs.tolerance) == (there.source, there.tolerance)
    assert isinstance(there.tolerance, Decimal)
    recipe, same = there.recipe, inputs.recipe
    assert (same.import_.max_size, same.calibrate.batch) == (recipe.import_.max_size, recipe.calibrate.batch)
    assert same.quantize.operators == recipe.quantize.operators
    assert same.quantize.model_dump(mode="json") == recipe.quantize.model_dump(mode="json")
    assert inputs.inference.config_version == there.inference.config_version
    assert inputs.inference.thresholds.confidence == there.inference.thresholds.confidence
    assert inputs.inference.input.normalization.divisor == there.inference.input.normalization.divisor


def test_a_result_reads_back() -> None:
    """As what the pipeline takes."""
    ran = read_result(json.dumps({"ran": RAN}).encode(), "the build")
    assert ran.outputs == RAN["outputs"]
    assert (ran.measurement.artifact.right, ran.stages[0].stage, ran.tools) == (2, "import", RAN["tools"])


@pytest.mark.parametrize("kind", [Refused, TryAgain, Unusable])
def test_an_error_is_the_same_error_here(kind: type[MusterError]) -> None:
    """With message and hint."""
    error = {"type": kind.__name__, "message": "m", "hint": "h"}
    with pytest.raises(kind) as caught:
        read_result(json.dumps({"error": error}).encode(), "the build")
    assert (caught.value.message, caught.value.hint) == ("m", "h")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b"[" * 100_000,
        json.dumps({"ran": {**RAN, "outputs": {"imported": "../../etc/passwd"}}}).encode(),
        json.dumps({"ran": {**RAN, "stages": 3}}).encode(),
        json.dumps({"ran": {**RAN, "measurement": {}}}).encode(),
        json.dumps({"error": {"type": "SystemExit", "message": "m", "hint": None}}).encode(),
        json.dumps({"error": "no"}).encode(),
        json.dumps({"ran": RAN}).encode() + b" " * MAX_RESULT,
    ],
    ids=["nothing", "list", "empty", "deep", "path", "stages", "measurement", "error", "text", "long"],
)
def test_a_hostile_result_is_unusable(data: bytes) -> None:
    """It says nothing about the release."""
    with pytest.raises(Unusable, match="left no result"):
        read_result(data, "the build")
