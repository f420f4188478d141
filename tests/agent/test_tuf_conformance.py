"""The cases of TUF's public client conformance suite, on the agent's client; each has the name that it has there.

The suite is no package of the registry, so that its cases are written anew here, in our own words and on our own
repository. `conformance_list` says which file of the suite each is from, and which are not tried, with the reason.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conformance_repository import BELOW_ROOT, DAY, METADATA, NOW, Client, TufRepository
from securesystemslib.formats import encode_canonical
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, MetaFile, Root

INVALID, EXPIRED, AWAY = "metadata_invalid", "metadata_expired", "server_away"
FIRST_ASKED = ["2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json"]


@pytest.fixture
def repository() -> TufRepository:
    return TufRepository()


@pytest.fixture
def client(tmp_path: Path, repository: TufRepository) -> Client:
    return Client(tmp_path / "device", repository)


@pytest.fixture
def settled(client: Client) -> Client:
    """It refreshed once: version 1 of everything is trusted."""
    assert client.refresh() is None
    assert client.versions == (1, 1, 1, 1)
    return client


def test_basic_refresh_requests(client):
    """The first refresh asks for the next root, and for each other role once, in the order of the specification."""
    assert client.refresh() is None
    assert client.asked == FIRST_ASKED


def test_basic_refresh_trusted_data(settled, repository):
    """What is kept is what was published."""
    assert settled.files["timestamp.json"] == repository.files[f"{METADATA}timestamp.json"]
    for role in ("root", "targets", "snapshot"):
        assert settled.files[f"{role}.json"] == repository.files[f"{METADATA}1.{role}.json"]


def test_implicit_refresh(client):
    """To look for a target that does not exist refreshes all the same."""
    assert client.download("nothing") is None
    assert client.asked == FIRST_ASKED
    assert client.versions == (1, 1, 1, 1)


def test_invalid_initial_root(client):
    """With an invalid root nothing is asked."""
    root = json.loads(client.root)
    del root["signed"]["version"]
    client.root = json.dumps(root).encode()
    assert client.refresh() == INVALID
    assert client.asked == []


def test_unsigned_initial_root(client):
    """With a root that nobody signed nothing is asked."""
    root = json.loads(client.root)
    root["signatures"][0]["sig"] = "ab" * 64
    client.root = json.dumps(root).encode()
    assert client.refresh() == INVALID
    assert client.asked == []


@pytest.mark.parametrize(
    ("role", "versions"),
    [("root", (1, 0, 0, 0)), ("timestamp", (2, 0, 0, 0)), ("snapshot", (2, 0, 0, 2)), ("targets", (2, 0, 2, 2))],
)
def test_unsigned_metadata(client, repository, role, versions):
    """A role without its signature is refused; what comes before it in the order is kept."""
    repository.signers[role].clear()
    repository.publish("root", *BELOW_ROOT)
    assert client.refresh() == INVALID
    assert versions == client.versions


@pytest.mark.parametrize(
    ("role", "versions"), [("root", (1, 0, 0, 0)), ("snapshot", (2, 0, 0, 2)), ("targets", (2, 0, 2, 2))]
)
def test_url_and_metadata_version_mismatch(client, repository, role, versions):
    """Metadata that says version 3 at the address of version 2 is refused."""
    repository.publish("root", *BELOW_ROOT)
    repository.signed[role].version = 3
    data = repository.sign(role)
    repository.files[f"{METADATA}2.{role}.json"] = data
    assert client.refresh() == INVALID
    assert versions == client.versions


def test_timestamp_content_changes(settled, repository):
    """Another timestamp of the same version is not taken, and what it names is not asked for."""
    repository.timestamp.snapshot_meta = MetaFile(100)
    repository.write("timestamp")
    kept = settled.files["timestamp.json"]
    assert settled.refresh() is None
    assert kept == settled.files["timestamp.json"]
    assert settled.asked[-1] == "timestamp.json"


def test_basic_metadata_hash_support(client, repository):
    """Hashes that are listed count: the right ones are taken, targets of another hash are not."""
    repository.lists_hashes = True
    repository.publish_all()
    assert client.refresh() is None
    repository.publish("targets")
    repository.snapshot.meta["targets.json"].hashes["sha256"] = "46" * 32
    repository.publish("snapshot", "timestamp")
    assert client.refresh() == INVALID
    assert client.versions == (1, 2, 3, 3)


def test_metadata_bytes_match(client, repository):
    """What is kept are the bytes that came, however they are laid out."""
    repository.files[f"{METADATA}timestamp.json"] += b" "
    assert client.refresh() is None
    assert client.files["timestamp.json"].endswith(b"} ")


def test_custom_fields(settled, repository):
    """Fields that nobody knows are part of what is signed, and harm nothing."""
    signer = repository.add_key("root")
    repository.root.keys[signer.public_key.keyid].unrecognized_fields["extra"] = {"a": 1, "b": [2]}
    repository.root.unrecognized_fields["custom"] = "value"
    repository.root.roles["root"].unrecognized_fields["another"] = "value"
    repository.publish("root")
    assert settled.refresh() is None
    assert settled.versions == (2, 1, 1, 1)
    repository.publish("root")
    place = f"{METADATA}3.root.json"
    published = repository.files[place]
    repository.files[place] = published.replace(b'"value"', b'"other"')
    assert published != repository.files[place]
    assert settled.refresh() == INVALID
    repository.files[place] = published
    assert settled.refresh() is None


def test_deprecated_keyid_hash_algorithms(settled, repository):
    """A field of old that is in no specification any more changes nothing."""
    repository.rotate_keys("snapshot")
    repository.root.keys[repository.root.roles["snapshot"].keyids[0]].unrecognized_fields = {
        "keyid_hash_algorithms": ["md5"]
    }
    repository.publish("root", "snapshot", "timestamp")
    assert settled.refresh() is None
    assert settled.versions == (2, 1, 2, 2)


def test_snapshot_404(settled, repository):
    """A snapshot that is named and missing: the timestamp is kept, the refresh fails."""
    repository.timestamp.snapshot_meta.version += 1
    repository.publish("timestamp")
    assert settled.refresh() == AWAY
    assert settled.asked[-1] == "2.snapshot.json"
    assert settled.versions == (1, 1, 1, 2)


def test_targets_404(settled, repository):
    """Targets that are named and missing: timestamp and snapshot are kept, the refresh fails."""
    repository.snapshot.meta["targets.json"].version += 1
    repository.publish("snapshot", "timestamp")
    assert settled.refresh() == AWAY
    assert settled.asked[-1] == "2.targets.json"
    assert settled.versions == (1, 1, 2, 2)


def test_timestamp_404(settled, repository):
    """Without a timestamp nothing is believed to be the newest."""
    del repository.files[f"{METADATA}timestamp.json"]
    assert settled.refresh() == AWAY
    assert settled.asked[-1] == "timestamp.json"


def test_incorrect_metadata_type(client, repository):
    """A snapshot with a timestamp's contents and signatures is no timestamp."""
    repository.add_key("snapshot", repository.signers["timestamp"][0])
    repository.snapshot.meta = {"snapshot.json": MetaFile(1)}
    repository.publish("root", "snapshot")
    repository.files[f"{METADATA}timestamp.json"] = repository.files[f"{METADATA}2.snapshot.json"]
    assert client.refresh() == INVALID
    assert client.versions == (2, 0, 0, 0)


def test_faketime(client, repository):
    """The time that counts is the one that is handed in."""
    repository.root.expires = NOW + 7 * DAY
    repository.publish("root")
    assert client.refresh() is None
    assert client.refresh(NOW + 8 * DAY) == EXPIRED


def test_simple_snapshot_rollback(client, repository):
    """Another snapshot that no timestamp names is not even asked for."""
    repository.publish("snapshot", "timestamp")
    assert client.refresh() is None
    repository.snapshot.version = 1
    repository.write("snapshot", version=2)
    assert client.refresh() is None
    assert client.versions == (1, 1, 2, 2)
    assert client.asked[-1] == "timestamp.json"


def test_new_timestamp_version_rollback(client, repository):
    """An older timestamp is refused."""
    repository.publish("timestamp")
    assert client.refresh() is None
    repository.timestamp.version = 1
    repository.write("timestamp")
    assert client.refresh() == INVALID
    assert client.versions == (1, 1, 1, 2)
    assert client.asked[-1] == "timestamp.json"


@pytest.mark.parametrize("hashes", [False, True], ids=["basic", "with hashes"])
def test_snapshot_rollback(client, repository, hashes):
    """A newer timestamp that names an older snapshot is refused."""
    repository.lists_hashes = hashes
    repository.publish("targets", "snapshot", "timestamp")
    assert client.refresh() is None
    repository.snapshot.version = 0
    repository.publish("snapshot", "timestamp")
    assert client.refresh() == INVALID
    assert client.versions == (1, 2, 2, 2)
    assert client.asked[-1] == "timestamp.json"


def test_new_targets_fast_forward_recovery(client, repository):
    """Targets of a version beyond all are taken back by another snapshot key."""
    repository.targets.version = 99
    repository.publish_all()
    assert client.refresh() is None
    repository.rotate_keys("snapshot")
    repository.targets.version = 0
    repository.publish("root", *BELOW_ROOT)
    assert client.refresh() is None
    assert client.versions == (2, 1, 3, 3)


def test_new_snapshot_fast_forward_recovery(client, repository):
    """A snapshot of a version beyond all is taken back by other keys of snapshot and timestamp."""
    repository.snapshot.version = 99
    repository.publish_all()
    assert client.refresh() is None
    repository.rotate_keys("snapshot")
    repository.rotate_keys("timestamp")
    repository.snapshot.version = 0
    repository.publish("root", *BELOW_ROOT)
    assert client.refresh() is None
    assert client.versions == (2, 3, 1, 3)


def test_new_timestamp_fast_forward_recovery(client, repository):
    """A timestamp of a version beyond all is taken back by another key of the timestamp."""
    repository.timestamp.version = 99
    repository.publish("timestamp")
    assert client.refresh() is None
    repository.rotate_keys("timestamp")
    repository.timestamp.version = 0
    repository.publish("root", "timestamp")
    assert client.refresh() is None
    assert client.versions == (2, 1, 1, 1)


def test_new_snapshot_version_mismatch(client, repository):
    """A newer snapshot that the timestamp does not name is not taken."""
    repository.publish("snapshot")
    repository.timestamp.snapshot_meta.version = 1
    repository.publish("root", "timestamp")
    assert client.refresh() is None
    assert client.versions == (2, 1, 1, 2)


@pytest.mark.parametrize("hashes", [False, True], ids=["basic", "with hashes"])
def test_targets_rollback(client, repository, hashes):
    """A newer snapshot that names older targets is refused."""
    repository.lists_hashes = hashes
    repository.publish_all()
    assert client.refresh() is None
    repository.targets.version = 0
    repository.publish_all()
    assert client.refresh() == INVALID
    assert client.versions == (1, 2, 2, 3)


def three_snapshot_keys(client: Client, repository: TufRepository) -> None:
    repository.root.roles["snapshot"].threshold = 3
    for _ in range(3):
        repository.add_key("snapshot")
    repository.publish("root", "snapshot", "timestamp")
    assert client.refresh() is None
    assert client.versions == (2, 1, 2, 2)


def test_root_meets_threshold_but_snapshot_does_not(settled, repository):
    """It is the signatures that have to reach the threshold, not the keys in the root."""
    three_snapshot_keys(settled, repository)
    repository.root.roles["snapshot"].threshold = 4
    repository.signers["snapshot"].pop()
    repository.publish("root", "snapshot", "timestamp")
    assert settled.refresh() == INVALID
    assert settled.versions == (3, 1, 2, 3)


def test_snapshot_threshold(settled, repository):
    """A threshold beyond the number of keys is never reached."""
    for _ in range(4):
        repository.add_key("snapshot")
    repository.root.roles["snapshot"].threshold = 6
    repository.publish("root", "snapshot", "timestamp")
    assert settled.refresh() == INVALID
    assert settled.versions == (2, 1, 1, 2)


def test_duplicate_keys_root(client, repository):
    """One key that is listed many times counts once."""
    repository.root.roles["snapshot"].threshold = 6
    repository.publish("root", "snapshot", "timestamp")
    snapshot = json.loads(repository.files[f"{METADATA}2.snapshot.json"])
    snapshot["signatures"] *= 6
    repository.files[f"{METADATA}2.snapshot.json"] = json.dumps(snapshot).encode()
    signed = json.loads(repository.files[f"{METADATA}2.root.json"])["signed"]
    signed["roles"]["snapshot"]["keyids"] *= 6
    (signer,) = repository.signers["root"]
    signature = signer.sign(encode_canonical(signed).encode()).to_dict()
    repository.files[f"{METADATA}2.root.json"] = json.dumps({"signed": signed, "signatures": [signature]}).encode()
    assert client.refresh() == INVALID
    assert "snapshot.json" not in client.files


@pytest.mark.parametrize("make", ["rsa", "ecdsa", "ed25519"])
def test_keytype_and_scheme(client, repository, make):
    """Keys of every type that the specification names count; a signature of the right form that is wrong does not."""
    signer = repository.add_key("root", getattr(CryptoSigner, f"generate_{make}")())
    repository.root.roles["root"].threshold = 2
    repository.publish("root")
    assert client.refresh() is None
    assert client.versions[0] == 2
    repository.publish("root")
    metadata = Metadata[Root].from_bytes(repository.files[f"{METADATA}3.root.json"])
    old = Metadata[Root].from_bytes(repository.files[f"{METADATA}2.root.json"])
    metadata.signatures[signer.public_key.keyid] = old.signatures[signer.public_key.keyid]
    repository.files[f"{METADATA}3.root.json"] = metadata.to_bytes()
    assert client.refresh() == INVALID
    assert client.versions[0] == 2
