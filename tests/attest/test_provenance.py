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
from muster.attest.provenance import LOCAL_BUILDER, REBUILDER, provenance_of, rebuild_provenance_of
from muster.build.measuring.machine import machine_of
from muster.build.pipeline import BuildResult, build_release
from muster.kinds.digest import digest_of_value, hex_of
from muster.kinds.errors import Unusable
from muster.kinds.evidence import BUILD_TYPE, PROVENANCE, REBUILD_TYPE, Rebuild

MACHINE = machine_of("", "x86_64")
NOW = datetime(2026, 3, 1, 10, tzinfo=UTC)


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> BuildResult:
    return build_release(release(), filled_store(tmp_path_factory.mktemp("provenance")), LOCK)


@pytest.fixture(scope="module")
def predicate(result: BuildResult) -> dict:
    return provenance_of(release(), result, (NOW, NOW + timedelta(seconds=9)), LOCAL_BUILDER, MACHINE)


@pytest.fixture(scope="module")
def again(result: BuildResult) -> dict:
    """Of a rebuild on an emulated CPU, from the pinned table."""
    rebuilt = Rebuild(
        release=release().name,
        rebuilt_at="2026-03-01T10:00:00Z",
        level="L2",
        verdict="GOOD",
        cpu="x86_64/emulated/Nehalem",
        from_table="pinned",
        emulated_on=MACHINE.cpu,
    )
    return rebuild_provenance_of(release(), result, (NOW, NOW + timedelta(seconds=9)), rebuilt, MACHINE)


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


def test_a_rebuild_says_the_same_and_that_it_is_one(predicate: dict, again: dict) -> None:
    """The public definition takes it too; inputs and outputs are those of the build, type and builder are its own."""
    message = ParseDict(again, Provenance())
    assert message.build_definition.build_type == REBUILD_TYPE != BUILD_TYPE
    assert message.run_details.builder.id == REBUILDER
    told = again["buildDefinition"]["internalParameters"]
    assert (told["fromTable"], told["level"], told["emulatedOn"]) == ("pinned", "L2", MACHINE.cpu)
    for field in ("externalParameters", "resolvedDependencies"):
        assert again["buildDefinition"][field] == predicate["buildDefinition"][field]
    assert again["runDetails"]["byproducts"] == predicate["runDetails"]["byproducts"]


def test_the_documents_name_every_field(predicate: dict, again: dict) -> None:
    """What a build type means stands in `docs/provenance.md`: each parameter, dependency and by-product by its name."""
    text = (Path(__file__).parents[2] / "docs/provenance.md").read_text()
    definition = again["buildDefinition"]
    names = {
        *(definition["externalParameters"] | definition["internalParameters"]),
        *(item["name"] for item in definition["resolvedDependencies"] if item.get("name", "/").isalpha()),
        *(item["name"] for item in again["runDetails"]["byproducts"]),
        predicate["buildDefinition"]["buildType"],
        definition["buildType"],
    }
    assert [name for name in sorted(names) if f"`{name}`" not in text] == []


@pytest.mark.parametrize("builder", ["", "me", ":x", "a b:c", "1:2", "x:\n"])
def test_a_builder_is_a_uri(builder: str, result: BuildResult) -> None:
    """Anything else is bad usage."""
    with pytest.raises(Unusable, match="no URI"):
        provenance_of(release(), result, (NOW, NOW), builder, MACHINE)
