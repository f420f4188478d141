"""What a hostile hand could do to a package: to its bytes, to its tar, and as the very person who seals it."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from muster.attest.dsse import open_bundle
from muster.attest.keys import key_id, new_private_key, public_half
from muster.attest.package.archive import LARGEST, LARGEST_MEMBER, pack, unpack
from muster.attest.package.contents import ABOUT, ADMITTED, LEDGER, OBJECTS
from muster.attest.package.export import export_package
from muster.attest.package.git_objects import Objects, framed, object_id, parents_of
from muster.attest.package.reviews import REVIEWS
from muster.attest.package.seal import SEAL, seal, unseal
from muster.attest.package.trust_root import TrustRoot, read_trust_root
from muster.attest.package.verify import Verified, verify_package
from muster.forge.git.approvals import approvals_in
from muster.kinds.errors import Refused
from packages import APPROVER, NAME, PackagedFleet
from scratch_repository import git


def verified(archive: bytes, root: TrustRoot) -> Verified:
    return verify_package(archive, root, approvals_in)


def answer(found: Verified, what: str) -> tuple[bool, str]:
    return next((check.holds, check.says) for check in found.checks if check.what == what)


def test_every_byte_of_a_small_archive_counts() -> None:
    """All bytes, one at a time, one bit and all bits: the headers, the members, the seal, the padding, the end.

    Larger archives have nothing else: headers of the only spelling, and members that the seal names.
    """
    key = new_private_key()
    pem = public_half(key)
    members = {"a.json": b"{}", "tree/b": b"text"}
    whole = pack({**members, SEAL: seal(members, {"release": NAME}, key)})
    trusted = {key_id(pem): pem}
    assert unseal(unpack(whole), trusted)[0] == {"release": NAME}
    unseen = []
    for position in range(len(whole)):
        # Upper and lower case are one bit apart; so are two spellings of the end of base64.
        for bits in (0x20, 1 << position % 8, 0xFF):
            altered = bytearray(whole)
            altered[position] ^= bits
            try:
                unseal(unpack(bytes(altered)), trusted)
                unseen.append((position, bits))
            except Refused:
                continue
    assert unseen == []
    for end in range(0, len(whole), 64):
        with pytest.raises(Refused):
            unseal(unpack(whole[:end]), trusted)


def tar_of(*members: tuple[tarfile.TarInfo, bytes], form: int = tarfile.USTAR_FORMAT) -> bytes:
    """An archive that Python's own tar writes."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as tar:
        for member, data in members:
            tar.addfile(member, io.BytesIO(data))
    return file.getvalue()


def entry(name: str = "a", size: int = 0, **fields: object) -> tarfile.TarInfo:
    told = tarfile.TarInfo(name)
    told.size = size
    for field, value in fields.items():
        setattr(told, field, value)
    return told


def large(name: str, size: int) -> bytes:
    """A header that promises so many bytes, and none of them."""
    return entry(name, size).tobuf(tarfile.USTAR_FORMAT)


ONE = (entry("a", 1), b"x")
HOSTILE = {
    "symbolic-link": tar_of((entry(type=tarfile.SYMTYPE, linkname="/etc/passwd"), b"")),
    "hard-link": tar_of(ONE, (entry("b", type=tarfile.LNKTYPE, linkname="a"), b"")),
    "device": tar_of((entry(type=tarfile.CHRTYPE, devmajor=1), b"")),
    "pipe": tar_of((entry(type=tarfile.FIFOTYPE), b"")),
    "folder": tar_of((entry("a/", type=tarfile.DIRTYPE), b"")),
    "contiguous": tar_of((entry(type=tarfile.CONTTYPE), b"")),
    "sparse": entry(type=tarfile.GNUTYPE_SPARSE).tobuf(tarfile.GNU_FORMAT) + bytes(1024),
    "pax": tar_of((entry("a", pax_headers={"path": "../../b"}), b""), form=tarfile.PAX_FORMAT),
    "pax-of-all": entry("a", type=tarfile.XGLTYPE).tobuf(tarfile.USTAR_FORMAT) + bytes(1024),
    "gnu-long-name": tar_of((entry("a" * 150), b""), form=tarfile.GNU_FORMAT),
    "gnu": tar_of(ONE, form=tarfile.GNU_FORMAT),
    "blocked-as-tar-does": tar_of(ONE),
    "twice": large("a", 0) * 2 + bytes(1024),
    "out-of-order": large("b", 0) + large("a", 0) + bytes(1024),
    "upwards": large("a/../../b", 0) + bytes(1024),
    "absolute": large("/a", 0) + bytes(1024),
    "executable": entry(mode=0o755).tobuf(tarfile.USTAR_FORMAT) + bytes(1024),
    "owned": entry(uid=1).tobuf(tarfile.USTAR_FORMAT) + bytes(1024),
    "dated": entry(mtime=1).tobuf(tarfile.USTAR_FORMAT) + bytes(1024),
    "promised": large("a", LARGEST_MEMBER) + bytes(1024),
    "bomb": large("a", LARGEST_MEMBER + 1) + bytes(1024),
    "largest-number": large("a", 8**11 - 1) + bytes(1024),
    "base-256": entry("a", 8**11).tobuf(tarfile.GNU_FORMAT) + bytes(1024),
    "no-end": large("a", 0),
    "half-an-end": large("a", 0) + bytes(512),
    "behind-the-end": large("a", 0) + bytes(1024) + large("b", 0),
    "gzip": b"\x1f\x8b\x08" + bytes(509),
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_a_tar_that_no_exporter_writes(data: bytes) -> None:
    """Whatever else a tar can say is refused, before anything of it is believed or made room for."""
    with pytest.raises(Refused):
        unpack(data)


def test_an_archive_without_bounds() -> None:
    """Refused by its size alone."""
    with pytest.raises(Refused, match="more than"):
        unpack(bytes(LARGEST + 1))


@pytest.mark.parametrize(
    "part", ["/rebuild.json", "/provenance.json", "default.yaml", "devices/classes/cam-day.yaml", "keys/mara.yaml"]
)
def test_what_speaks_against_a_release_cannot_be_left_out(fleet: PackagedFleet, root: TrustRoot, part: str) -> None:
    """Who seals a package that is sound in itself, but without a file of the commit: it is named."""
    primary = {name: data for name, data in fleet.gather().items() if not name.endswith(part)}
    found = verified(export_package(primary, fleet.key, approvals_in), root)
    holds, says = answer(found, "commit")
    assert not holds
    assert part in says
    assert "left out" in says


def test_what_is_absent_is_said(fleet: PackagedFleet, archive: bytes, root: TrustRoot) -> None:
    """Provenance, rebuilds, waivers and approvals by name; a release that has none, and no controller at hand."""
    found = verified(archive, root)
    assert answer(found, "provenance") == (True, "provenance.json by lab")
    assert answer(found, "rebuilds") == (True, "GOOD at L2 on x86_64/GenuineIntel/6/85 by lab")
    assert answer(found, "waivers") == (True, "none")
    bare = fleet.gather("meter-reader/1.0.0")
    for name in (LEDGER, ADMITTED):
        bare.pop(name, None)
    found = verified(export_package(bare, fleet.key, approvals_in), root)
    assert found.holds, [check for check in found.checks if not check.holds]
    assert answer(found, "provenance") == (True, "absent")
    assert answer(found, "rebuilds") == (True, "absent")
    assert answer(found, "approvals") == (True, "0 signed approvals")
    assert answer(found, "ledger")[1].startswith("no ledger")
    assert answer(found, "reviews")[1].startswith("no forge")
    assert answer(found, "admission")[1].startswith("no controller's word")
    assert "test-result FAILED" in answer(found, "statements")[1]


DERIVED = ("gates.json", "history.json", "approvals.json", "lineage.json", "release_manifest.json", "bom.json",
           "model-card.md", "statements/release.json", "statements/test-result.json", "statements/admission.json",
           "statements/hardware.json", ABOUT)  # fmt: skip


@pytest.mark.parametrize("name", DERIVED)
def test_nothing_may_be_missing(archive: bytes, root: TrustRoot, fleet: PackagedFleet, name: str) -> None:
    """A package without one of its parts does not hold, and says which, though it is sealed."""
    members = unpack(archive)
    del members[name], members[SEAL]
    forged = pack({**members, SEAL: seal(members, {"release": NAME}, fleet.key)})
    if name == ABOUT:
        with pytest.raises(Refused, match=r"holds no package\.json"):
            verified(forged, root)
    else:
        assert any(name in check.says for check in verified(forged, root).checks if not check.holds)


@pytest.mark.parametrize(
    "data", [b"", b"{}", b'{"requests": [1]}', b'{"requests": [], "requests": []}', b"[" * 100_000], ids=len
)
def test_hostile_reviews_are_an_answer(fleet: PackagedFleet, root: TrustRoot, data: bytes) -> None:
    """Whatever stands there: it does not hold, and nothing else is harmed."""
    primary = {**fleet.gather(), REVIEWS: data}
    found = verified(export_package(primary, fleet.key, approvals_in), root)
    assert [check.what for check in found.checks if not check.holds] == ["reviews"]


def _by(version: str) -> Callable[[dict[str, bytes]], None]:
    def change(members: dict[str, bytes]) -> None:
        about = json.loads(members[ABOUT])
        members[ABOUT] = json.dumps({**about, "madeBy": version}).encode()

    return change


def test_another_version_made_it(fleet: PackagedFleet, root: TrustRoot) -> None:
    """What this version derives to the same bytes holds. What it does not, fails: a version is no place to hide."""
    primary = fleet.gather()
    _by("muster 99.1")(primary)
    foreign = export_package(primary, fleet.key, approvals_in)
    assert verified(foreign, root).holds
    members = unpack(foreign)
    members["gates.json"] = members["gates.json"].replace(b'"pass"', b'"fail"')
    assert members["gates.json"] != unpack(foreign)["gates.json"]
    del members[SEAL]
    found = verified(pack({**members, SEAL: seal(members, {"release": NAME}, fleet.key)}), root)
    holds, says = answer(found, "documents")
    assert not holds
    assert "it was made by muster 99.1: verify it with that one" in says


@pytest.mark.parametrize(
    ("absent", "what", "says"),
    [("mara", "approvals", f"{APPROVER} approved with a key"), ("controller", "admission", "not trusted")],
)
def test_who_seals_cannot_bring_people_of_their_own(
    fleet: PackagedFleet, archive: bytes, tmp_path: Path, absent: str, what: str, says: str
) -> None:
    """With a folder as the trust root, approvals and the controller's word count only by keys of that folder."""
    shutil.copytree(fleet.folder / "policies/keys", tmp_path / "keys")
    (tmp_path / f"keys/{absent}.yaml").unlink()
    found = verified(archive, read_trust_root(tmp_path / "keys"))
    assert [check.what for check in found.checks if not check.holds] == [what]
    assert says in answer(found, what)[1]


def test_a_commit_that_was_never_merged_is_no_history(fleet: PackagedFleet, root: TrustRoot) -> None:
    """Though it exists, and somebody approved it: nothing leads from the package's commit to it."""
    tree, parent = git(fleet.folder, "rev-parse", f"{fleet.commit}^{{tree}}"), f"{fleet.commit}^"
    stray = git(fleet.folder, "commit-tree", "-m", "never merged", "-p", parent, tree)
    primary = fleet.gather()
    about = json.loads(primary[ABOUT])
    primary[ABOUT] = json.dumps({**about, "history": [stray, *about["history"]]}).encode()
    primary[OBJECTS + stray] = framed("commit", fleet.repository.raw_commit(stray))
    found = verified(export_package(primary, fleet.key, approvals_in), root)
    assert answer(found, "history") == (False, f"nothing shows that {stray} came before {fleet.commit}")


def test_parents_stand_in_the_head_of_a_commit() -> None:
    """A line that looks like one in the message, a signature or another header leads nowhere."""
    one, other = "1" * 40, "2" * 40
    head = f"tree {'a' * 40}\nparent {one}\nauthor a <a> 1 +0000\nparent {other}\n\nparent {other}\n"
    assert parents_of(head.encode()) == (one,)
    with pytest.raises(Refused):
        parents_of(b"parent " + one.encode())


def test_a_tree_without_end() -> None:
    """Thirty levels, each twice the one below: refused after a bounded look, and not after a billion."""
    objects, mode, below = {}, b"100644", object_id(framed("blob", b""), 40)
    for _ in range(30):
        entries = b"".join(mode + b" %c\0" % letter + bytes.fromhex(below) for letter in b"ab")
        below = object_id(framed("tree", entries), 40)
        objects[below], mode = framed("tree", entries), b"40000"
    commit = framed("commit", b"tree %s\n\nwhy" % below.encode())
    name = object_id(commit, 40)
    with pytest.raises(Refused, match="holds more than"):
        list(Objects({**objects, name: commit}).below(name, "a", "policies/tests/"))


def test_the_only_spelling_of_a_seal(archive: bytes, fleet: PackagedFleet) -> None:
    """Spaces, another order, a field more, a duplicate key: the signature holds, and the seal is refused."""
    members = unpack(archive)
    genuine, pem = members[SEAL], public_half(fleet.key)
    trusted, bundle = {key_id(pem): pem}, json.loads(members[SEAL])
    assert open_bundle(genuine, trusted, "")[1] == key_id(pem)
    for spelt in (
        genuine + b"\n",
        b" " + genuine,
        json.dumps(bundle).encode(),
        json.dumps({**bundle, "more": 1}, separators=(",", ":"), sort_keys=True).encode(),
        genuine.replace(b'{"dsse', b'{"mediaType":"x","dsse', 1),
    ):
        with pytest.raises(Refused):
            unseal({**members, SEAL: spelt}, trusted)
