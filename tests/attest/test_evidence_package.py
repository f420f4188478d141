"""The evidence package: it verifies with archive and trust root alone, and nothing in it can change unseen."""

from __future__ import annotations

import base64
import json
import os
import random
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from datetime import timedelta
from io import BytesIO
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from google.protobuf.json_format import ParseDict
from in_toto_attestation.predicates.scai.v0.scai_pb2 import AttributeReport
from in_toto_attestation.predicates.test_result.v0.test_result_pb2 import TestResult as ResultMessage
from in_toto_attestation.v1.statement import Statement
from in_toto_attestation.v1.statement_pb2 import Statement as StatementMessage

from muster.apply.admissions import Admissions
from muster.attest.evidence import sign_evidence
from muster.attest.keys import key_id, new_private_key, public_half
from muster.attest.package.archive import LARGEST_MEMBER, pack, unpack
from muster.attest.package.contents import ABOUT, ADMITTED, LEDGER
from muster.attest.package.git_objects import Objects, entries_of, framed, object_id
from muster.attest.package.seal import SEAL, seal
from muster.attest.package.trust_root import TrustRoot, read_trust_root
from muster.attest.package.verify import Verified, verify_package
from muster.forge.git.approvals import approvals_in
from muster.kinds.errors import Refused, Unusable
from muster.kinds.evidence import ADMISSION, HARDWARE, REBUILD, RELEASE_NAMES, TEST_RESULT
from packages import APPROVER, AT, NAME, PATH, PackagedFleet, key_yaml
from scratch_repository import commit_all, git, write

BLOCK = 512


def verified(archive: bytes, root: TrustRoot) -> Verified:
    return verify_package(archive, root, approvals_in)


def failing(found: Verified) -> dict[str, str]:
    """What does not hold, and why."""
    return {check.what: check.says for check in found.checks if not check.holds}


def resealed(archive: bytes, key: bytes, change: Callable[[dict[str, bytes]], None]) -> bytes:
    """The archive as its own exporter could have forged it: members changed, and sealed again."""
    members = unpack(archive)
    change(members)
    del members[SEAL]
    return pack({**members, SEAL: seal(members, {"release": NAME, "description": ""}, key)})


def test_it_holds(archive: bytes, root: TrustRoot, fleet: PackagedFleet) -> None:
    """Every check holds, and each says what it saw."""
    found = verified(archive, root)
    says = {check.what: check.says for check in found.checks}
    assert found.holds, failing(found)
    assert found.release == NAME
    assert found.artifact == fleet.release.spec.artifact.digest
    assert found.commit == fleet.commit
    assert says["history"] == "3 commits"
    assert says["evidence"] == "7 files believed"
    assert says["approvals"] == "1 signed approvals"
    assert says["ledger"] == "2 events, 1 gaps of other releases' events"
    assert says["admission"].startswith("MUSTER_REBUILT_FROM_PINS at 2026-03-02T12:00:00Z, by sha256:")
    assert says["statements"] == "admission, hardware, release, test-result PASSED"


def test_what_it_holds(archive: bytes, fleet: PackagedFleet) -> None:
    """Declaration, commits, approvals, verdicts, provenance, rebuilds, bill, card, lineage and history are in it."""
    members = unpack(archive)
    assert members[f"tree/{PATH}"] == (fleet.folder / PATH).read_bytes()
    names = {name.rpartition("/")[2] for name in members if name.startswith("tree/evidence/")}
    assert {"provenance.json", "rebuild.json", "measurement.json"} <= names
    approvals = json.loads(members["approvals.json"])
    assert [(one["by"], one["commit"]) for one in approvals] == [(APPROVER, fleet.head)]
    history = json.loads(members["history.json"])
    assert [one["rollout"].split(",")[0] for one in history["commits"]] == ["canary 5%", "canary 5%", "canary 0%"]
    assert [one["key"] for one in history["events"]] == ["prepared/0", "prepared/2"]
    verdicts = json.loads(members["gates.json"])["verdicts"]
    assert {one["gate"] for one in verdicts} >= {"accuracy-kept"}
    assert json.loads(members["bom.json"])["bomFormat"] == "CycloneDX"
    lineage = {step["what"]: step["id"] for step in json.loads(members["lineage.json"])}
    assert lineage["data set"] == fleet.release.spec.source.lineage.dataset
    assert members["model-card.md"].startswith(b"---\n")


def test_the_same_commit_gives_the_same_bytes(archive: bytes, fleet: PackagedFleet, tmp_path: Path) -> None:
    """Also from another folder, umask, time zone, locale and hash seed; and any tar program reads it."""
    shutil.copytree(fleet.folder, tmp_path / "clone")
    (tmp_path / "lab.pem").touch(mode=0o600)
    (tmp_path / "lab.pem").write_bytes(fleet.key)
    command = [sys.executable, "-m", "muster", "evidence", "export", NAME, "--key", "../lab.pem", "-o", "../a.tar"]
    given = ["--at", "2026-03-02T13:00:00+01:00", "--state", str(fleet.state)]
    other = {"TZ": "Pacific/Chatham", "LC_ALL": "tr_TR.UTF-8", "PYTHONHASHSEED": "7", "PYTHONPATH": ":".join(sys.path)}
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **other}
    subprocess.run([*command, *given], cwd=tmp_path / "clone", env=environment, umask=0o077, check=True)
    assert (tmp_path / "a.tar").read_bytes() == archive
    with tarfile.open(fileobj=BytesIO(archive)) as tar:
        found = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
        assert all(member.isreg() and member.mtime == 0 and member.uid == 0 for member in tar)
    assert found == unpack(archive)


def positions(archive: bytes) -> list[int]:
    """A sample of every member with its header and padding, and of the end."""
    chosen: set[int] = set()
    sample = random.Random(4)
    position = 0
    while any(block := archive[position : position + BLOCK]):
        size = int(block[124:135], 8)
        end = position + BLOCK + size + (-size % BLOCK)
        chosen.update((position + sample.randrange(BLOCK), sample.randrange(position + BLOCK, end), end - 1))
        position = end
    chosen.update((position, len(archive) - 1))
    return sorted(chosen)


def test_every_changed_byte_is_detected(archive: bytes, root: TrustRoot) -> None:
    """In each member: never once it holds. Every byte of a smaller archive: test_package_forgeries."""
    sample = random.Random(7)
    where = positions(archive)
    assert len(where) > 2 * len(unpack(archive))
    unseen = []
    for position in where:
        altered = bytearray(archive)
        altered[position] ^= sample.choice((0x01, 0x20, 0x80, 0xFF))
        try:
            if verified(bytes(altered), root).holds:
                unseen.append(position)
        except Refused:
            continue
    assert unseen == []


@pytest.mark.parametrize("size", [0, 1, BLOCK, 10 * BLOCK, -1, -BLOCK, -2 * BLOCK])
def test_a_cut_or_longer_archive_is_refused(archive: bytes, root: TrustRoot, size: int) -> None:
    """Nothing of it, a part of it, and more than it."""
    with pytest.raises(Refused):
        verified(archive[:size], root)
    with pytest.raises(Refused):
        verified(archive + bytes(max(size, 1)), root)


@pytest.mark.parametrize("change", ["missing", "added", "altered"])
def test_the_seal_counts_every_member(archive: bytes, root: TrustRoot, change: str) -> None:
    """A member that is taken out, put in, or changed within a well-formed archive, by its name."""
    members = unpack(archive)
    if change == "missing":
        del members["bom.json"]
    else:
        members["bom.json" if change == "altered" else "more.json"] = b"{}"
    with pytest.raises(Refused, match=r"(bom|more)\.json (is missing|was added|was altered)"):
        verified(pack(members), root)


def test_another_key_is_no_trust_root(archive: bytes, fleet: PackagedFleet) -> None:
    """Neither a stranger's key, nor the key of somebody who may only approve."""
    for key in (new_private_key(), fleet.person):
        pem = public_half(key)
        with pytest.raises(Refused, match="not trusted"):
            verified(archive, TrustRoot({key_id(pem): pem}, whole=False))


def _approve_more(members: dict[str, bytes]) -> None:
    members["approvals.json"] = members["approvals.json"].replace(APPROVER.encode(), b"nobody")


def _other_file(members: dict[str, bytes]) -> None:
    members["tree/policies/default.yaml"] += b"# looser\n"


def _other_object(members: dict[str, bytes]) -> None:
    name = next(name for name in members if name.startswith("git/"))
    members[name] += b" "


def _other_row(members: dict[str, bytes]) -> None:
    members[LEDGER] = members[LEDGER].replace(b'"prepared"', b'"promoted"')


def _other_statement(members: dict[str, bytes]) -> None:
    members["statements/admission.json"] = members["statements/test-result.json"]


def _other_word(members: dict[str, bytes]) -> None:
    members["controller/admission.json"] = members["statements/admission.json"]


def _stowaway(members: dict[str, bytes]) -> None:
    members["certificate.pdf"] = b"trust me"


@pytest.mark.parametrize(
    ("change", "what", "says"),
    [
        (_approve_more, "documents", "approvals.json does not say"),
        (_other_file, "commit", "holds another policies/default.yaml"),
        (_other_object, "history", "is not the git object"),
        (_other_row, "ledger", "altered at event 1"),
        (_other_statement, "statements", "admission.json does not say"),
        (_other_word, "admission", "not trusted"),
        (_stowaway, "documents", "belongs to no package"),
    ],
)
def test_the_exporter_cannot_forge_either(
    archive: bytes,
    root: TrustRoot,
    fleet: PackagedFleet,
    change: Callable[[dict[str, bytes]], None],
    what: str,
    says: str,
) -> None:
    """A seal over members that do not follow from each other does not hold: everything is asked again."""
    found = verified(resealed(archive, fleet.key, change), root)
    assert not found.holds
    assert says in failing(found)[what]


HOSTILE = {
    "nothing": b"",
    "bytes": b"\xff\x00\xfe",
    "other": b"{}",
    "twice": b'{"rows": [], "rows": []}',
    "deep": b"[" * 100_000,
    "number": b'{"rows": [{"sequence": 1e999}]}',
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_hostile_members_are_answers(archive: bytes, root: TrustRoot, fleet: PackagedFleet, content: bytes) -> None:
    """Whatever a member of a sealed package holds: an answer that it does not hold, never another error."""
    members = unpack(archive)
    evidence = next(name for name in members if name.startswith("tree/evidence/"))
    commit = f"git/{fleet.commit}"
    tree = next(name for name, data in members.items() if data.startswith(b"tree "))
    names = (ABOUT, LEDGER, ADMITTED, evidence)
    if not content.startswith(b"{"):
        approved = f"notes/approvals/{fleet.head}"
        names += (commit, tree, f"tree/{PATH}", "tree/policies/owners.yaml", "statements/admission.json", approved)
    for name in names:
        forged = resealed(archive, fleet.key, lambda members, name=name: members.update({name: content}))
        try:
            assert not verified(forged, root).holds, name
        except Refused:
            continue


def test_a_git_object_that_lies_about_itself() -> None:
    """A tree that is cut short, an entry without an end, a commit without a tree, another kind or size."""
    for tree in (b"100644 a", b"100644 a\0short", b"noname\0" + bytes(20)):
        with pytest.raises(Refused):
            entries_of(tree, 20)
    for data in (b"blob 3\0abc", b"commit 4\0abc", b"commit 3abc", framed("commit", b"x")):
        name = object_id(data, 40)
        with pytest.raises(Refused):
            Objects({name: data}).file(name, "a/b")
    for width in (40, 64):
        blob = object_id(framed("blob", b"text"), width)
        tree = framed("tree", b"100644 a\0" + bytes.fromhex(blob) + b"120000 link\0" + bytes.fromhex(blob))
        commit = framed("commit", b"tree %s\n\nwhy" % object_id(tree, width).encode())
        name = object_id(commit, width)
        objects = Objects({object_id(tree, width): tree, name: commit})
        assert (objects.file(name, "a"), objects.file(name, "link"), objects.file(name, "b/c")) == (blob, None, None)


def test_the_ids_are_gits(fleet: PackagedFleet) -> None:
    """What git itself calls the same bytes."""
    data = (fleet.folder / PATH).read_bytes()
    assert object_id(framed("blob", data), 40) == git(fleet.folder, "hash-object", PATH)


def test_others_accept_the_statements(archive: bytes) -> None:
    """The public implementation of in-toto reads every statement of a package, and the predicates that it knows."""
    members = unpack(archive)
    predicates = {TEST_RESULT: ResultMessage, HARDWARE: AttributeReport}
    found = set()
    for name in members:
        if name.startswith("statements/") or name == SEAL:
            payload = json.loads(base64.b64decode(json.loads(members[name])["dsseEnvelope"]["payload"]))
            Statement.copy_from_pb(ParseDict(payload, StatementMessage())).validate()
            if payload["predicateType"] in predicates:
                ParseDict(payload["predicate"], predicates[payload["predicateType"]]())
            found.add(payload["predicateType"])
    assert found == {TEST_RESULT, HARDWARE, ADMISSION, RELEASE_NAMES, "muster:evidence-package/v1"}


def test_others_accept_the_bill(archive: bytes) -> None:
    """The published CycloneDX schema, on the member as it lies there."""
    bill = unpack(archive)["bom.json"].decode()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill) is None


def test_a_statement_of_another_key(archive: bytes, root: TrustRoot, fleet: PackagedFleet) -> None:
    """A well-formed statement that the trust root did not sign."""

    def change(members: dict[str, bytes]) -> None:
        subjects = {NAME: fleet.release.spec.artifact.digest}
        members["statements/admission.json"] = sign_evidence(subjects, REBUILD, {}, new_private_key())

    assert "not trusted" in failing(verified(resealed(archive, fleet.key, change), root))["statements"]


def test_a_word_of_the_controller_that_its_ledger_does_not_know(
    archive: bytes, root: TrustRoot, fleet: PackagedFleet, tmp_path: Path
) -> None:
    """Well signed, about this artifact, and not what was recorded."""
    at = AT + timedelta(days=1)
    Admissions(tmp_path, fleet.controller).admit(fleet.release, at)
    word = next(tmp_path.rglob("*.json")).read_bytes()
    found = verified(resealed(archive, fleet.key, lambda members: members.update({ADMITTED: word})), root)
    assert "another word" in failing(found)["admission"]


def test_a_folder_of_keys_is_the_whole_trust(fleet: PackagedFleet, archive: bytes, tmp_path: Path) -> None:
    """A clone's `policies/keys/` verifies; evidence by a key that it lacks does not count."""
    assert verified(archive, read_trust_root(fleet.folder / "policies/keys")).holds
    sealing = new_private_key()
    other = PackagedFleet(tmp_path / "other")
    write(other.folder, {"policies/keys/sealer.yaml": key_yaml("sealer", sealing, "evidence")})
    commit_all(other.folder, "a key that seals")
    other.key = sealing
    sealed = other.export()
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys/sealer.pem").write_text(public_half(sealing))
    found = verified(sealed, read_trust_root(tmp_path / "keys"))
    assert "is signed by lab, which the trust root does not hold" in failing(found)["evidence"]
    assert verified(sealed, read_trust_root(tmp_path / "keys/sealer.pem")).holds


def test_a_trust_root_that_is_none(tmp_path: Path, fleet: PackagedFleet) -> None:
    """An empty folder, keys for something else only, no key, no file."""
    (tmp_path / "keys").mkdir()
    with pytest.raises(Refused, match="holds no key"):
        read_trust_root(tmp_path / "keys")
    (tmp_path / "keys/mara.yaml").write_text(key_yaml("mara", fleet.person, "approvals"))
    with pytest.raises(Refused, match="holds no key"):
        read_trust_root(tmp_path / "keys")
    (tmp_path / "bad.pem").write_text("no key")
    for name in ("bad.pem", "absent.pem"):
        with pytest.raises(Unusable):
            read_trust_root(tmp_path / name)


@pytest.mark.parametrize("name", ["../a", "/a", "a/../b", ".git/config", "a//b", "-a", "a\nb", "é", "a" * 201, ""])
def test_a_name_that_leads_elsewhere(name: str) -> None:
    """No archive holds it."""
    with pytest.raises(Refused):
        pack({name: b""})


def test_bounds() -> None:
    """Too large a member, and too many, are refused before they are written."""
    with pytest.raises(Refused, match="more than"):
        pack({"a": bytes(LARGEST_MEMBER + 1)})
    with pytest.raises(Refused, match="members"):
        pack({f"a{number}": b"" for number in range(3_001)})


def test_it_verifies_with_the_network_cut(archive: bytes, fleet: PackagedFleet, tmp_path: Path) -> None:
    """In a fresh network namespace, with no repository and no git program at hand."""
    cut = shutil.which("unshare")
    if cut is None or subprocess.run([cut, "-rn", "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("the kernel lets nobody cut the network here (unshare -rn)")
    (tmp_path / "a.tar").write_bytes(archive)
    (tmp_path / "root.pem").write_text(public_half(fleet.key))
    command = [sys.executable, "-m", "muster", "evidence", "verify", "a.tar", "--root", "root.pem", "-o", "json"]
    environment = {"PATH": str(tmp_path), "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([cut, "-rn", *command], cwd=tmp_path, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert json.loads(done.stdout)[0]["holds"] is True
