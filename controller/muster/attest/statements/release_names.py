"""Release v0.1: which names and digests make up one release. The digests are the statement's subjects.

Format: in-toto attestation framework, `spec/predicates/release.md`.
"""

from __future__ import annotations

from typing import Any

from muster.kinds.release import Release


def release_url(release: Release) -> str:
    """The package URL of a release: of type `generic`, because a fleet's repository is no package registry."""
    return f"pkg:generic/{release.model}@{release.version}"


def release_names(release: Release) -> dict[str, Any]:
    """The predicate."""
    return {"purl": release_url(release)}


def names_of(release: Release) -> dict[str, str]:
    """{name: digest} of everything that a release pins: what its statement is about."""
    spec = release.spec
    return {
        f"{release.model}-{release.version}.tar": spec.artifact.digest,
        "model.onnx": spec.stages.quantized,
        "config.json": spec.config_version,
        "source.onnx": spec.source.digest,
        "calibration.tensors": spec.snapshots.calibration,
        "evaluation.tensors": spec.snapshots.evaluation,
        "golden-inputs.tensors": spec.snapshots.golden.inputs,
        "golden-expected.tensors": spec.snapshots.golden.expected,
        "calibration-table.json": spec.calibration_table,
        spec.builder.lock: spec.builder.digest,
    }
