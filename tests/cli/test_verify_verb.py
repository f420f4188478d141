"""`muster verify`: exit 0 it holds, 1 it does not and why, 2 it could not be told."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from muster.apply.key_setup import initialise_keys
from muster.apply.publish import PublishedArtifact, Publisher
from muster.artifacts.bundle import CONFIG, GOLDEN_EXPECTED, GOLDEN_INPUTS, MANIFEST, MODEL, pack_bundle, unpack_bundle
from muster.attest.keys import new_private_key, public_half
from muster.attest.model_signature import sign_files
from muster.attest.verification import read_release
from muster.cli import exit_code_of
from muster.kinds.cohort import Selector
from muster.kinds.desired import DesiredDocument, Entry, OrderedCohort
from muster.kinds.digest import digest_of
from muster.kinds.errors import Refused
from muster.kinds.release import Artifact

NOW = datetime.now(UTC)
CONTENT = {
    MODEL: b"model bytes",
    CONFIG: b"{}",
    MANIFEST: b"{}",
    GOLDEN_INPUTS: b"inputs",
    GOLDEN_EXPECTED: b"expected",
}
FILES = {name: digest_of(data) for name, data in CONTENT.items()}


class Shelf:
    """A signed artifact, packed and unpacked, with its public key, and a controller that published it."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / "state"
        made = initialise_keys(self.state, None, "controller", NOW)
        self.tar, self.folder = folder / "a.tar", folder / "artifact"
        self.signature, self.key, self.stranger = folder / "a.sig", folder / "key.pem", folder / "stranger.pem"
        self.tar.write_bytes(pack_bundle(CONTENT))
        unpack_bundle(self.tar, self.folder)
        self.signature.write_bytes(sign_files(FILES, made.keys.signing_key()))
        self.key.write_text(made.signing_key)
        self.stranger.write_text(public_half(new_private_key()))
        self.digest = digest_of(self.tar.read_bytes())
        self._publish(Publisher(self.state / "public", made.tuf), made.signing_key)

    def _publish(self, publisher: Publisher, key: str) -> None:
        size = self.tar.stat().st_size
        entry = Entry(
            release="meter-reader/1.0.0",
            version="1.0.0",
            since=1,
            artifact=Artifact(digest=self.digest, size=size),
            model_hash=FILES[MODEL],
            config_version=FILES[CONFIG],
            runtime_version="1.31.1",
            provider="CPUExecutionProvider",
            health_window="30m",
            salt="meter-reader/1.0.0",
            ppm={"everyone": 1_000_000},
        )
        document = DesiredDocument(
            model="meter-reader",
            device_class="cam",
            generation=1,
            commit="a" * 40,
            poll_interval="5m",
            cohorts=(OrderedCohort(name="everyone", selector=Selector()),),
            entries=(entry,),
        )
        found = PublishedArtifact(self.tar, self.digest, size, self.signature.read_bytes())
        publisher.publish(1, [document], {self.digest: found}, [key], NOW)

    def verify(self, target: object, *more: object) -> int:
        return exit_code_of(["verify", str(target), "--state", str(self.state), *map(str, more)])

    def trusting(self, target: Path, key: Path | None = None, *more: object) -> int:
        return self.verify(target, "--signature", self.signature, "--key", key or self.key, *more)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def test_packed_and_unpacked(shelf, capsys):
    """Tar and folder hold; what was verified is printed, also as JSON."""
    assert shelf.trusting(shelf.folder) == 0
    assert shelf.trusting(shelf.tar) == 0
    out = capsys.readouterr().out
    assert f"{shelf.tar}: verified\n  artifact:  {shelf.digest}" in out
    assert shelf.trusting(shelf.tar, None, "-o", "json") == 0
    value = json.loads(capsys.readouterr().out)
    assert (True, shelf.digest, FILES) == (value["verified"], value["artifact"], value["files"])


def test_one_key_of_several(shelf):
    """It is enough that one of the given keys signed."""
    assert shelf.trusting(shelf.tar, shelf.stranger, "--key", shelf.key) == 0


def test_what_does_not_hold(shelf, capsys):
    """An altered folder, a stranger's key, a tar that is no bundle: exit 1 and why."""
    (shelf.folder / "extra").write_bytes(b"")
    assert shelf.trusting(shelf.folder) == 1
    assert "added: 'extra'" in capsys.readouterr().err
    assert shelf.trusting(shelf.tar, shelf.stranger) == 1
    assert "not trusted" in capsys.readouterr().err
    shelf.tar.unlink()
    shelf.tar.write_bytes(b"no tar")
    assert shelf.trusting(shelf.tar, None, "-o", "json") == 1
    value = json.loads(capsys.readouterr().out)
    assert value["verified"] is False
    assert "bundle" in value["reason"]


def test_what_cannot_be_told(shelf, tmp_path, capsys):
    """Missing files and missing options exit 2 with a hint."""
    for arguments in (
        [shelf.tar],
        [shelf.tar, "--signature", shelf.signature],
        [shelf.tar, "--key", shelf.key],
        [tmp_path / "none", "--signature", shelf.signature, "--key", shelf.key],
        [shelf.tar, "--signature", tmp_path / "none", "--key", shelf.key],
        [shelf.tar, "--signature", shelf.signature, "--key", shelf.tar],
    ):
        assert shelf.verify(*arguments) == 2
        assert "hint:" in capsys.readouterr().err


def test_published_release(shelf, capsys):
    """A published release is found by name; its tar and signature are verified with the published keys."""
    assert shelf.verify("meter-reader/1.0.0") == 0
    assert shelf.digest in capsys.readouterr().out
    assert shelf.verify("meter-reader/1.0.0", "--key", shelf.stranger) == 1
    assert shelf.verify("meter-reader/9.9.9") == 1
    assert "is not published" in capsys.readouterr().err


def test_altered_published_release(shelf, capsys):
    """One flipped bit in the published tar is found."""
    published = next((shelf.state / "public" / "targets" / "artifacts").glob("*.tar"))
    data = bytearray(published.read_bytes())
    data[600] ^= 1
    published.write_bytes(data)
    assert shelf.verify("meter-reader/1.0.0") == 1
    assert "is altered" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "complaint"),
    [("a: b: c\n", "r.yaml:1:"), ("kind: Release\n", "apiVersion"), ("- 1\n", "r.yaml:1:1"), ("", "r.yaml:1:1")],
    ids=["no-yaml", "no-fields", "list", "empty"],
)
def test_unreadable_release_file(shelf, tmp_path, capsys, text, complaint):
    """A release file that cannot be used is complained of with its place."""
    (tmp_path / "r.yaml").write_text(text)
    assert shelf.trusting(shelf.tar, None, "--release", tmp_path / "r.yaml") == 1
    assert complaint in capsys.readouterr().err
    with pytest.raises(Refused):
        read_release(tmp_path / "r.yaml")
