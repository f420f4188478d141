"""The conformance suite's cases about rotated keys, delegated roles, expiry and targets; see `test_tuf_conformance`."""

from __future__ import annotations

from pathlib import Path

import pytest
import test_tuf_conformance
from conformance_list import DELEGATION_GRAPHS, NON_ROOT_ROTATIONS, NOT_OURS, ROOT_ROTATIONS, TESTS, Signed
from conformance_repository import BELOW_ROOT, DAY, FAR, METADATA, NOW, Client, TufRepository, quoted
from securesystemslib.signer import CryptoSigner
from test_tuf_conformance import EXPIRED, INVALID
from tuf.api.metadata import DelegatedRole

from muster.apply.tuf_metadata import _MOST_ROOTS


@pytest.fixture(scope="module")
def signers() -> list[CryptoSigner]:
    return [CryptoSigner.generate_ed25519() for _ in range(10)]


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


def resign(repository: TufRepository, role: str, case: Signed, signers: list[CryptoSigner]) -> None:
    """The role's keys, threshold and signers are those of the case."""
    rules = repository.root.roles[role]
    for key_id in tuple(rules.keyids):
        repository.root.revoke_key(key_id, role)
    rules.threshold = case.threshold
    for number in map(int, case.keys):
        repository.root.add_key(signers[number].public_key, role)
    repository.signers[role] = [signers[int(number)] for number in case.by]


@pytest.mark.parametrize("name", ROOT_ROTATIONS)
def test_root_rotation(name, client, repository, signers):
    """Roots follow each other as far as each is signed by enough keys of the one before, and of its own."""
    *_, last = cases = ROOT_ROTATIONS[name]
    repository.root.version = 0
    for case in cases:
        resign(repository, "root", case, signers)
        repository.publish("root")
    client.root = repository.files[f"{METADATA}1.root.json"]
    assert client.refresh() == (None if last.holds else INVALID)
    expected = len(cases) if last.holds else len(cases) - 1
    assert client.files["root.json"] == repository.files[f"{METADATA}{expected}.root.json"]


@pytest.mark.parametrize("name", NON_ROOT_ROTATIONS)
def test_non_root_rotations(name, client, repository, signers):
    """Each other role is taken if enough keys that the newest root names have signed it."""
    case = NON_ROOT_ROTATIONS[name]
    for role in ("timestamp", "snapshot", "targets"):
        resign(repository, role, case, signers)
        repository.publish("root", *BELOW_ROOT)
        assert client.refresh() == (None if case.holds else INVALID)
        if case.holds:
            version = repository.signed[role].version
            file = "timestamp.json" if role == "timestamp" else f"{version}.{role}.json"
            assert client.files[f"{role}.json"] == repository.files[METADATA + file]


def delegated(*edges: str) -> TufRepository:
    """`A>B`: A delegates all to B. `A>B:*.py`: only that. `A>B!`: and nobody after B is asked. T: targets."""
    repository = TufRepository()
    for edge in edges:
        delegator, _, rest = edge.partition(">")
        name, _, paths = rest.removesuffix("!").partition(":")
        role = DelegatedRole(name, [], 1, rest.endswith("!"), paths.split(",") if paths else ["*"])
        repository.delegate("targets" if delegator == "T" else delegator, role)
    return repository


@pytest.mark.parametrize("name", DELEGATION_GRAPHS)
def test_graph_traversal(name, tmp_path):
    """Delegations are searched in the order of their appearance, depth first, each role once."""
    edges, visited = DELEGATION_GRAPHS[name]
    repository = delegated(*edges)
    repository.publish_all()
    client = Client(tmp_path / "device", repository)
    assert client.download("missing") is None
    assert client.asked[4:] == [f"1.{role}.json" for role in visited]


@pytest.mark.parametrize(
    ("path", "found", "visited"),
    [
        ("targetfile", True, ""),
        ("README.md", True, "A"),
        ("releases/x/x_v1", True, "BC"),
        ("releases/y/y_v1.zip", True, "BD"),
        ("releases/z/z_v1.zip", False, "B"),
    ],
    ids=["no delegation", "wildcard", "separators x", "separators y", "not delegated by all"],
)
def test_targetfile_search(path, found, visited, tmp_path):
    """A target is found where every role on the way was given its path, and nowhere else."""
    repository = delegated("T>A:*.doc,*.md", "T>B:releases/*/*", "B>C:releases/x/*", "B>D:releases/y/*.zip")
    for name, by in {
        "targetfile": "targets",
        "README.md": "A",
        "releases/x/x_v1": "C",
        "releases/y/y_v1.zip": "D",
        "releases/z/z_v1.zip": "D",
    }.items():
        repository.put(name, name.encode(), by=by)
    repository.publish_all()
    client = Client(tmp_path / "device", repository)
    assert client.download(path) == (path.encode() if found else None)
    assert client.asked[4:] == [f"1.{role}.json" for role in visited]


@pytest.mark.parametrize("role", ["?", "#", "/delegatedrole", "../delegatedrole"])
def test_unusual_role_name(role, tmp_path):
    """A role's name leads nowhere else, on the server or on the disk."""
    repository = delegated(f"T>{role}")
    repository.publish_all()
    client = Client(tmp_path / "inner" / "device", repository)
    assert client.download("missing") is None
    assert f"1.{quoted(role)}.json" in client.asked
    assert len(client.files) == 5
    assert [path.name for path in tmp_path.rglob("*delegatedrole*") if path.parent.name != "tuf"] == []


def test_delegated_targets_expired(tmp_path):
    """A delegated role that is over when it is first seen vouches for nothing; the rest goes on."""
    repository = TufRepository()
    repository.delegate("targets", DelegatedRole("late", [], 1, False, ["late/*"]), NOW - DAY)
    repository.put("late/file", b"contents", by="late")
    repository.publish_all()
    client = Client(tmp_path / "device", repository)
    assert client.refresh() is None
    assert client.download("late/file") == EXPIRED
    assert sorted(client.files) == ["root.json", "snapshot.json", "targets.json", "timestamp.json"]


@pytest.mark.parametrize("renewed", [False, True])
def test_expired_local_delegated_targets(renewed, tmp_path):
    """Also of the suite: …_updates. A delegated role that is kept and over counts no more, and a newer one does."""
    repository = TufRepository()
    repository.delegate("targets", DelegatedRole("role", [], 1, False, ["role/*"]), NOW + 7 * DAY)
    for name in ("role/first", "role/second"):
        repository.put(name, name.encode(), by="role")
    repository.publish_all()
    client = Client(tmp_path / "device", repository)
    assert client.download("role/first") == b"role/first"
    if renewed:
        repository.signed["role"].expires = FAR
        repository.publish_all()
    assert client.download("role/second", NOW + 18 * DAY) == (b"role/second" if renewed else EXPIRED)


def test_a_year_off_line(client, repository):
    """A device that saw root 1 follows forty more in one refresh, each of another key, and asks for each once."""
    repository.put("file", b"then")
    repository.publish_all()
    assert client.download("file") == b"then"
    for number in range(40):
        old = repository.signers["root"]
        repository.rotate_keys("root")
        for role in BELOW_ROOT if number % 10 == 0 else ():
            repository.rotate_keys(role)
        repository.root.expires = NOW + number * 9 * DAY + 30 * DAY
        repository.signers["root"] = [*old, *repository.signers["root"]]
        repository.publish("root")
        repository.signers["root"].pop(0)
    for role in BELOW_ROOT:
        repository.signed[role].expires = NOW + 366 * DAY
    repository.put("file", b"now")
    repository.publish_all()
    assert client.download("file", NOW + 365 * DAY) == b"now"
    assert client.versions[0] == 41
    assert client.asked[:41] == [f"{version}.root.json" for version in range(2, 43)]


def test_roots_without_end(client, repository):
    """However many a server has: no more are followed than the publisher makes, from the root of the enrolment on."""
    for _ in range(_MOST_ROOTS + 10):
        repository.publish("root")
    for _ in range(2):
        assert client.refresh() is None
        assert client.versions[0] == _MOST_ROOTS + 1
        assert len(client.asked) <= _MOST_ROOTS + 3


def test_root_expired(settled, repository):
    """A root that is over is kept, and nothing beyond it is taken."""
    repository.root.expires = NOW - DAY
    repository.publish("root", *BELOW_ROOT)
    assert settled.refresh() == EXPIRED
    assert settled.versions == (2, 1, 1, 1)


@pytest.mark.parametrize(
    ("role", "versions"), [("timestamp", (1, 1, 1, 1)), ("snapshot", (1, 1, 1, 2)), ("targets", (1, 1, 2, 2))]
)
def test_expired(settled, repository, role, versions):
    """Of the suite: test_timestamp_expired, test_snapshot_expired, test_targets_expired. What is over is not taken."""
    repository.signed[role].expires = NOW - 5 * DAY
    repository.publish_all()
    assert settled.refresh() == EXPIRED
    assert versions == settled.versions


@pytest.mark.parametrize("role", ["root", "timestamp"])
def test_expired_local(client, repository, role):
    """Of the suite: test_expired_local_root, test_expired_local_timestamp. What is kept and over stands in no way."""
    repository.signed[role].expires = NOW + 7 * DAY
    repository.publish(role)
    assert client.refresh() is None
    repository.signed[role].expires = NOW + 21 * DAY
    repository.publish("root", *BELOW_ROOT)
    assert client.refresh(NOW + 18 * DAY) is None
    assert client.versions == tuple(repository.signed[one].version for one in ("root", *BELOW_ROOT))


@pytest.mark.parametrize("path", ["file.txt", "path/to/a/file.txt"])
def test_client_downloads_expected_file(client, repository, path):
    """Also of the suite: …_in_sub_dir."""
    repository.put(path, b"contents")
    repository.publish_all()
    assert client.download(path) == b"contents"


def test_repository_substitutes_target_file(client, repository):
    """Other bytes under the name of a target are refused, whether the target was read before or not."""
    for name in ("one", "two"):
        repository.put(name, name.encode())
    repository.publish_all()
    assert client.download("one") == b"one"
    for path in repository.files:
        if path.startswith("/tuf/targets/"):
            repository.files[path] = b"bad"
    assert client.download("one") == client.download("two") == INVALID


def test_multiple_changes_to_target(client, repository):
    """A target that changes time and again is read as it was last listed, and never as it was not."""
    for number in range(11):
        repository.put("file", b"%d" % number)
        repository.publish_all()
        if number % 5 == 0:
            assert client.download("file") == b"%d" % number
            place = f"/tuf/targets/{repository.targets.targets['file'].hashes['sha256']}.file"
            repository.files[place] = b"X" * len(repository.files[place])
            assert client.download("file") == INVALID


@pytest.mark.parametrize("hashes", [["sha256"], ["sha512"], ["sha256", "sha512"]], ids="+".join)
def test_download_with_hash_algorithms(client, repository, hashes):
    """Every usual hash will do to verify a target."""
    repository.put("file", b"contents", hashes=hashes)
    repository.publish_all()
    assert client.download("file") == b"contents"


def test_download_with_unknown_hash_algorithm(client, repository):
    """A hash that nobody can compute vouches for nothing."""
    repository.put("file", b"contents", hashes=["sha512"])
    hashes = repository.targets.targets["file"].hashes
    hashes["unknown"] = hashes.pop("sha512")
    repository.publish_all()
    assert client.download("file") == INVALID


def test_the_list_is_the_one_that_is_tried():
    """What docs/keys.md lists is a test here, or is not tried for a reason; no name is on both sides."""
    here = vars(test_tuf_conformance) | globals()
    for file, tests in TESTS.items():
        for name, ours in tests.items():
            assert callable(here.get(ours)), f"{file}: {name}"
            assert (file, name) not in NOT_OURS
    assert all(why for why in NOT_OURS.values())
