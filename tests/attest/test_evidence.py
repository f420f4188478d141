"""Evidence files: what is signed reads back and fits the public definition; hostile bytes are a value, no exception."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from hypothesis import given
from hypothesis import strategies as st
from in_toto_attestation.v1.statement import Statement
from in_toto_attestation.v1.statement_pb2 import Statement as StatementMessage

from muster.attest.dsse import sign_payload
from muster.attest.evidence import DEEPEST, evidence_path, read_evidence, sign_evidence
from muster.attest.keys import new_private_key, public_half
from muster.kinds.canonical import canonical_json
from muster.kinds.digest import digest_of, hex_of
from muster.kinds.errors import Refused, Unusable
from muster.kinds.evidence import LARGEST, MEASUREMENT, PROVENANCE, REBUILD, REHEARSAL, Evidence
from muster.kinds.resource import Metadata
from muster.kinds.signing_key import SigningKey, SigningKeySpec

PRIVATE, STRANGER = new_private_key(), new_private_key()
ARTIFACT, OTHER = digest_of(b"artifact"), digest_of(b"other")
PATH = evidence_path(ARTIFACT, "measurement")
PREDICATE = {"release": "meter-reader/1.2.0", "measuredAt": "2026-03-01T10:00:00Z"}


def signing_key(private: bytes, name: str = "lab", uses: tuple[str, ...] = ("evidence",)) -> SigningKey:
    """The declaration of a key."""
    return SigningKey(metadata=Metadata(name=name), spec=SigningKeySpec(public_key=public_half(private), uses=uses))


KEYS = (signing_key(PRIVATE),)
SIGNED = sign_evidence({"meter-reader/1.2.0": ARTIFACT}, MEASUREMENT, PREDICATE, PRIVATE)


def statement(**changed: Any) -> dict[str, Any]:
    """The signed statement, with other values at its top."""
    payload = json.loads(base64.b64decode(json.loads(SIGNED)["dsseEnvelope"]["payload"]))
    return {**payload, **changed}


def resigned(payload: bytes) -> Evidence:
    """What is read from these bytes, signed by the trusted key."""
    return read_evidence(PATH, sign_payload(payload, PRIVATE), KEYS)


def test_what_is_signed_reads_back() -> None:
    """Subjects, predicate, time and the name of the key, and no problem."""
    expected = Evidence(
        PATH, (ARTIFACT,), MEASUREMENT, PREDICATE, datetime(2026, 3, 1, 10, tzinfo=UTC), "lab", None, "none"
    )
    assert expected == read_evidence(PATH, SIGNED, KEYS)


def test_the_same_input_gives_the_same_bytes() -> None:
    """A repeated call writes the same file, whatever the order of its values."""
    again = sign_evidence({"meter-reader/1.2.0": ARTIFACT}, MEASUREMENT, dict(reversed(PREDICATE.items())), PRIVATE)
    assert again == SIGNED


def test_the_statement_fits_the_public_definition() -> None:
    """in-toto's own classes take it without an unknown field, and find it valid."""
    message = ParseDict(statement(), StatementMessage())
    Statement.copy_from_pb(message).validate()
    with pytest.raises(ValueError, match="type"):
        Statement.copy_from_pb(ParseDict(statement(_type="x"), StatementMessage())).validate()


@pytest.mark.parametrize(
    ("keys", "kind", "why"),
    [
        ((), "foreign", "trusted for evidence: none"),
        ((signing_key(STRANGER, "stranger"),), "foreign", "trusted for evidence: stranger"),
        ((signing_key(PRIVATE, uses=("artifacts", "approvals")),), "foreign", "trusted for evidence: none"),
    ],
    ids=["no-key", "another-key", "another-use"],
)
def test_a_key_counts_only_if_it_is_trusted_for_evidence(keys: tuple[SigningKey, ...], kind: str, why: str) -> None:
    """A good signature by anybody else is foreign, and the message names whom the base trusts."""
    found = read_evidence(PATH, SIGNED, keys)
    assert (kind, None, ()) == (found.problem_kind, found.signer, found.subjects)
    assert why in str(found.problem)


def test_a_declared_key_that_is_none_vouches_for_nothing() -> None:
    """Another curve's PEM in the base neither raises nor hides the keys beside it."""
    pem = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"
    broken = SigningKey(metadata=Metadata(name="a"), spec=SigningKeySpec(public_key=pem, uses=("evidence",)))
    assert read_evidence(PATH, SIGNED, (broken, *KEYS)).signer == "lab"


@pytest.mark.parametrize(
    ("path", "subjects"),
    [
        (f"evidence/{hex_of(OTHER)}/measurement.json", {"a": ARTIFACT}),
        (f"evidence/{hex_of(OTHER)}/evidence/measurement.json", {"a": OTHER}),
        ("evidence/measurement.json", {"a": ARTIFACT}),
        (f"{hex_of(ARTIFACT)}/measurement.json", {"a": ARTIFACT}),
    ],
    ids=["replayed-for-another-artifact", "deeper", "no-folder", "elsewhere"],
)
def test_evidence_counts_in_the_folder_of_its_artifact(path: str, subjects: dict[str, str]) -> None:
    """A copy in another artifact's folder is told apart from a forgery."""
    found = read_evidence(path, sign_evidence(subjects, MEASUREMENT, PREDICATE, PRIVATE), KEYS)
    assert found.problem_kind == "other-artifact"
    assert found.problem


def test_one_file_may_be_about_several_artifacts() -> None:
    """It holds in the folder of each."""
    signed = sign_evidence({"a": ARTIFACT, "b": OTHER}, MEASUREMENT, PREDICATE, PRIVATE)
    for digest in (ARTIFACT, OTHER):
        assert read_evidence(evidence_path(digest, "m"), signed, KEYS).problem is None


@pytest.mark.parametrize(
    ("predicate_type", "predicate", "expected"),
    [
        (MEASUREMENT, {"measuredAt": "2026-03-01T10:00:00.5Z"}, datetime(2026, 3, 1, 10, 0, 0, 500_000, tzinfo=UTC)),
        (REBUILD, {"rebuiltAt": "2026-03-01T10:00:00+00:00"}, datetime(2026, 3, 1, 10, tzinfo=UTC)),
        (REHEARSAL, {"rehearsedAt": "2026-03-01T10:00:00Z"}, datetime(2026, 3, 1, 10, tzinfo=UTC)),
        (
            PROVENANCE,
            {"runDetails": {"metadata": {"finishedOn": "2026-03-01T10:00:00Z"}}},
            datetime(2026, 3, 1, 10, tzinfo=UTC),
        ),
        (PROVENANCE, {"runDetails": "2026"}, None),
        (MEASUREMENT, {"rebuiltAt": "2026-03-01T10:00:00Z"}, None),
        (MEASUREMENT, {"measuredAt": "2026-03-01T10:00:00+02:00"}, None),
        (MEASUREMENT, {"measuredAt": "2026-02-30T10:00:00Z"}, None),
        (MEASUREMENT, {"measuredAt": 1772359200}, None),
        ("https://example.org/other/v1", {"measuredAt": "2026-03-01T10:00:00Z"}, None),
    ],
    ids=[
        "measured", "rebuilt", "rehearsed", "provenance", "odd-provenance", "field-of-another-type", "not-utc",
        "no-such-day", "number", "unknown-type",
    ],
)  # fmt: skip
def test_when_it_was_made(predicate_type: str, predicate: dict[str, Any], expected: datetime | None) -> None:
    """Each predicate says it in its own field, in UTC, or it is not known."""
    found = read_evidence(PATH, sign_evidence({"a": ARTIFACT}, predicate_type, predicate, PRIVATE), KEYS)
    assert (expected, None) == (found.made_at, found.problem)


def deep(levels: int) -> bytes:
    return canonical_json(statement()).replace(b'"measuredAt":', b'"x":' + b"[" * levels + b"]" * levels + b',"m":')


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (b"", "not plain JSON"),
        (b"\xff", "not plain JSON"),
        (canonical_json(statement())[:-1] + b',"predicateType":"x"}', "not plain JSON"),
        (canonical_json(statement()).replace(b'"release":', b'"release":1,"release":'), "not plain JSON"),
        (canonical_json(statement()).replace(b'"release":', b'"x":NaN,"release":'), "not finite"),
        (canonical_json(statement()).replace(b'"release":', b'"x":1e999,"release":'), "not finite"),
        (canonical_json(statement()).replace(b'"release":', b'"x":"\\ud800","release":'), "not Unicode"),
        (deep(DEEPEST + 1), "levels deep"),
        (deep(100_000), "not plain JSON"),
        (canonical_json(statement(_type="https://in-toto.io/Statement/v0.1")), "not a statement: _type"),
        (canonical_json(statement(subject=[])), "not a statement: subject"),
        (canonical_json(statement(subject=[{"digest": {"sha1": "0" * 40}}])), "not a statement: subject.0.digest"),
        (canonical_json(statement(subject=[{"digest": {"sha256": "A" * 64}}])), "not a statement: subject.0.digest"),
        (canonical_json(statement(subject=[{"digest": {"sha256": "0" * 64}}] * 65)), "not a statement: subject"),
        (canonical_json(statement(predicateType="a\u202eb")), "not a statement: predicateType"),
        (canonical_json(statement(predicate=[])), "not a statement: predicate"),
    ],
    ids=[
        "empty", "no-utf-8", "key-twice", "key-twice-inside", "nan", "infinity", "surrogate", "deep", "very-deep",
        "old-type", "no-subject", "no-sha256", "upper-case", "many-subjects", "bidi-in-the-type", "no-object",
    ],
)  # fmt: skip
def test_a_signed_statement_is_still_read_strictly(payload: bytes, why: str) -> None:
    """A trusted key does not make odd JSON good: each is broken, with its reason."""
    found = resigned(payload)
    assert found.problem_kind == "broken"
    assert why in str(found.problem)
    assert str(found.problem).isprintable()


def _envelope(**changed: Any) -> bytes:
    bundle = json.loads(SIGNED)
    return canonical_json({**bundle, "dsseEnvelope": {**bundle["dsseEnvelope"], **changed}})


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "not plain JSON"),
        (SIGNED + b" " * LARGEST, "more than"),
        (_envelope(payloadType="text/plain"), "payloadType"),
        (_envelope(payload=base64.b64encode(canonical_json(statement(predicate={}))).decode()), "does not hold"),
        (_envelope(payload="ö"), "base64"),
        (_envelope(signatures=[]), "signatures"),
        (SIGNED.replace(b'"payload":', b'"payload":"","payload":'), "not plain JSON"),
        (SIGNED.replace(b"v0.3", b"v0.2"), "mediaType"),
        (b"[" * 500_000, "not plain JSON"),
        (b"9" * 100_000, "not plain JSON"),
    ],
    ids=[
        "empty", "too-large", "other-payload", "changed", "no-base64", "unsigned", "key-twice", "old-bundle", "deep",
        "long-number",
    ],
)  # fmt: skip
def test_a_broken_envelope(data: bytes, why: str) -> None:
    """Each has its reason, and nothing of what it says is handed on."""
    found = read_evidence(PATH, data, KEYS)
    assert (found.problem_kind, found.signer, found.subjects, found.predicate) == ("broken", None, (), None)
    assert why in str(found.problem)


@given(st.binary(max_size=2_000))
def test_no_bytes_raise(data: bytes) -> None:
    """Whatever a file holds is a value with a problem."""
    assert read_evidence(PATH, data, KEYS).problem


@given(st.text(max_size=200))
def test_no_path_raises(path: str) -> None:
    """Nor does whatever it is called."""
    assert read_evidence(path, SIGNED, KEYS).problem_kind == "other-artifact"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(field=st.sampled_from(sorted(statement())), value=JSON, inside=st.booleans())
def test_no_signed_json_raises(field: str, value: Any, inside: bool) -> None:
    """A field of the statement or of its predicate may hold anything; then it reads, or is broken."""
    changed = statement(predicate={"measuredAt": value}) if inside else statement(**{field: value})
    found = resigned(json.dumps(changed).encode())
    assert found.problem_kind in {"none", "broken", "other-artifact"}
    assert (found.problem is None) == (found.problem_kind == "none")


@given(position=st.integers(0, len(SIGNED) - 2), byte=st.integers(0, 255))
def test_no_changed_byte_is_believed_with_another_meaning(position: int, byte: int) -> None:
    """A flipped byte is noticed, or was in a part of the bundle that nobody reads and changes nothing."""
    data = SIGNED[:position] + bytes([byte]) + SIGNED[position + 1 :]
    found = read_evidence(PATH, data, KEYS)
    assert found.problem or found == read_evidence(PATH, SIGNED, KEYS)


def test_what_cannot_be_signed() -> None:
    """No subject, too much, a bad name, and no key."""
    with pytest.raises(Refused, match="no artifact"):
        sign_evidence({}, MEASUREMENT, PREDICATE, PRIVATE)
    with pytest.raises(Refused, match="more than"):
        sign_evidence({"a": ARTIFACT}, MEASUREMENT, {"x": "y" * LARGEST}, PRIVATE)
    with pytest.raises(Unusable, match="private key"):
        sign_evidence({"a": ARTIFACT}, MEASUREMENT, PREDICATE, b"no key")
    for name in ("", "../x", "A", "a.json", "-a", "a" * 64):
        with pytest.raises(Unusable, match="no name"):
            evidence_path(ARTIFACT, name)
