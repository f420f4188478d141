"""Keyless signatures: the real client signs against the project's own Sigstore; what does not hold is refused by name.

Nothing is mended after verification: a bundle is altered, or an instance behaves otherwise, and the reason is read.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from google.protobuf.json_format import ParseDict
from in_toto_attestation.v1.statement import Statement
from in_toto_attestation.v1.statement_pb2 import Statement as StatementMessage
from sigstore.dsse import Statement as SigstoreStatement
from sigstore.models import ClientTrustConfig
from sigstore.oidc import IdentityToken
from sigstore.sign import SigningContext

from keyless_places import ARTIFACT, OTHER, PATH, PREDICATE, SUBJECTS, WORKFLOW, Place, altered, read, trusting
from muster.attest.evidence import evidence_path, sign_evidence, statement_payload
from muster.attest.keyless import Keyless, UntrustedIdentity, open_keyless, verify_files_keyless
from muster.attest.keys import new_private_key
from muster.attest.model_signature import sign_files
from muster.kinds.digest import digest_of
from muster.kinds.errors import Refused
from muster.kinds.evidence import LARGEST, MEASUREMENT
from muster.kinds.resource import Metadata
from muster.kinds.trusted_identity import TrustedIdentity, TrustedIdentitySpec
from muster.simulate.sigstore.material import Wanted, leaf_builder, new_key
from muster.simulate.sigstore.service import Clocks, RekorVersion, Sigstore, running


@pytest.fixture(scope="module")
def sigstore() -> Iterator[Sigstore]:
    """One instance whose keys stay."""
    with running() as instance:
        yield instance


@pytest.fixture
def place(tmp_path: Path, sigstore: Sigstore) -> Place:
    """A folder beside the instance."""
    return Place(tmp_path, sigstore)


@pytest.mark.parametrize("rekor", [1, 2])
@pytest.mark.parametrize("identity", [WORKFLOW, "ada@fleet.example"])
def test_what_a_trusted_identity_signs_is_believed(place: Place, rekor: RekorVersion, identity: str) -> None:
    """Through either transparency log; the signer is the declaration, the statement an in-toto one."""
    data = place.evidence(rekor, identity)
    found = read(data, trusting(place.instance, identity=identity))
    assert (found.problem, found.signer, found.predicate) == (None, "identities/ci", PREDICATE)
    payload = base64.b64decode(json.loads(data)["dsseEnvelope"]["payload"])
    Statement.copy_from_pb(ParseDict(json.loads(payload), StatementMessage())).validate()


def test_a_revoked_identity_is_refused(place: Place) -> None:
    """Taken out of the base, what it signed counts no more; neither does it for another use."""
    data, trusted = place.evidence(), trusting(place.instance)
    spec = TrustedIdentitySpec(identity=WORKFLOW, issuer=place.instance.issuer, uses=("artifacts",))
    elsewhere = trusting(place.instance, TrustedIdentity(metadata=Metadata(name="ci"), spec=spec))
    for base in (Keyless((), trusted.root), elsewhere):
        found = read(data, base)
        assert (found.problem_kind, found.signer) == ("foreign", None)
        assert f"an identity that is not trusted: {WORKFLOW} of {place.instance.issuer}" in (found.problem or "")


OTHERS = ("https://ci.example/fleet/.ci/measure.yml@refs/heads/ma", f"{WORKFLOW}/", WORKFLOW.upper())


@pytest.mark.parametrize("identity", OTHERS)
def test_another_identity_is_refused(place: Place, identity: str) -> None:
    """A part of the identity, more than it, or other letters are somebody else."""
    found = read(place.evidence(), trusting(place.instance, identity=identity))
    assert found.problem_kind == "foreign"
    assert "not trusted" in (found.problem or "")


def test_another_issuer_is_refused(place: Place) -> None:
    """The same name, told by somebody else, is somebody else; the reason says whose name it is."""
    found = read(place.evidence(), trusting(place.instance, issuer="https://issuer.example"))
    assert found.problem_kind == "foreign"
    assert f"of {place.instance.issuer}; identities/ci is that identity of https://issuer.example" in found.problem


STRIPPED = {
    "log entry": (("verificationMaterial", "tlogEntries"), [], "its log entry was stripped"),
    "inclusion proof": (
        ("verificationMaterial", "tlogEntries", 0, "inclusionProof", "checkpoint"),
        None,
        "its log entry was stripped of the proof",
    ),
    "promise": (("verificationMaterial", "tlogEntries", 0, "inclusionPromise"), None, "says when it was signed"),
}


@pytest.mark.parametrize(("steps", "value", "reason"), STRIPPED.values(), ids=STRIPPED)
def test_a_stripped_log_entry_is_refused(place: Place, steps: tuple[str | int, ...], value: Any, reason: str) -> None:
    """Without the log, a stolen ten-minute key would sign for ever."""
    found = read(altered(place.evidence(), *steps, value=value), trusting(place.instance))
    assert found.problem_kind == "broken"
    assert reason in (found.problem or "")


def test_a_bundle_without_its_timestamp_is_refused(place: Place) -> None:
    """Rekor v2 tells no time: without the timestamp nobody knows whether the certificate counted."""
    data = altered(place.evidence(2), "verificationMaterial", "timestampVerificationData", value={})
    assert "says when it was signed" in (read(data, trusting(place.instance)).problem or "")


@pytest.mark.parametrize("rekor", [1, 2])
def test_the_log_entry_of_another_bundle_is_refused(place: Place, rekor: RekorVersion) -> None:
    """A true entry about something else proves nothing about this."""
    mine = place.evidence(rekor)
    theirs = sign_evidence({"other": OTHER}, MEASUREMENT, {"x": "y"}, place.signer(rekor))
    entries = json.loads(theirs)["verificationMaterial"]["tlogEntries"]
    found = read(altered(mine, "verificationMaterial", "tlogEntries", value=entries), trusting(place.instance))
    assert (found.problem_kind, found.signer) == ("broken", None)
    assert "log entry is about something else" in (found.problem or "")


def test_a_tampered_payload_is_refused(place: Place) -> None:
    """One other letter in what was signed."""
    data = place.evidence()
    payload = base64.b64decode(json.loads(data)["dsseEnvelope"]["payload"]).replace(b"1.2.0", b"1.2.1")
    found = read(
        altered(data, "dsseEnvelope", "payload", value=base64.b64encode(payload).decode()), trusting(place.instance)
    )
    assert found.problem_kind == "broken"
    assert "what was signed was altered" in (found.problem or "")


def test_a_bundle_that_is_replayed_on_another_artifact_is_refused(place: Place) -> None:
    """Evidence about one artifact is none about another, whoever signed it."""
    found = read(place.evidence(), trusting(place.instance), evidence_path(OTHER, "measurement"))
    assert (found.problem_kind, found.subjects) == ("other-artifact", (ARTIFACT,))


def test_a_certificate_that_had_expired_is_refused(tmp_path: Path) -> None:
    """The log took the entry an hour after the certificate was made. The signer itself would not hand it over."""
    late = Clocks(log=lambda: datetime.now(UTC) + timedelta(hours=1))
    with running(late) as instance:
        place = Place(tmp_path, instance)
        with pytest.raises(Refused):
            place.evidence()
        config = ClientTrustConfig.from_json(json.dumps(instance.trust_config(1)))
        with SigningContext.from_trust_config(config).signer(IdentityToken(instance.token(WORKFLOW))) as signer:
            bundle = signer.sign_dsse(SigstoreStatement(statement_payload(SUBJECTS, MEASUREMENT, PREDICATE)))
        found = read(bundle.to_json().encode(), trusting(instance))
    assert found.problem_kind == "broken"
    assert "its certificate had expired" in (found.problem or "")


def test_rotated_keys_count_when_the_pinned_root_names_them(tmp_path: Path) -> None:
    """New keys are refused until the base pins them; then both count; without the old ones, the old bundle does not."""
    with running() as instance:
        place = Place(tmp_path, instance)
        before, pinned = place.evidence(), trusting(instance)
        instance.rotate()
        after, both = place.evidence(), trusting(instance)
        new = Keyless(both.identities, json.dumps(instance.trusted_root(instance.generations[-1:])).encode())
    assert "not by an authority of the trusted root" in (read(after, pinned).problem or "")
    assert [read(data, both).problem for data in (before, after)] == [None, None]
    assert "not by an authority of the trusted root" in (read(before, new).problem or "")


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("certificateAuthorities", "no authority of the trusted root counted when it was signed"),
        ("tlogs", "no transparency log of the trusted root counted when it was signed"),
        ("ctlogs", "no certificate log of the trusted root counted when it was signed"),
        ("timestampAuthorities", "says when it was signed"),
    ],
)
def test_what_the_root_revoked_before_it_was_signed_is_refused(place: Place, kind: str, reason: str) -> None:
    """The base ended the time of an authority or a log: then it vouches for nothing more; before, it still does."""
    data, root, now = place.evidence(2), place.instance.trusted_root(), datetime.now(UTC)
    identities = trusting(place.instance).identities
    one = root[kind][0]
    period = one["publicKey"]["validFor"] if "publicKey" in one else one["validFor"]
    for end, expected in ((now - timedelta(hours=1), reason), (now + timedelta(hours=1), None)):
        period["end"] = end.isoformat()
        problem = read(data, Keyless(identities, json.dumps(root).encode())).problem
        assert problem is None if expected is None else expected in (problem or "")


def test_a_revoked_authority_beside_a_new_one_vouches_for_nothing(tmp_path: Path) -> None:
    """Whoever holds the old authority's key cannot sign as of today, although the new one counts today."""
    with running() as instance:
        data = Place(tmp_path, instance).evidence()
        instance.rotate()
        root, identities = instance.trusted_root(), trusting(instance).identities
    root["certificateAuthorities"][0]["validFor"]["end"] = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    found = read(data, Keyless(identities, json.dumps(root).encode()))
    assert "not by an authority of the trusted root" in (found.problem or "")


def test_a_certificate_that_was_never_logged_is_refused(place: Place) -> None:
    """By the right authority, for the right identity, without the certificate log's word for it."""
    authority, names = place.instance.generations[-1].authority, [x509.UniformResourceIdentifier(WORKFLOW)]
    wanted = Wanted(
        x509.Name([]),
        new_key().public_key(),
        timedelta(minutes=10),
        ExtendedKeyUsageOID.CODE_SIGNING,
        ((x509.SubjectAlternativeName(names), True),),
    )
    builder = leaf_builder(authority.certificate, authority.key, wanted, datetime.now(UTC))
    certificate = builder.sign(authority.key, SHA256()).public_bytes(Encoding.DER)
    swapped = base64.b64encode(certificate).decode()
    data = altered(place.evidence(), "verificationMaterial", "certificate", "rawBytes", value=swapped)
    assert "in no certificate log of the trusted root" in (read(data, trusting(place.instance)).problem or "")


def test_another_spelling_of_a_bundle_is_refused(place: Place) -> None:
    """A name that stands twice, of which two readers would believe different ones; and a type that nobody knows."""
    data, trusted = place.evidence(), trusting(place.instance)
    twice = data.replace(b'"dsseEnvelope":', b'"dsseEnvelope":{},"dsseEnvelope":', 1)
    assert "a key stands twice" in (read(twice, trusted).problem or "")
    assert "mediaType" in (read(data.replace(b"bundle.v0.3+json", b"bundle.v0.9+json"), trusted).problem or "")


def test_another_log_than_the_pinned_one_is_refused(place: Place) -> None:
    """The right authority, and a log that the base does not know."""
    with running() as stranger:
        root = {**place.instance.trusted_root(), "tlogs": stranger.trusted_root()["tlogs"]}
        certificates = {**place.instance.trusted_root(), "ctlogs": stranger.trusted_root()["ctlogs"]}
    data, identities = place.evidence(), trusting(place.instance).identities
    found = read(data, Keyless(identities, json.dumps(root).encode()))
    assert "its log entry is not by a log of the trusted root" in (found.problem or "")
    found = read(data, Keyless(identities, json.dumps(certificates).encode()))
    assert "no certificate log of the trusted root" in (found.problem or "")


@pytest.mark.parametrize("root", [None, b"", b"{}", b"\xff", b'{"mediaType": 1}'])
def test_without_a_trusted_root_nothing_is_believed(place: Place, root: bytes | None) -> None:
    """No pinned root, or a broken one, is a reason, and no question to a server."""
    found = read(place.evidence(), Keyless(trusting(place.instance).identities, root))
    assert found.problem_kind == "broken"
    assert "trusted root" in (found.problem or "")


def test_hostile_bundles_are_refused_not_raised(place: Place) -> None:
    """Every part in turn replaced by something that it is not."""
    data, trusted = place.evidence(), trusting(place.instance)
    bundle = json.loads(data)
    places: list[tuple[str | int, ...]] = [(name,) for name in bundle]
    places += [("verificationMaterial", name) for name in bundle["verificationMaterial"]]
    places += [
        ("verificationMaterial", "tlogEntries", 0, name) for name in bundle["verificationMaterial"]["tlogEntries"][0]
    ]
    for steps in places:
        for value in (None, 1, "", "AAAA", [], {}, {"rawBytes": "AAAA"}, [1], "x" * 100_000):
            found = read(altered(data, *steps, value=value), trusted)
            harmless = steps[-1] in ("timestampVerificationData", "integratedTime")
            assert found.problem is not None or harmless or json.loads(altered(data, *steps, value=value)) == bundle, (
                steps
            )
    assert "more than" in (read(data + b" " * LARGEST, trusted).problem or "")


OFFLINE = """
import sys
from pathlib import Path
from muster.attest.evidence import read_evidence
from muster.attest.keyless import Keyless
from muster.kinds.trusted_identity import TrustedIdentity
folder = Path(sys.argv[1])
identity = TrustedIdentity.model_validate_json((folder / "identity.json").read_text())
trusted = Keyless((identity,), (folder / "root.json").read_bytes())
for name in ("1.json", "2.json"):
    found = read_evidence(sys.argv[2], (folder / name).read_bytes(), (), trusted)
    print(found.problem, found.signer)
"""
GUARD = """
import socket
def refuse(*arguments, **named):
    raise SystemExit("asked the network")
socket.socket.connect = socket.getaddrinfo = socket.create_connection = refuse
"""


@pytest.mark.parametrize("cut", ["namespace", "guard"])
def test_verification_never_goes_to_the_network(place: Place, cut: str, tmp_path: Path) -> None:
    """In a network namespace of its own, where there is not even a loopback; and with every connection an error."""
    for rekor in (1, 2):
        (tmp_path / f"{rekor}.json").write_bytes(place.evidence(rekor))
    trusted = trusting(place.instance)
    (tmp_path / "root.json").write_bytes(trusted.root or b"")
    (tmp_path / "identity.json").write_text(trusted.identities[0].model_dump_json(by_alias=True))
    program = [sys.executable, "-c", (GUARD if cut == "guard" else "") + OFFLINE, str(tmp_path), PATH]
    unshare = ["unshare", "--user", "--map-root-user", "--net"]
    if cut == "namespace":
        if subprocess.run([*unshare, "true"], check=False, capture_output=True).returncode != 0:
            pytest.skip("this machine lets nobody make a network namespace")
        program = [*unshare, *program]
    home = {**os.environ, "HOME": str(tmp_path / "nobody")}
    done = subprocess.run(program, check=False, capture_output=True, text=True, env=home, timeout=120)
    assert (done.stdout, done.returncode) == ("None identities/ci\n" * 2, 0), done.stderr
    assert not (tmp_path / "nobody").exists()


def test_artifacts_are_signed_keyless_too(place: Place) -> None:
    """Exactly these files, by an identity that may sign artifacts; one that may sign evidence may not."""
    files = {"model.onnx": digest_of(b"model"), "config.json": digest_of(b"config")}
    signature = sign_files(files, place.signer())
    spec = TrustedIdentitySpec(identity=WORKFLOW, issuer=place.instance.issuer, uses=("artifacts",))
    trusted = trusting(place.instance, TrustedIdentity(metadata=Metadata(name="ci"), spec=spec))
    assert verify_files_keyless(files, signature, trusted) == "identities/ci"
    with pytest.raises(Refused, match=r"changed: .model\.onnx."):
        verify_files_keyless({**files, "model.onnx": digest_of(b"another")}, signature, trusted)
    with pytest.raises(UntrustedIdentity):
        verify_files_keyless(files, signature, trusting(place.instance))


def test_a_device_refuses_a_keyless_signature(place: Place) -> None:
    """It knows keys only, and says so without a traceback."""
    from muster.attest.keys import public_half
    from muster.attest.model_signature import verify_files

    files = {"model.onnx": digest_of(b"model")}
    with pytest.raises(Refused):
        verify_files(files, sign_files(files, place.signer()), [public_half(new_private_key())])


def test_only_a_trusted_certificate_opens_a_bundle(place: Place) -> None:
    """The function that a gate trusts raises rather than answers."""
    with pytest.raises(UntrustedIdentity):
        open_keyless(place.evidence(), Keyless((), trusting(place.instance).root), "")
