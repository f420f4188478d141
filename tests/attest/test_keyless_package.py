"""Keyless evidence in a package counts offline, on the identities and the trusted root of whoever verifies it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from evidences import evidence_files
from muster.attest.keyless_signing import KeylessSigner
from muster.attest.package.trust_root import read_trust_root
from muster.attest.package.verify import verify_package
from muster.forge.git.approvals import approvals_in
from muster.simulate.sigstore.service import Sigstore, running
from packages import AT, PackagedFleet
from scratch_repository import commit_all, write

WORKFLOW = "https://ci.example/fleet/.ci/measure.yml@refs/heads/main"


@pytest.fixture(scope="module")
def sigstore() -> Iterator[Sigstore]:
    with running() as instance:
        yield instance


@pytest.fixture(scope="module")
def fleet(sigstore: Sigstore, tmp_path_factory: pytest.TempPathFactory) -> PackagedFleet:
    """The packaged fleet, whose evidence an identity signed again."""
    folder = tmp_path_factory.mktemp("keyless")
    fleet = PackagedFleet(folder / "fleet")
    token, config = folder / "token", folder / "config.json"
    token.touch(mode=0o600)
    token.write_text(sigstore.token(WORKFLOW))
    config.write_text(json.dumps(sigstore.trust_config(1)))
    made = evidence_files(fleet.release, fleet.older, KeylessSigner(token, config), AT - timedelta(days=1))
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
