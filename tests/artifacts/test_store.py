"""The artifact store: whatever happens to its files, nothing but the bytes that were put comes out."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.artifacts.store import DamagedObject, MissingObject, Store
from muster.kinds.digest import digest_of
from muster.kinds.errors import Unusable

ABSENT = "sha256:" + "0" * 64
KEY = "ab" * 32


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@given(data=st.binary(max_size=5_000))
def test_what_is_put_comes_out(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    """Put then get is the identity, and the name is the sha256 of the bytes."""
    store = Store(tmp_path_factory.getbasetemp() / "round-trip")
    digest = store.put(data)
    assert digest_of(data) == digest
    assert data == store.get(digest) == store.path(digest).read_bytes()


def test_a_missing_object_is_named_with_its_place(store: Store) -> None:
    """The complaint tells digest and path, and exits 2: somebody has to provide the object."""
    for read in (store.get, store.path):
        with pytest.raises(MissingObject, match=ABSENT) as caught:
            read(ABSENT)
        assert str(store.folder) in caught.value.message
        assert caught.value.exit_code == 2
    assert not store.has(ABSENT)


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[7] ^= 1
    path.write_bytes(data)


def _extend(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


def _link(path: Path) -> None:
    elsewhere = path.parent.parent / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", [_truncate, _flip, _extend, _link, _pipe, _folder])
def test_a_damaged_object_is_named_and_never_served(store: Store, damage: object) -> None:
    """However the file was altered, reading it is refused with digest and path."""
    digest = store.put(b"a model of some length")
    damage(store.folder / "sha256" / digest[7:9] / digest[7:])  # type: ignore[operator]
    for read in (store.get, store.path):
        with pytest.raises(DamagedObject, match=digest) as caught:
            read(digest)
        assert str(store.folder) in caught.value.message


@pytest.mark.parametrize("damage", [_truncate, _flip, _link, _pipe])
def test_putting_again_repairs(store: Store, damage: object) -> None:
    """A damaged object is replaced by the true bytes."""
    digest = store.put(b"a model of some length")
    damage(store.path(digest))  # type: ignore[operator]
    assert digest == store.put(b"a model of some length")
    assert store.get(digest) == b"a model of some length"


@pytest.mark.parametrize("name", ["../../etc/passwd", "sha256:" + "A" * 64, "sha256:ab", "", ABSENT + "\n"])
def test_only_a_digest_becomes_a_path(store: Store, name: str) -> None:
    """Nothing else reaches the file system."""
    for call in (store.get, store.path, store.has):
        with pytest.raises(Unusable, match="not a digest"):
            call(name)
    with pytest.raises(Unusable, match="not a cache key"):
        store.recall(name)


def test_a_digest_ending_in_a_line_feed_is_no_digest(store: Store) -> None:
    """The pattern is matched to the end of the string, not to the end of the line."""
    with pytest.raises(Unusable, match="not a cache key"):
        store.remember(KEY + "\n", {})


def test_writers_at_once_leave_one_whole_object(store: Store) -> None:
    """Sixteen threads put the same megabyte; every reader sees the whole of it, and no temporary file stays."""
    data = bytes(range(256)) * 4_096
    failures: list[BaseException] = []

    def put_and_get() -> None:
        try:
            assert store.get(store.put(data)) == data
        except BaseException as error:  # noqa: BLE001 - a thread's failure must reach the test
            failures.append(error)

    threads = [threading.Thread(target=put_and_get) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert [digest_of(data)[7:]] == [path.name for path in store.folder.rglob("*") if path.is_file()]


KILLED = """
import os, sys
from pathlib import Path
from muster.artifacts.store import Store
CALLS = ("fsync", "fchmod", "open", "mkdir", "rename", "replace")
def put_and_die(folder, point):
    calls = 0
    def trap(real):
        def call(*arguments, **options):
            nonlocal calls
            calls += 1
            if calls == point:
                os._exit(9)
            return real(*arguments, **options)
        return call
    for name in CALLS:
        setattr(os, name, trap(getattr(os, name)))
    Store(folder).put(b"a model")
    os._exit(0)
point = 1
while True:
    child = os.fork()
    if not child:
        put_and_die(Path(sys.argv[1], str(point)), point)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0:
        break
    point += 1
"""


def test_a_writer_killed_anywhere_leaves_nothing_or_everything(tmp_path: Path) -> None:
    """Stopped before each system call in turn, the object is absent or whole, and putting it again works."""
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=True)
    found = []
    for point in sorted(map(int, (path.name for path in tmp_path.iterdir()))):
        store = Store(tmp_path / str(point))
        digest = digest_of(b"a model")
        found.append(store.has(digest))
        if found[-1]:
            assert store.get(digest) == b"a model"
        assert store.get(store.put(b"a model")) == b"a model"
    assert found == sorted(found)
    assert {True, False} == set(found)


def test_the_index_remembers(store: Store) -> None:
    """A stage's result is found again under its key, and only there."""
    store.remember(KEY, {"output": ABSENT})
    assert store.recall(KEY) == {"output": ABSENT}
    assert store.recall("cd" * 32) is None


@pytest.mark.parametrize("data", [b"", b"{", b"[1]", b"\xff", b"[" * 100_000, b" " * (2**20 + 1)])
def test_a_damaged_index_entry_counts_as_absent(store: Store, data: bytes) -> None:
    """It is a cache: the stage runs again."""
    store.remember(KEY, {"output": ABSENT})
    (store.folder / "index" / f"{KEY}.json").write_bytes(data)
    assert store.recall(KEY) is None
