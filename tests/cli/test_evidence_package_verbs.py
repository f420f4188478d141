"""`muster evidence export`, `document` and `verify --root` as a user runs them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from muster.attest.keys import new_private_key, public_half
from muster.cli import exit_code_of
from packages import NAME, PackagedFleet


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> PackagedFleet:
    """With its key where a user keeps it."""
    fleet = PackagedFleet(tmp_path_factory.mktemp("verbs") / "fleet")
    path = fleet.folder.parent / "lab.pem"
    path.touch(mode=0o600)
    path.write_bytes(fleet.key)
    return fleet


@pytest.fixture(autouse=True)
def _there(fleet: PackagedFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MUSTER_STATE", raising=False)
    monkeypatch.chdir(fleet.folder)


def export(*arguments: str) -> int:
    return exit_code_of(["evidence", "export", *arguments, "--key", "../lab.pem"])


def verify(*arguments: str) -> int:
    return exit_code_of(["evidence", "verify", *arguments])


def test_export_and_verify(fleet: PackagedFleet, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The archive verifies by a file with the key and by the folder of a clone; a changed one exits 1 and says why."""
    archive, pem = tmp_path / "a.tar", tmp_path / "lab.pub"
    pem.write_text(public_half(fleet.key))
    moment = ["--at", "2026-03-02T12:00:00Z", "--state", str(fleet.state)]
    assert export(NAME, "-o", str(archive), *moment) == 0
    assert f"wrote {archive}" in capsys.readouterr().out
    assert archive.read_bytes() == fleet.export()
    for root in (str(pem), "policies/keys"):
        assert verify(str(archive), "--root", root) == 0
        shown = capsys.readouterr().out
        assert f"{archive}: holds: {NAME} at {fleet.commit}" in shown
        assert "ok  approvals: 1 signed approvals" in shown
    altered = bytearray(archive.read_bytes())
    altered[700] ^= 1
    archive.write_bytes(altered)
    assert verify(str(archive), "--root", str(pem), "-o", "json") == 1
    assert json.loads(capsys.readouterr().out)[0]["holds"] is False


def test_verify_with_the_wrong_root(fleet: PackagedFleet, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A stranger's key: 1. No key, no archive, and a text for an archive: 2, 2 and 1."""
    archive, pem = tmp_path / "a.tar", tmp_path / "other.pub"
    archive.write_bytes(fleet.export())
    pem.write_text(public_half(new_private_key()))
    assert verify(str(archive), "--root", str(pem)) == 1
    assert "does not hold: signed by a key that is not trusted" in capsys.readouterr().out
    assert verify(str(archive), "--root", str(tmp_path / "absent.pub")) == 2
    assert verify(str(tmp_path / "absent.tar"), "--root", str(pem)) == 2
    archive.write_text("no archive")
    assert verify(str(archive), "--root", str(pem)) == 1
    assert "Traceback" not in capsys.readouterr().err


def test_an_old_package(fleet: PackagedFleet, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Who asks for fresh ones is told how old it is; an age that is none, or an age of evidence files: 2."""
    archive = tmp_path / "a.tar"
    archive.write_bytes(fleet.export())
    asked = [str(archive), "--root", "policies/keys", "--max-age"]
    assert verify(*asked, "1s") == 1
    assert "BAD age: as of 2026-03-02T12:00:00Z" in capsys.readouterr().out
    assert verify(*asked, "36500d") == 0
    assert verify(*asked, "long") == 2
    assert verify(str(archive), "--max-age", "1d") == 2


def test_export_of_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A release that nobody declares: 1; a moment that is none, a key that is missing: 2. Nothing is written."""
    target = tmp_path / "a.tar"
    assert export("meter-reader/9.9.9", "-o", str(target)) == 1
    assert "is not declared" in capsys.readouterr().err
    assert export(NAME, "-o", str(target), "--at", "yesterday") == 2
    assert exit_code_of(["evidence", "export", NAME, "-o", str(target), "--key", "../absent.pem"]) == 2
    assert not target.exists()


def test_documents(fleet: PackagedFleet, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Manifest, bill and card alone; printed or written."""
    assert exit_code_of(["evidence", "document", "manifest", NAME]) == 0
    manifest = json.loads(capsys.readouterr().out)
    assert manifest["artifact"]["digest"] == fleet.release.spec.artifact.digest
    assert manifest["commit"] == fleet.commit
    assert exit_code_of(["evidence", "document", "bom", NAME, "-o", str(tmp_path / "bom.json")]) == 0
    assert json.loads((tmp_path / "bom.json").read_text())["specVersion"] == "1.6"
    assert exit_code_of(["evidence", "document", "poem", NAME]) == 2
