"""A rebuild says GOOD, BAD or UNKNOWN, and about which claim."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from meter_example import LOCK, changed, filled_store, release
from muster.artifacts.store import Store
from muster.build.measuring.machine import this_machine
from muster.build.pipeline import build_release
from muster.build.rebuild import Outcome, rebuild_release
from muster.kinds.release import Release

ABOUT = (this_machine(), datetime(2026, 3, 1, 10, tzinfo=UTC))
NOBODY = "sha256:" + "0" * 64


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return filled_store(tmp_path)


def outcome(declared: Release, store: Store, lock: bytes = LOCK) -> Outcome:
    return rebuild_release(declared, store, lock, ABOUT)


def told(found: Outcome) -> tuple[str, str, str]:
    """Level, verdict and where quantization started."""
    return found.rebuild.level, found.rebuild.verdict, found.rebuild.from_table


def test_it_rebuilds(store: Store) -> None:
    """With or without the pinned table in the store: every output is its pin, L2."""
    first = outcome(release(), store)
    assert (told(first), first.reason) == (("L2", "GOOD", "calibrated"), None)
    assert told(outcome(release(), store)) == ("L2", "GOOD", "pinned")
    assert (first.rebuild.rebuilt_at, first.rebuild.cpu) == ("2026-03-01T10:00:00Z", this_machine().cpu)


def test_from_the_pinned_table_alone(store: Store) -> None:
    """Calibration finds other ranges, the artifact from the pinned table is the same: L1."""
    declared = release()
    build_release(declared, store, LOCK)
    snap = declared.spec.recipe.snap.model_copy(update={"mantissa_bits": 9})
    other = changed(declared, recipe=declared.spec.recipe.model_copy(update={"snap": snap}))
    found = outcome(other, store)
    assert told(found) == ("L1", "GOOD", "pinned")
    assert found.reason.startswith("calibration_table: pinned sha256:")


def _other_artifact(declared: Release, store: Store) -> Release:
    build_release(declared, store, LOCK)
    artifact = declared.spec.artifact.model_copy(update={"digest": NOBODY})
    return changed(declared, artifact=artifact)


def _other_artifact_and_no_table(declared: Release, _store: Store) -> Release:
    artifact = declared.spec.artifact.model_copy(update={"digest": NOBODY})
    return changed(declared, artifact=artifact)


def _other_calibration(declared: Release, _store: Store) -> Release:
    snap = declared.spec.recipe.snap.model_copy(update={"mantissa_bits": 7})
    return changed(declared, recipe=declared.spec.recipe.model_copy(update={"snap": snap}))


def _refused_source(declared: Release, _store: Store) -> Release:
    versions = declared.spec.onnx.model_copy(update={"opset": 12})
    return changed(declared, onnx=versions)


@pytest.mark.parametrize(
    ("harm", "expected"),
    [
        (_other_artifact, ("L1", "BAD", "pinned")),
        (_other_artifact_and_no_table, ("L1", "BAD", "calibrated")),
        (_other_calibration, ("L2", "BAD", "calibrated")),
        (_refused_source, ("L1", "BAD", "pinned")),
    ],
)
def test_it_does_not_rebuild(
    harm: Callable[[Release, Store], Release], expected: tuple[str, str, str], store: Store
) -> None:
    """BAD at the level that broke, with the first difference or the refusal."""
    found = outcome(harm(release(), store), store)
    assert told(found) == expected
    assert found.reason


def test_nobody_could_tell(store: Store, tmp_path: Path) -> None:
    """A missing input, a damaged one, and another environment say nothing about the release."""
    declared = release()
    empty = outcome(declared, Store(tmp_path / "empty"))
    assert told(empty)[1] == "UNKNOWN"
    assert "not in the store" in empty.reason
    assert told(outcome(declared, store, LOCK + b"# touched\n"))[1] == "UNKNOWN"
    path = store.path(declared.spec.source.digest)
    path.chmod(0o644)
    path.write_bytes(b"x" + path.read_bytes()[1:])
    assert told(outcome(declared, store))[1] == "UNKNOWN"
