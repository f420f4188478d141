"""What is measured, and what it is compared with: an artifact, its source model, and the artifact it supersedes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from pydantic import ValidationError

from muster.artifacts.bundle import CONFIG, GOLDEN_EXPECTED, GOLDEN_INPUTS, MODEL, read_bundle
from muster.artifacts.manifest import check_bundle
from muster.artifacts.store import MissingObject, Store
from muster.build.hermetic.run import own_run
from muster.build.measuring.frames import repeated
from muster.build.onnx_safety.admit import admit
from muster.build.onnx_safety.safe_model import SafeModel
from muster.build.pipeline import SOURCE_HINT, RunStages, build_release
from muster.build.stage_functions import import_model
from muster.build.stages import Reporter
from muster.kinds.errors import Refused
from muster.kinds.evidence import Baseline
from muster.kinds.release import Inference, Release

Role = Literal["artifact", "source", "superseded"]


@dataclass(frozen=True)
class Candidate:
    """One model with the config that it is run with. `digest`: of the artifact, or of the source model's file."""

    role: Role
    digest: str
    size: int
    model: SafeModel
    inference: Inference

    def baseline(self, value: Decimal, pairs: tuple[int, int, int] | None = None) -> Baseline:
        """Its value beside the artifact's. `pairs`: right in both, in the artifact only, in this only."""
        both, only_this, only_baseline = pairs or (None, None, None)
        return Baseline(
            of="superseded" if self.role == "superseded" else "source",
            digest=self.digest,
            value=value,
            both=both,
            only_this=only_this,
            only_baseline=only_baseline,
        )


@dataclass(frozen=True)
class Subject:
    """An artifact with what it is compared with. `note` says why there is no superseded one, where there is none."""

    release: Release
    candidates: tuple[Candidate, ...]
    bundle: bytes
    golden: tuple[bytes, bytes]
    """Inputs, and expected answers."""
    evaluation: bytes
    calibration: bytes
    note: str | None

    @property
    def artifact(self) -> Candidate:
        """What the evidence is about."""
        return self.candidates[0]

    @property
    def others(self) -> tuple[Candidate, ...]:
        """What it is compared with."""
        return self.candidates[1:]


def load_subject(
    release: Release,
    superseded: Release | None,
    store: Store,
    lock: bytes,
    reporter: Reporter | None = None,
    *,
    how: Callable[[], RunStages] | None = None,
) -> Subject:
    """Read a release's artifact from the store, or build it there, with everything that it is compared with.

    `how` makes the way in which a build runs, if one is needed; by default with the controller's own tools.

    Raises `Refused` if the build comes to another artifact than the declared one, or if the evaluation holds frames
    that calibrated it, and what `build_release` raises.
    """
    calibration, evaluation = (_snapshot(release, name, store) for name in ("calibration", "evaluation"))
    refuse_overlap(release, evaluation, calibration)
    if not store.has(release.spec.artifact.digest):
        run = how() if how else own_run(release.spec.builder, lock)
        result = build_release(release, store, lock, reporter=reporter, run=run)
        if result.difference is not None:
            raise Refused(
                f"{release.name} does not build to the artifact that it declares: {result.difference} differs",
                f"see where: muster build {release.path} --verify",
            )
    bundle = store.get(release.spec.artifact.digest)
    files = read_bundle(bundle)
    older, note = _superseded(release, superseded, store)
    return Subject(
        release=release,
        candidates=(_unpack("artifact", release, bundle), _source(release, store), *older),
        bundle=bundle,
        golden=(files[GOLDEN_INPUTS], files[GOLDEN_EXPECTED]),
        evaluation=evaluation,
        calibration=calibration,
        note=note,
    )


def refuse_overlap(release: Release, evaluation: bytes, calibration: bytes) -> None:
    """Raises `Refused` if a frame of the evaluation stands in the calibration too, whatever the snapshots' digests."""
    again, frames = repeated(evaluation, calibration)
    if again:
        raise Refused(
            f"{again} of {frames} frames of the evaluation snapshot of {release.name} calibrated it too",
            "cut disjoint snapshots, and release again: what calibrated a model cannot judge it",
        )


def _superseded(release: Release, superseded: Release | None, store: Store) -> tuple[tuple[Candidate, ...], str | None]:
    if superseded is None:
        return (), "the release declares none" if release.spec.supersedes is None else "its release file is not there"
    digest = superseded.spec.artifact.digest
    if not store.has(digest):
        return (), f"{digest} of {superseded.name} is not in the store"
    older = _unpack("superseded", superseded, store.get(digest))
    shapes = older.inference.input.shape, release.spec.inference.input.shape
    if math.prod(shapes[0]) != math.prod(shapes[1]):
        return (), f"{superseded.name} takes frames of shape {shapes[0]}, {release.name} of shape {shapes[1]}"
    return (older,), None


def _unpack(role: Role, release: Release, bundle: bytes) -> Candidate:
    files = read_bundle(bundle)
    check_bundle(files)
    try:
        inference = Inference.model_validate_json(files[CONFIG], by_alias=True, by_name=False)
    except ValidationError as error:
        raise Refused(
            f"the config of {release.name} cannot be read: {error.error_count()} errors", "build the release again"
        ) from error
    return Candidate(role, release.spec.artifact.digest, len(bundle), admit(files[MODEL]), inference)


def _source(release: Release, store: Store) -> Candidate:
    spec = release.spec
    data = _get(store, spec.source.digest, f"the source model of {release.name}")
    # A source model is somebody else's file: the same checks as at the start of a build.
    model = import_model(data, spec.recipe.import_, spec.onnx)
    return Candidate("source", spec.source.digest, len(data), model, spec.inference)


def _snapshot(release: Release, name: Literal["evaluation", "calibration"], store: Store) -> bytes:
    return _get(store, getattr(release.spec.snapshots, name), f"the {name} snapshot of {release.name}")


def _get(store: Store, digest: str, what: str) -> bytes:
    if not store.has(digest):
        raise MissingObject(f"{what}, {digest}, is not in the store {store.folder}", SOURCE_HINT)
    return store.get(digest)
