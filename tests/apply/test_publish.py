"""Publishing: what devices can fetch, what is never published, and what a client refuses."""

from __future__ import annotations

import functools
import shutil
import threading
from datetime import timedelta
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from publishing import NOW, PUBLIC, STRANGER, Device, Site, artifact, document, entry
from tuf.api.exceptions import (
    BadVersionNumberError,
    DownloadError,
    ExpiredMetadataError,
    LengthOrHashMismatchError,
    RepositoryError,
    UnsignedMetadataError,
)
from tuf.ngclient import Updater

from muster.apply.publish import SIGNING_KEYS_TARGET, PublishedArtifact
from muster.apply.static_files import only_writer
from muster.apply.tuf_keys import TufKeys, key_path
from muster.attest.keys import public_half
from muster.attest.model_signature import sign_files
from muster.kinds.digest import digest_of
from muster.kinds.errors import Refused, TryAgain, Unusable
from muster.plan.world import Published


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site.at(tmp_path / "site")


def flip(path: Path, position: int = -2) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.unlink()
    path.write_bytes(data)


def test_nothing_published(site):
    """Before the first publish there is generation 0 and nothing to refresh."""
    assert site.publisher().published() == Published()
    assert site.publisher().expires() is None
    assert not site.publisher().refresh(NOW)
    assert site.publisher().signing_keys() == ()


def test_published_reads_back(site):
    """What was published is read back from disk, equal to what was given."""
    found = site.publish(3, "1.0.0")
    content = document(3, entry(found, "1.0.0", 3))
    expected = Published(3, {("meter-reader", "cam"): content}, frozenset({found.digest}))
    publisher = site.publisher()
    assert expected == publisher.published() == publisher.published()
    assert publisher.expires() == NOW + timedelta(days=1)
    assert publisher.signing_keys() == (PUBLIC,)


def test_any_tuf_client_reads_it_over_http(site, tmp_path):
    """python-tuf's own client, over HTTP from static files, finds document, artifact, signature and trusted keys."""
    found = site.publish(1, "1.0.0")
    handler = functools.partial(QuietHandler, directory=str(site.public))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            (tmp_path / "t").mkdir()
            base = f"http://127.0.0.1:{server.server_port}"
            root = site.publisher().init_root(NOW)
            updater = Updater(
                str(tmp_path / "m"), f"{base}/metadata/", str(tmp_path / "t"), f"{base}/targets/", bootstrap=root
            )
            hexadecimal = found.digest.removeprefix("sha256:")
            for path, expected in {
                f"artifacts/{hexadecimal}.tar": found.path.read_bytes(),
                f"artifacts/{hexadecimal}.sig": found.signature,
                "trust/signing-keys.json": None,
                "desired/meter-reader/cam.json": None,
            }.items():
                info = updater.get_targetinfo(path)
                assert info is not None, path
                data = Path(updater.download_target(info)).read_bytes()
                assert data == (expected or data)
            assert updater.get_targetinfo("desired/meter-reader/other.json") is None
        finally:
            server.shutdown()
            thread.join()


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def test_generations_rise_for_a_device(site, tmp_path):
    """A device that polls sees each generation, also one that names the older artifact again."""
    device = None
    for generation, version in [(1, "1.0.0"), (2, "1.1.0"), (7, "1.0.0")]:
        site.publish(generation, version)
        device = device or Device(tmp_path / "device", site)
        seen = device.poll()
        assert (generation, version) == (seen.generation, seen.entries[0].version)


def test_generation_never_falls(site):
    """An older generation is refused, and so is the same one with other content; nothing changes."""
    site.publish(2, "1.0.0")
    before = site.publisher().published()
    for generation, version in [(1, "1.0.0"), (1, "1.1.0"), (2, "1.1.0")]:
        with pytest.raises(Refused, match="not newer") as refused:
            site.publish(generation, version)
        assert "never goes down" in (refused.value.hint or "")
    assert before == site.publisher().published()


def test_the_same_call_again_changes_nothing(site):
    """Repeating the call that published the current generation succeeds and writes nothing."""
    site.publish(2, "1.0.0")
    before = {path: path.stat().st_mtime_ns for path in (site.public / "metadata").iterdir()}
    site.publish(2, "1.0.0", NOW + timedelta(hours=1))
    assert before == {path: path.stat().st_mtime_ns for path in (site.public / "metadata").iterdir()}


@pytest.mark.parametrize("generation", [0, -1, 2**53])
def test_impossible_generations(site, generation):
    """A generation is a positive number that every JSON reader holds exactly."""
    with pytest.raises(Unusable):
        site.publisher().publish(generation, [], {}, [PUBLIC], NOW)


def test_document_from_the_future(site):
    """A document cannot be newer than the generation it is published in; an unchanged older one stays as it is."""
    with pytest.raises(Refused, match="newer than 1"):
        site.publisher().publish(1, [document(2)], {}, [PUBLIC], NOW)
    site.publisher().publish(2, [document(1)], {}, [PUBLIC], NOW)
    assert site.publisher().published().documents["meter-reader", "cam"].generation == 1


def test_two_documents_for_one_class(site):
    """One model and device class has one document."""
    with pytest.raises(Refused, match="same model and device class"):
        site.publisher().publish(1, [document(1), document(1)], {}, [PUBLIC], NOW)


def publish_one(site: Site, found: PublishedArtifact, keys: list[str]) -> None:
    content = document(1, entry(found, "1.0.0", 1))
    site.publisher().publish(1, [content], {found.digest: found}, keys, NOW)


def assert_nothing_published(site: Site) -> None:
    assert site.publisher().published() == Published()
    assert not (site.public / "metadata" / "1.targets.json").exists()
    assert not (site.public / "targets").exists()


def test_unsigned_artifact_is_never_published(site):
    """Without a signature nothing is written."""
    found = artifact(site.folder / "store", "1.0.0")
    unsigned = PublishedArtifact(found.path, found.digest, found.size, b"")
    with pytest.raises(Refused, match="not signed"):
        publish_one(site, unsigned, [PUBLIC])
    assert_nothing_published(site)


def test_wrongly_signed_artifact_is_never_published(site):
    """A signature of a key that is not declared does not count, nor one over other files."""
    stranger = artifact(site.folder / "store", "1.0.0", STRANGER)
    with pytest.raises(Refused, match="not trusted"):
        publish_one(site, stranger, [PUBLIC])
    other = artifact(site.folder / "store", "1.1.0")
    swapped = PublishedArtifact(stranger.path, stranger.digest, stranger.size, other.signature)
    with pytest.raises(Refused, match=r"changed: 'model\.onnx'"):
        publish_one(site, swapped, [PUBLIC])
    with pytest.raises(Refused, match="not trusted"):
        publish_one(site, other, [])
    assert_nothing_published(site)


def test_altered_artifact_is_never_published(site):
    """A tar whose bytes are not those of its digest, or that is shorter, is refused, before it is parsed."""
    found = artifact(site.folder / "store", "1.0.0")
    content = document(1, entry(found, "1.0.0", 1))
    flip(found.path, 600)
    with pytest.raises(Refused, match="is altered"):
        site.publisher().publish(1, [content], {found.digest: found}, [PUBLIC], NOW)
    found.path.write_bytes(found.path.read_bytes()[:-1])
    with pytest.raises(Refused, match="bytes, not"):
        site.publisher().publish(1, [content], {found.digest: found}, [PUBLIC], NOW)
    found.path.unlink()
    with pytest.raises(TryAgain):
        site.publisher().publish(1, [content], {found.digest: found}, [PUBLIC], NOW)
    assert_nothing_published(site)


def test_artifact_altered_between_two_publishes(site):
    """What was verified once is verified again when its file has changed."""
    publisher, found = site.publisher(), artifact(site.folder / "store", "1.0.0")
    content = [document(1, entry(found, "1.0.0", 1))]
    publisher.publish(1, content, {found.digest: found}, [PUBLIC], NOW)
    flip(found.path, 600)
    with pytest.raises(Refused, match="is altered"):
        publisher.publish(2, content, {found.digest: found}, [PUBLIC], NOW)


def test_retired_key_stops_publishing(site):
    """An artifact that was published under a key is not published again once the key is no longer declared."""
    publisher, found = site.publisher(), artifact(site.folder / "store", "1.0.0")
    content = [document(1, entry(found, "1.0.0", 1))]
    publisher.publish(1, content, {found.digest: found}, [PUBLIC], NOW)
    with pytest.raises(Refused, match="not trusted"):
        publisher.publish(2, content, {found.digest: found}, [public_half(STRANGER)], NOW)


def test_a_tar_that_is_no_bundle(site):
    """Bytes with the right digest and size are still refused unless they are a bundle."""
    path = site.folder / "junk"
    path.write_bytes(b"junk" * 1_000)
    digest = digest_of(path.read_bytes())
    good = entry(artifact(site.folder / "store", "1.0.0"), "1.0.0", 1)
    bad = good.model_copy(update={"artifact": good.artifact.model_copy(update={"digest": digest, "size": 4_000})})
    junk = PublishedArtifact(path, digest, 4_000, sign_files({"a": digest}, STRANGER))
    with pytest.raises(Refused, match="bundle"):
        site.publisher().publish(1, [document(1, bad)], {digest: junk}, [PUBLIC], NOW)
    assert_nothing_published(site)


@pytest.mark.parametrize(
    ("field", "value"),
    [("model_hash", digest_of(b"other")), ("config_version", digest_of(b"other"))],
)
def test_entry_with_other_pins(site, field, value):
    """An entry must pin what its artifact holds: devices are judged by these digests."""
    found = artifact(site.folder / "store", "1.0.0")
    wrong = entry(found, "1.0.0", 1).model_copy(update={field: value})
    with pytest.raises(Refused, match="pins"):
        site.publisher().publish(1, [document(1, wrong)], {found.digest: found}, [PUBLIC], NOW)
    assert_nothing_published(site)


def test_artifact_that_was_not_given(site):
    """An entry whose artifact is not prepared is refused."""
    found = artifact(site.folder / "store", "1.0.0")
    with pytest.raises(Refused, match="not prepared"):
        site.publisher().publish(1, [document(1, entry(found, "1.0.0", 1))], {}, [PUBLIC], NOW)


def test_dropped_artifacts_stay_as_files(site):
    """An artifact that no document names any more leaves the metadata; its file stays for devices in mid-download."""
    first, second = site.publish(1, "1.0.0"), artifact(site.folder / "store", "1.1.0")
    both = {first.digest: first, second.digest: second}
    site.publisher().publish(2, [document(2, entry(second, "1.1.0", 2))], both, [PUBLIC], NOW)
    assert site.publisher().published().artifacts == {second.digest}
    hexadecimal = first.digest.removeprefix("sha256:")
    kept = site.public / "targets" / "artifacts" / f"{hexadecimal}.{hexadecimal}.tar"
    assert first.path.read_bytes() == kept.read_bytes()
    assert first.path.samefile(kept)


def test_publishing_repeats_byte_for_byte(tmp_path):
    """The same keys, documents and times give the same files."""
    first = Site.at(tmp_path / "one")
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    second = Site.at(tmp_path / "two")
    for site in (first, second):
        site.publish(1, "1.0.0")
        site.publish(2, "1.1.0")
    assert tree(first.public) == tree(second.public)


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_client_refuses_rollback(site, tmp_path):
    """A device that saw generation 2 refuses a mirror that shows generation 1 again."""
    site.publish(1, "1.0.0")
    shutil.copytree(site.public, tmp_path / "old")
    site.publish(2, "1.1.0")
    device = Device(tmp_path / "device", site)
    assert device.poll().generation == 2
    shutil.copyfile(tmp_path / "old" / "metadata" / "timestamp.json", site.public / "metadata" / "timestamp.json")
    with pytest.raises(BadVersionNumberError):
        device.poll()


@pytest.mark.parametrize("name", ["timestamp.json", "1.snapshot.json", "1.targets.json"])
def test_client_and_we_refuse_altered_metadata(site, tmp_path, name):
    """A flipped bit in any metadata file is refused by a client, and reported by us with a hint."""
    site.publish(1, "1.0.0")
    flip(site.public / "metadata" / name, -30)
    with pytest.raises(RepositoryError):
        Device(tmp_path / "device", site).poll()
    with pytest.raises(Refused) as refused:
        site.publisher().published()
    assert "restore" in (refused.value.hint or "")


@pytest.mark.parametrize("name", ["timestamp.json", "2.snapshot.json", "2.targets.json", "1.root.json"])
def test_lost_metadata_is_reported(site, name):
    """A missing metadata file is never taken for an empty repository."""
    site.publish(1, "1.0.0")
    site.publish(2, "1.1.0")
    (site.public / "metadata" / name).unlink()
    with pytest.raises(Refused, match="missing"):
        site.publisher().published()


def test_client_and_we_refuse_altered_targets(site, tmp_path):
    """A flipped bit in a document is refused by a client and by us; the next generation heals it."""
    site.publish(1, "1.0.0")
    flip(next((site.public / "targets" / "desired" / "meter-reader").iterdir()))
    with pytest.raises((LengthOrHashMismatchError, DownloadError)):
        Device(tmp_path / "device", site).poll()
    with pytest.raises(Refused, match="damaged"):
        site.publisher().published()
    site.publish(2, "1.0.0")
    assert Device(tmp_path / "device", site).poll().generation == 2


def test_altered_public_artifact_is_replaced(site, tmp_path):
    """A damaged copy of an artifact under the public folder is replaced by the next publish."""
    found = site.publish(1, "1.0.0")
    hexadecimal = found.digest.removeprefix("sha256:")
    flip(site.public / "targets" / "artifacts" / f"{hexadecimal}.{hexadecimal}.tar")
    site.publish(2, "1.0.0")
    assert Device(tmp_path / "device", site).poll().generation == 2


def test_expired_timestamp_is_refused(site, tmp_path):
    """A day after the last signature a client takes nothing any more; a refresh lets it go on."""
    site.publish(1, "1.0.0", NOW - timedelta(hours=25))
    with pytest.raises(ExpiredMetadataError):
        Device(tmp_path / "device", site).poll()
    assert site.publisher().refresh(NOW)
    assert Device(tmp_path / "device", site).poll().generation == 1


def test_refresh_waits_for_half_of_a_life(site):
    """A signature is renewed when half of its life is over, not before; a second refresh does nothing."""
    site.publish(1, "1.0.0")
    assert not site.publisher().refresh(NOW + timedelta(hours=12, seconds=-1))
    assert site.publisher().refresh(NOW + timedelta(hours=12))
    assert not site.publisher().refresh(NOW + timedelta(hours=12))


def test_a_fleet_that_nobody_touches_for_years(site, tmp_path):
    """With refreshes alone a device accepts the same generation at any time, also with the first root of old."""
    site.publish(5, "1.0.0")
    old, bootstrap = Device(tmp_path / "old", site), (site.public / "metadata" / "1.root.json").read_bytes()
    old.poll()
    for days in range(0, 800, 10):
        at = NOW + timedelta(days=days)
        site.publisher().refresh(at)
        assert old.poll(at).generation == 5
    at = NOW + timedelta(days=790)
    assert Device(tmp_path / "new", site, bootstrap).poll(at).generation == 5
    assert site.publisher().published().generation == 5
    assert site.publisher().expires() == at + timedelta(days=1)
    site.publish(6, "1.1.0", at)
    assert old.poll(at).generation == 6


def test_stolen_online_keys_cannot_widen_a_rollout(site, tmp_path):
    """Targets signed with the snapshot or timestamp key are refused by a client and by us."""
    site.publish(1, "1.0.0")
    device = Device(tmp_path / "device", site)
    device.poll()
    online = site.keys.signers
    thief = Site(site.folder, TufKeys({**online, "targets": online["snapshot"]}))
    for role in ("root", "targets"):
        assert online[role].public_key.keyid not in {
            online[name].public_key.keyid for name in ("snapshot", "timestamp")
        }
    with pytest.raises(Refused, match="another targets key"):
        thief.publish(2, "1.1.0")
    forge(thief, 2)
    with pytest.raises(UnsignedMetadataError):
        device.poll()
    with pytest.raises(Refused, match="not signed by this controller's targets key"):
        site.publisher().published()


def forge(thief: Site, generation: int) -> None:
    """Write metadata with the thief's keys past our own checks."""
    from muster.apply.tuf_metadata import MetadataFolder

    metadata = MetadataFolder(thief.public / "metadata", thief.keys)
    targets = metadata.write_targets(generation, {}, NOW)
    metadata.write_timestamp(9, metadata.write_snapshot(9, targets, NOW), NOW)


def test_other_keys_are_reported(site, tmp_path):
    """A repository of other keys is not continued."""
    site.publish(1, "1.0.0")
    stranger = Site(site.folder, TufKeys.create(tmp_path / "other"))
    for call in (stranger.publisher().published, lambda: stranger.publish(2, "1.1.0")):
        with pytest.raises(Refused, match="trusts another root key than this controller has"):
            call()
    with pytest.raises(Refused):
        stranger.publisher().init_root(NOW)


def test_only_one_process_publishes(site):
    """While another holds the lock, publishing is to be tried again."""
    with only_writer(site.public), pytest.raises(TryAgain, match="another process"):
        site.publish(1, "1.0.0")
    site.publish(1, "1.0.0")


def test_copies_where_links_are_impossible(site, tmp_path, monkeypatch):
    """On a file system without hard links the artifact is copied, and the copy is not made again."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr("muster.apply.static_files.os.link", refuse)
    found = site.publish(1, "1.0.0")
    hexadecimal = found.digest.removeprefix("sha256:")
    copy = site.public / "targets" / "artifacts" / f"{hexadecimal}.{hexadecimal}.tar"
    assert not copy.samefile(found.path)
    inode = copy.stat().st_ino
    site.publish(2, "1.0.0")
    assert inode == copy.stat().st_ino
    assert Device(tmp_path / "device", site).poll().generation == 2


def test_published_artifact_and_its_signature(site):
    """`artifact` finds tar and signature of what is published, and nothing else."""
    found = site.publish(1, "1.0.0")
    again = site.publisher().artifact(found.digest)
    assert (found.digest, found.size, found.signature) == (again.digest, again.size, again.signature)
    assert found.path.samefile(again.path)
    with pytest.raises(Refused, match="not published"):
        site.publisher().artifact(digest_of(b"other"))


def test_trusted_keys_are_bound_to_the_generation(site, tmp_path):
    """The keys that devices trust for artifacts are a target, sorted, each once."""
    found = artifact(site.folder / "store", "1.0.0")
    keys = [PUBLIC, public_half(STRANGER), PUBLIC]
    site.publisher().publish(1, [document(1, entry(found, "1.0.0", 1))], {found.digest: found}, keys, NOW)
    assert sorted(site.publisher().signing_keys()) == sorted(set(keys))
    updater = Device(tmp_path / "device", site).updater()
    assert updater.get_targetinfo(SIGNING_KEYS_TARGET) is not None


def test_tuf_keys_are_made_once_and_are_private(tmp_path):
    """Four keys, 0600, made once; a missing one is made, a broken or open one is refused and not quoted."""
    keys = TufKeys.create(tmp_path / "keys")
    assert len(set(keys.key_ids.values())) == 4
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "keys").iterdir()} == {0o600}
    assert keys.key_ids == TufKeys.create(tmp_path / "keys").key_ids == TufKeys.load(tmp_path / "keys").key_ids
    assert "PRIVATE" not in repr(keys)
    path = key_path(tmp_path / "keys", "root")
    path.chmod(0o644)
    with pytest.raises(Refused, match="open to others"):
        TufKeys.load(tmp_path / "keys")
    path.chmod(0o600)
    path.write_bytes(STRANGER)
    with pytest.raises(Unusable, match="not an Ed25519 key"):
        TufKeys.load(tmp_path / "keys")
    path.write_bytes(b"garbage")
    with pytest.raises(Unusable, match="not a private key"):
        TufKeys.load(tmp_path / "keys")
    path.unlink()
    assert TufKeys.load(tmp_path / "keys").signers.keys() == {"targets", "snapshot", "timestamp"}
    key_path(tmp_path / "keys", "timestamp").unlink()
    with pytest.raises(Unusable, match="is missing"):
        TufKeys.load(tmp_path / "keys")
