"""Rebuilding for the controller: in the sandbox, from copies, and what comes out is taken by its digest alone."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from builder_environments import lend
from meter_example import LOCK, ROOT, changed, filled_store, release
from muster.apply.prepare import Rebuilder
from muster.build.sandbox.confinement import Level
from muster.kinds.errors import Refused, TryAgain

DECLARED = (ROOT / "releases/meter-reader/1.1.0.yaml").read_bytes()


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return lend(tmp_path)


def contents(folder: Path) -> dict[str, tuple[str, int, int]]:
    """Digest, owner and mode of every file."""
    return {
        str(path.relative_to(folder)): (
            hashlib.sha256(path.read_bytes()).hexdigest(),
            path.stat().st_uid,
            path.stat().st_mode,
        )
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("level", Level, ids=lambda level: level.word)
def test_it_rebuilds_into_the_store(level: Level, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At each level that this machine has the artifact comes out as pinned; inputs and keys stay as they were."""
    monkeypatch.setattr("muster.apply.prepare.strongest", lambda _: level)
    store = filled_store(state / "store")
    (state / "keys").mkdir()
    (state / "keys" / "signing").write_text("private")
    before = contents(state)

    Rebuilder(state).rebuild(release(), DECLARED, LOCK)

    after = contents(state)
    assert before == {name: after[name] for name in before}
    assert {os.geteuid()} == {owner for _, owner, _ in after.values()}
    for digest in (release().spec.artifact.digest, release().spec.stages.quantized, release().spec.calibration_table):
        assert digest == "sha256:" + hashlib.sha256(store.get(digest)).hexdigest()
    assert sorted(path.name for path in state.iterdir()) == ["builders", "keys", "store"]


def test_another_artifact_is_refused(state: Path) -> None:
    """What differs from its pin is not taken, and the first output that differs is named."""
    store = filled_store(state / "store")
    pinned = "sha256:" + "0" * 64
    declared = DECLARED.replace(release().spec.artifact.digest.encode(), pinned.encode())
    artifact = release().spec.artifact.model_copy(update={"digest": pinned})

    with pytest.raises(Refused, match="artifact"):
        Rebuilder(state).rebuild(changed(release(), artifact=artifact), declared, LOCK)

    assert not store.has(pinned)


def test_a_missing_input_says_where_it_is_missing(state: Path) -> None:
    """The complaint names the controller's store, not the copy that the build saw."""
    with pytest.raises(TryAgain, match="not in the store") as caught:
        Rebuilder(state).rebuild(release(), DECLARED, LOCK)

    assert f"not in the store {state / 'store'}" in caught.value.message


def test_a_damaged_input_says_nothing_about_the_release(state: Path) -> None:
    """It is tried again, not refused."""
    store = filled_store(state / "store")
    store.path(release().spec.source.digest).write_bytes(b"damaged")

    with pytest.raises(TryAgain, match="damaged object"):
        Rebuilder(state).rebuild(release(), DECLARED, LOCK)


def test_after_stop_nothing_starts(state: Path) -> None:
    """A controller that ends begins no build."""
    rebuilder = Rebuilder(state)
    rebuilder.stop()

    with pytest.raises(TryAgain, match="stopping"):
        rebuilder.rebuild(release(), DECLARED, LOCK)
