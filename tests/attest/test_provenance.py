"""Provenance fits the public definition, and names everything that went in."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from google.protobuf.json_format import ParseDict, ParseError
from in_toto_attestation.predicates.provenance.v1.provenance_pb2 import Provenance
from in_toto_attestation.v1.resource_descriptor import ResourceDescriptor
from in_toto_attestation.v1.statement import Statement
from in_toto_attestation.v1.statement_pb2 import Statement as StatementMessage

from meter_example import LOCK, filled_store, release
from muster.attest.evidence import sign_evidence
from muster.attest.keys import new_private_key
from muster.attest.provenance import BUILD_TYPE, LOCAL_BUILDER, provenance_of
from muster.build.measuring.machine import machine_of
from muster.build.pipeline import build_release
from muster.kinds.digest import digest_of_value, hex_of
from muster.kinds.errors import Unusable
from muster.kinds.evidence import PROVENANCE

MACHINE = machine_of("", "x86_64")
NOW = datetime(2026, 3, 1, 10, tzinfo=UTC)


@pytest.fixture(scope="module")
def predicate(tmp_path_factory: pytest.TempPathFactory) -> dict:
    result = build_release(release(), filled_store(tmp_path_factory.mktemp("provenance")), LOCK)
    return provenance_of(release(), result, (NOW, NOW + timedelta(seconds=9)), LOCAL_BUILDER, MACHINE)


def test_it_fits_the_public_definition(predicate: dict) -> None:
    """SLSA's own message takes it without an unknown field, and what SLSA requires is there, in a valid statement."""
    message = ParseDict(predicate, Provenance())
    assert message.build_definition.build_type
    assert message.build_definition.external_parameters.fields
    assert message.run_details.builder.id == LOCAL_BUILDER
    assert message.run_details.metadata.finished_on.ToDatetime(UTC) == NOW + timedelta(seconds=9)
    for item in (*message.build_definition.resolved_dependencies, *message.run_details.byproducts):
        ResourceDescriptor.copy_from_pb(item).validate()
    signed = sign_evidence({"a": release().spec.artifact.digest}, PROVENANCE, predicate, new_private_key())
    payload = json.loads(base64.b64decode(json.loads(signed)["dsseEnvelope"]["payload"]))
    Statement.copy_from_pb(ParseDict(payload, StatementMessage())).validate()
    with pytest.raises(ParseError):
        ParseDict({**predicate, "unknown": {}}, Provenance())


def test_it_names_everything_that_went_in(predicate: dict) -> None:
    """Every input of the build by the digest that the release pins, and the versions of its tools."""
    definition, spec = predicate["buildDefinition"], release().spec
    resolved = definition["resolvedDependencies"]
    named = {item["name"]: item["digest"]["sha256"] for item in resolved if "digest" in item}
    assert [item["uri"] for item in resolved if item.get("name") == "cpu"] == [f"muster:cpu/{MACHINE.cpu}"]
    assert named == {
        "recipe": hex_of(digest_of_value(spec.recipe.model_dump(mode="json", by_alias=True))),
        "source": hex_of(spec.source.digest),
        "calibration": hex_of(spec.snapshots.calibration),
        "evaluation": hex_of(spec.snapshots.evaluation),
        "golden": hex_of(spec.snapshots.golden.inputs),
        "calibrationTable": hex_of(spec.calibration_table),
        "builders/onnxruntime-1.31.lock": hex_of(spec.builder.digest),
    }
    assert "pkg:pypi/onnxruntime@1.31.1" in [item.get("uri") for item in definition["resolvedDependencies"]]
    assert definition["buildType"] == BUILD_TYPE
    assert definition["externalParameters"]["release"] == "meter-reader/1.1.0"
    assert definition["externalParameters"]["recipe"] == spec.recipe.model_dump(mode="json")
    metadata = predicate["runDetails"]["metadata"]
    assert metadata == {"startedOn": "2026-03-01T10:00:00Z", "finishedOn": "2026-03-01T10:00:09Z"}


@pytest.mark.parametrize("builder", ["", "me", ":x", "a b:c", "1:2", "x:\n"])
def test_a_builder_is_a_uri(builder: str, tmp_path: Path) -> None:
    """Anything else is bad usage."""
    result = build_release(release(), filled_store(tmp_path), LOCK)
    with pytest.raises(Unusable, match="no URI"):
        provenance_of(release(), result, (NOW, NOW), builder, MACHINE)
