"""Statements in others' formats: their own implementations accept them, and they say what our values say."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime

import pytest
from google.protobuf.json_format import ParseDict, ParseError
from in_toto_attestation.predicates.scai.v0.scai_pb2 import AttributeReport
from in_toto_attestation.predicates.test_result.v0.test_result_pb2 import TestResult as ResultMessage
from in_toto_attestation.v1.resource_descriptor import ResourceDescriptor
from in_toto_attestation.v1.statement import Statement
from in_toto_attestation.v1.statement_pb2 import Statement as StatementMessage

from evidences import evidence_files
from meter_example import release
from muster.attest.evidence import read_evidence, sign_evidence
from muster.attest.keys import new_private_key, public_half
from muster.attest.statements.admission import ADMITTED, VERIFIER, admission, gate_properties
from muster.attest.statements.hardware_facts import hardware_facts
from muster.attest.statements.release_names import names_of, release_names
from muster.attest.statements.test_result import test_result as result_of
from muster.check.verdict import Verdict, Waived
from muster.kinds.digest import digest_of, hex_of
from muster.kinds.errors import Refused
from muster.kinds.evidence import ADMISSION, HARDWARE, RELEASE_NAMES, TEST_RESULT
from muster.kinds.signing_key import SigningKey

NOW = datetime(2026, 3, 1, 10, tzinfo=UTC)
POLICIES = {"policies/default.yaml": digest_of(b"policy")}
WAIVED = Waived("slow", "ada", "known", "2026-03-20")


def verdict(gate: str, outcome: str = "pass", **fields: object) -> Verdict:
    return Verdict(f"gate/{gate}", "meter-reader/1.2.0", outcome, "", gate=f"{gate}-kept", tier="production", **fields)  # type: ignore[arg-type]


VERDICTS = (
    verdict("accuracy"),
    verdict("p95-latency", device_class="cam-day"),
    verdict("p95-latency", "fail", device_class="cam-edge", waived=WAIVED),
    verdict("soak", "fail", severity="warn"),
    verdict("robustness", "inconclusive", slice="night"),
)


def signed_payload(predicate_type: str, predicate: dict, subjects: dict[str, str] | None = None) -> dict:
    about = subjects or {"artifact": release().spec.artifact.digest}
    signed = sign_evidence(about, predicate_type, predicate, new_private_key())
    return json.loads(base64.b64decode(json.loads(signed)["dsseEnvelope"]["payload"]))


@pytest.mark.parametrize("kind", [TEST_RESULT, ADMISSION, HARDWARE, RELEASE_NAMES])
def test_every_statement_is_one(kind: str) -> None:
    """The public implementation of in-toto statements accepts the envelope's payload, whatever the predicate."""
    subjects = names_of(release())
    payload = signed_payload(kind, {"a": "b"}, subjects)
    Statement.copy_from_pb(ParseDict(payload, StatementMessage())).validate()
    assert {item["name"]: f"sha256:{item['digest']['sha256']}" for item in payload["subject"]} == subjects


def test_gates() -> None:
    """Test Result v0.1: what blocks failed, what is waived or only warns, warns; policy and time stand there."""
    predicate = result_of(VERDICTS, POLICIES, NOW)
    message = ParseDict(predicate, ResultMessage())
    assert message.result == "FAILED"
    assert list(message.failed_tests) == ["robustness/robustness-kept#night"]
    assert list(message.passed_tests) == ["accuracy/accuracy-kept", "p95-latency/p95-latency-kept@cam-day"]
    assert list(message.warned_tests) == ["p95-latency/p95-latency-kept@cam-edge", "soak/soak-kept"]
    assert message.configuration[0].name == "policies/default.yaml"
    assert message.configuration[0].annotations["judgedAt"] == "2026-03-01T10:00:00Z"
    ResourceDescriptor.copy_from_pb(message.configuration[0]).validate()
    with pytest.raises(ParseError):
        ParseDict({**predicate, "unknown": 1}, ResultMessage())


def test_gates_without_a_policy() -> None:
    """A result whose configuration nobody knows is refused; fewer failures make it WARNED, then PASSED."""
    with pytest.raises(Refused, match="no policy"):
        result_of(VERDICTS, {}, NOW)
    assert result_of(VERDICTS[:4], POLICIES, NOW)["result"] == "WARNED"
    assert result_of(VERDICTS[:2], POLICIES, NOW)["result"] == "PASSED"


def test_hardware() -> None:
    """SCAI v0.3: every fact names its evidence by digest; what is not believed says nothing."""
    new, older, key = release("1.2.0"), release("1.1.0"), new_private_key()
    files = evidence_files(new, older, key, NOW)
    declared = SigningKey.model_validate(
        {"metadata": {"name": "lab"}, "spec": {"publicKey": public_half(key), "uses": ["evidence"]}}
    )
    believed = [read_evidence(path, data, [declared]) for path, data in files.items()]
    digests = {path: digest_of(data) for path, data in files.items()}
    predicate = hardware_facts(believed, digests)
    assert predicate is not None
    message = ParseDict(predicate, AttributeReport())
    found = {(item.attribute, item.target.name) for item in message.attributes}
    assert ("REPRODUCED_L2", "") in found
    assert ("MEASURED_ON", "devices/classes/cam-day.yaml") in found
    assert ("DELEGATE_ACTIVE", "devices/classes/cam-edge.yaml") in found
    for item in message.attributes:
        assert f"sha256:{item.evidence.digest['sha256']}" == digests[item.evidence.name]
        ResourceDescriptor.copy_from_pb(item.evidence).validate()
    assert hardware_facts([read_evidence(path, data, []) for path, data in files.items()], digests) is None


def test_admission() -> None:
    """Simple Verification Result v0.1: the fields that its definition requires; only what held is named."""
    predicate = admission(gate_properties(VERDICTS), NOW, POLICIES)
    assert predicate == {
        "verifier": {
            "id": VERIFIER,
            "policy": [
                {"name": "policies/default.yaml", "digest": {"sha256": hex_of(POLICIES["policies/default.yaml"])}}
            ],
        },
        "timeCreated": "2026-03-01T10:00:00Z",
        "properties": ["MUSTER_GATE_ACCURACY_KEPT"],
    }
    assert ADMITTED in gate_properties(VERDICTS[:4])
    assert gate_properties(()) == ()


def test_release_names() -> None:
    """Release v0.1: a package URL with a version, and every pinned digest by name."""
    assert release_names(release("1.2.0")) == {"purl": "pkg:generic/meter-reader@1.2.0"}
    spec = release("1.2.0").spec
    assert names_of(release("1.2.0"))["meter-reader-1.2.0.tar"] == spec.artifact.digest
    assert {spec.calibration_table, spec.source.digest, spec.builder.digest} <= set(names_of(release("1.2.0")).values())
