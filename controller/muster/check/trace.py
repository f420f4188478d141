"""Lineage: what a release came from, and which releases name a digest or a commit.

Pure: a release's pins already are its lineage, so that walking it is reading them in the order of the build; walking
back is asking every release whether it names something. What devices run is told by the caller.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from muster.kinds.digest import digest_of_value
from muster.kinds.release import Release


@dataclass(frozen=True)
class Step:
    """One thing that a release rests on: what it is, how it is identified, and what else is known of it."""

    what: str
    id: str
    note: str = ""


@dataclass(frozen=True)
class Naming:
    """A release, and as what it names the thing that was asked for."""

    release: Release
    roles: tuple[str, ...]


def descent(release: Release) -> tuple[Step, ...]:
    """From the artifact down to the data set and whoever answers for it."""
    spec, lineage = release.spec, release.spec.source.lineage
    hyperparameters = ", ".join(f"{name}={value}" for name, value in sorted(lineage.hyperparameters.items()))
    seeds = ", ".join(map(str, lineage.seeds))
    return (
        Step("release", release.name, f"{release.path}, tier {spec.tier}"),
        Step("pins", release.pins, "everything in the release but its rollout"),
        Step("artifact", spec.artifact.digest, f"{spec.artifact.size} bytes"),
        Step("model", spec.stages.quantized, f"opset {spec.onnx.opset}, IR {spec.onnx.ir}"),
        Step("config", spec.config_version, "how a frame becomes an input, and an output an answer"),
        Step("recipe", digest_of_value(spec.recipe.model_dump(mode="json", by_alias=True)), "the declared steps"),
        Step("builder", spec.builder.digest, spec.builder.lock),
        Step("calibration table", spec.calibration_table, "the ranges that calibration found"),
        Step("calibration snapshot", spec.snapshots.calibration, "what calibrated it"),
        Step("evaluation snapshot", spec.snapshots.evaluation, "what judged it"),
        Step("golden inputs", spec.snapshots.golden.inputs, "what a device answers before it confirms"),
        Step("golden answers", spec.snapshots.golden.expected, f"tolerance {spec.snapshots.golden.tolerance}"),
        Step("source", spec.source.digest, f"{spec.source.size} bytes, full precision"),
        Step("training run", lineage.run_id, "; ".join(filter(None, (f"seeds {seeds}", hyperparameters)))),
        Step("training commit", lineage.training_commit, f"owner {lineage.owner}"),
        Step("training environment", lineage.environment),
        Step("data set", lineage.dataset),
        *((Step("superseded release", f"{release.model}/{spec.supersedes}"),) if spec.supersedes else ()),
    )


def naming(releases: Iterable[Release], thing: str) -> tuple[Naming, ...]:
    """The releases that name a digest, a commit, a run or a release, newest first as they come, and as what."""
    found = []
    for release in releases:
        roles = tuple(step.what for step in _named(release) if step.id == thing)
        if roles:
            found.append(Naming(release, roles))
    return tuple(found)


def _named(release: Release) -> Iterator[Step]:
    """All of its descent, and the outputs of its stages, which devices and reports name too."""
    yield from descent(release)
    for name, digest in release.spec.stages.model_dump().items():
        yield Step(f"stage {name}", digest)
