"""`--keyless` as a user runs it: `muster sign` and `muster verify` on an artifact, `muster evidence` on a release."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from muster.artifacts.bundle import CONFIG, GOLDEN_EXPECTED, GOLDEN_INPUTS, MANIFEST, MODEL, pack_bundle
from muster.cli import exit_code_of
from muster.simulate.sigstore.service import Sigstore, running
from scratch_repository import repository_of

ROOT = Path(__file__).parents[2]
WORKFLOW = "https://ci.example/fleet/.ci/measure.yml@refs/heads/main"
CONTENT = {MODEL: b"model", CONFIG: b"{}", MANIFEST: b"{}", GOLDEN_INPUTS: b"i", GOLDEN_EXPECTED: b"e"}


@pytest.fixture(scope="module")
def sigstore() -> Iterator[Sigstore]:
    """One instance for all tests here."""
    with running() as instance:
        yield instance


@pytest.fixture
def desk(sigstore: Sigstore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A fleet that trusts one identity, a token of it, an artifact; the options that sign."""
    fleet = tmp_path / "fleet"
    names = ("releases", "devices", "policies", "docs", "builders")
    files = {
        str(path.relative_to(ROOT)): path.read_bytes()
        for name in names
        for path in (ROOT / name).rglob("*")
        if path.is_file() and path.suffix in (".yaml", ".mmd", ".md", ".lock", ".txt", ".toml")
    }
    trust = {
        "policies/keys/sigstore.json": json.dumps(sigstore.trusted_root()),
        "policies/identities/ci.yaml": "apiVersion: muster/v1\nkind: TrustedIdentity\nmetadata:\n  name: ci\nspec:\n"
        f'  identity: "{WORKFLOW}"\n  issuer: "{sigstore.issuer}"\n  uses: [evidence, artifacts]\n',
    }
    repository_of(fleet, files | trust)
    (fleet / "a.tar").write_bytes(pack_bundle(CONTENT))
    token, config = tmp_path / "token", tmp_path / "config.json"
    token.touch(mode=0o600)
    token.write_text(sigstore.token(WORKFLOW))
    config.write_text(json.dumps(sigstore.trust_config(2)))
    monkeypatch.chdir(fleet)
    return ["--keyless", "--identity-token", str(token), "--trust-config", str(config)]


def test_sign_and_verify_an_artifact(desk: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """What an identity signed verifies against a repository that trusts it, and not without, and not another file."""
    assert exit_code_of(["sign", "a.tar", "--signature", "a.sig", *desk]) == 0
    assert WORKFLOW in capsys.readouterr().out
    verify = ["verify", "a.tar", "--signature", "a.sig"]
    assert exit_code_of([*verify, "--repository", "."]) == 0
    assert "identities/ci" in capsys.readouterr().out
    assert exit_code_of(verify) == 2
    Path("a.tar").write_bytes(pack_bundle({**CONTENT, MODEL: b"another"}))
    assert exit_code_of([*verify, "--repository", "."]) == 1
    assert "changed" in capsys.readouterr().err


def test_evidence_is_signed_keyless(desk: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A rehearsal, made and believed without any key."""
    release = "releases/meter-reader/1.2.0.yaml"
    assert exit_code_of(["evidence", "rehearsal", release, "--state", "state", *desk]) == 0, capsys.readouterr()
    files = [str(path) for path in Path("evidence").rglob("rehearsal.json")]
    assert len(files) == 1
    assert exit_code_of(["evidence", "verify", *files]) == 0
    assert "signer: identities/ci" in capsys.readouterr().out
    shutil.copy(files[0], "elsewhere.json")
    assert exit_code_of(["evidence", "verify", "elsewhere.json"]) == 1


@pytest.mark.parametrize(
    "options",
    [
        pytest.param([], id="nobody"),
        pytest.param(["--key", "k", "--keyless"], id="both"),
        pytest.param(["--key", "k", "--identity-token", "t"], id="a token with a key"),
    ],
)
def test_who_signs_is_said_once(desk: list[str], options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Either a key or an identity; the hint names both."""
    assert desk
    assert exit_code_of(["sign", "a.tar", "--signature", "a.sig", *options]) == 2
    assert "--keyless" in capsys.readouterr().err
