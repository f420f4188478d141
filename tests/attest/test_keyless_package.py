"""Keyless evidence in a package counts offline, on the identities and the trusted root of whoever verifies it."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from evidences import evidence_files
from muster.attest.keyless_signing import KeylessSigner
from muster.attest.package.archive import pack, unpack
from muster.attest.package.seal import SEAL
from muster.attest.package.trust_root import read_trust_root
from muster.attest.package.verify import verify_package
from muster.attest.package.voucher import VOUCHER
from muster.cli import exit_code_of
from muster.forge.git.approvals import approvals_in
from muster.kinds.errors import Refused
from muster.simulate.sigstore.service import Sigstore, running
from packages import AT, NAME, PackagedFleet
from scratch_repository import commit_all, write

WORKFLOW = "https://ci.example/fleet/.ci/measure.yml@refs/heads/main"


@pytest.fixture(scope="module")
def sigstore() -> Iterator[Sigstore]:
    with running() as instance:
        yield instance


@pytest.fixture(scope="module")
def signer(sigstore: Sigstore, tmp_path_factory: pytest.TempPathFactory) -> KeylessSigner:
    """The identity, with its token."""
    folder = tmp_path_factory.mktemp("signer")
    token, config = folder / "token", folder / "config.json"
    token.touch(mode=0o600)
    token.write_text(sigstore.token(WORKFLOW))
    config.write_text(json.dumps(sigstore.trust_config(1)))
    return KeylessSigner(token, config)


@pytest.fixture(scope="module")
def fleet(sigstore: Sigstore, signer: KeylessSigner, tmp_path_factory: pytest.TempPathFactory) -> PackagedFleet:
    """The packaged fleet, whose evidence an identity signed again."""
    fleet = PackagedFleet(tmp_path_factory.mktemp("keyless") / "fleet")
    made = evidence_files(fleet.release, fleet.older, signer, AT - timedelta(days=1))
    trust = {
        "policies/keys/sigstore.json": json.dumps(sigstore.trusted_root()),
        "policies/identities/ci.yaml": "apiVersion: muster/v1\nkind: TrustedIdentity\nmetadata:\n  name: ci\n"
        f'spec:\n  identity: "{WORKFLOW}"\n  issuer: "{sigstore.issuer}"\n',
    }
    write(fleet.folder, {**made, **trust})
    commit_all(fleet.folder, "signed by an identity")
    return fleet


def evidence_of(archive: bytes, keys: Path) -> tuple[bool, str]:
    """What becomes of the evidence on that trust root."""
    found = verify_package(archive, read_trust_root(keys), approvals_in)
    return next((check.holds, check.says) for check in found.checks if check.what == "evidence")


def test_the_fleets_own_identities_vouch(fleet: PackagedFleet) -> None:
    """With the fleet's policies/keys/ as the trust root, and the identities beside it; the manifest names the file."""
    archive = fleet.export()
    assert evidence_of(archive, fleet.folder / "policies/keys") == (True, "7 files believed")
    assert b"policies/identities/ci.yaml" in archive


def test_what_only_the_package_trusts_is_worth_nothing(
    fleet: PackagedFleet, sigstore: Sigstore, tmp_path: Path
) -> None:
    """No identities beside the keys, no trusted root, another one, or another name: refused by name."""
    archive = fleet.export()
    policies = tmp_path / "policies"
    shutil.copytree(fleet.folder / "policies", policies)
    identity, root = policies / "identities/ci.yaml", policies / "keys/sigstore.json"
    text = identity.read_text()
    for trust in (
        text.replace(WORKFLOW, "https://ci.example/other"),
        text.replace(sigstore.issuer, "https://other.example"),
    ):
        identity.write_text(trust)
        holds, says = evidence_of(archive, policies / "keys")
        assert not holds
        assert "signed by identities/ci, which the trust root does not hold" in says
    identity.write_text(text)
    with running() as other:
        root.write_text(json.dumps(other.trusted_root()))
    assert not evidence_of(archive, policies / "keys")[0]
    root.unlink()
    assert not evidence_of(archive, policies / "keys")[0]


def test_a_rotated_root_still_vouches_for_what_was_packed_before(
    fleet: PackagedFleet, sigstore: Sigstore, tmp_path: Path
) -> None:
    """The reader's root is a newer one that names the old keys beside the new; without the old ones nothing counts."""
    archive = fleet.export()
    policies = tmp_path / "policies"
    shutil.copytree(fleet.folder / "policies", policies)
    with running() as new:
        after, before = new.trusted_root(), sigstore.trusted_root()
    both = {name: [*before[name], *value] if isinstance(value, list) else value for name, value in after.items()}
    (policies / "keys/sigstore.json").write_text(json.dumps(both))
    assert evidence_of(archive, policies / "keys") == (True, "7 files believed")
    (policies / "keys/sigstore.json").write_text(json.dumps(after))
    assert not evidence_of(archive, policies / "keys")[0]


@pytest.fixture(scope="module")
def sealed(fleet: PackagedFleet, signer: KeylessSigner, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package that the identity sealed, as a user makes it."""
    path = tmp_path_factory.mktemp("sealed") / "package.tar"
    where = ["--repository", str(fleet.folder), "--state", str(fleet.state), "-o", str(path)]
    how = ["--keyless", "--identity-token", str(signer.token_file), "--trust-config", str(signer.trust_config)]
    assert exit_code_of(["evidence", "export", NAME, *where, *how]) == 0
    return path


def test_an_identity_seals_a_package(
    sealed: Path, fleet: PackagedFleet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The fleet's folders vouch for it, without any key for evidence too; a lone key or another identity does not."""
    verify = ["evidence", "verify", str(sealed), "-o", "json", "--root"]
    assert exit_code_of([*verify, str(fleet.folder / "policies/keys")]) == 0
    found = json.loads(capsys.readouterr().out)[0]
    assert (found["holds"], found["sealedBy"]) == (True, "identities/ci")
    policies = tmp_path / "policies"
    shutil.copytree(fleet.folder / "policies", policies)
    (policies / "keys/lab.yaml").unlink()
    assert exit_code_of([*verify, str(policies / "keys")]) == 0
    assert exit_code_of([*verify, str(fleet.folder / "policies/keys/lab.yaml")]) == 1
    identity = policies / "identities/ci.yaml"
    identity.write_text(identity.read_text().replace(WORKFLOW, "https://ci.example/other"))
    capsys.readouterr()
    assert exit_code_of([*verify, str(policies / "keys")]) == 1
    assert "an identity that is not trusted" in json.loads(capsys.readouterr().out)[0]["reason"]


def test_what_an_identity_sealed_cannot_change(sealed: Path, fleet: PackagedFleet) -> None:
    """No byte of the seal or of the identity's word; no voucher taken away, or taken from another package."""
    root, members = read_trust_root(fleet.folder / "policies/keys"), unpack(sealed.read_bytes())
    sample = random.Random(5)
    for name in (SEAL, VOUCHER):
        for position in sample.sample(range(len(members[name])), 40):
            altered = bytearray(members[name])
            altered[position] ^= sample.choice((0x01, 0x20, 0x80))
            with pytest.raises(Refused):
                verify_package(pack({**members, name: bytes(altered)}), root, approvals_in)
    with pytest.raises(Refused, match="not trusted"):
        verify_package(pack({name: data for name, data in members.items() if name != VOUCHER}), root, approvals_in)
    about = json.loads(members["package.json"])
    older = json.dumps({**about, "at": "2026-03-01T00:00:00Z"}).encode()
    with pytest.raises(Refused, match="the seal of another package"):
        verify_package(pack({**members, "package.json": older}), root, approvals_in)
    evidence = next(data for name, data in members.items() if name.endswith("/rebuild.json"))
    with pytest.raises(Refused, match="the seal of another package"):
        verify_package(pack({**members, VOUCHER: evidence}), root, approvals_in)
