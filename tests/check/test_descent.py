"""Lineage is read from pins: everything that a release rests on, and every release that names a thing."""

from __future__ import annotations

import pytest

from meter_example import release
from muster.check.trace import descent, naming

RELEASES = tuple(release(version) for version in ("1.2.0", "1.1.0", "1.0.0"))


def test_every_digest_of_a_release_stands_in_its_descent() -> None:
    """A pin that nobody could trace would be a hole in the chain."""
    spec = RELEASES[0].spec
    ids = {step.id for step in descent(RELEASES[0])}
    assert {
        spec.artifact.digest,
        spec.stages.quantized,
        spec.config_version,
        spec.builder.digest,
        spec.calibration_table,
        spec.snapshots.calibration,
        spec.snapshots.evaluation,
        spec.snapshots.golden.inputs,
        spec.snapshots.golden.expected,
        spec.source.digest,
        spec.source.lineage.run_id,
        spec.source.lineage.training_commit,
        spec.source.lineage.environment,
        spec.source.lineage.dataset,
        "meter-reader/1.1.0",
    } <= ids
    assert "superseded release" not in {step.what for step in descent(RELEASES[2])}


@pytest.mark.parametrize(
    ("thing", "versions", "role"),
    [
        (RELEASES[0].spec.snapshots.calibration, ["1.2.0", "1.1.0", "1.0.0"], "calibration snapshot"),
        (RELEASES[1].spec.calibration_table, ["1.1.0"], "calibration table"),
        (RELEASES[1].spec.stages.preprocessed, ["1.1.0"], "stage preprocessed"),
        (RELEASES[2].spec.source.lineage.run_id, ["1.0.0"], "training run"),
        ("meter-reader/1.1.0", ["1.2.0", "1.1.0"], "superseded release"),
        ("sha256:" + "0" * 64, [], ""),
    ],
)
def test_who_names_it(thing: str, versions: list[str], role: str) -> None:
    """Newest first, each with the roles in which it names the thing."""
    found = naming(RELEASES, thing)
    assert [one.release.version for one in found] == versions
    assert not found or role in found[0].roles
