"""A new release, with every pin filled in by building it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError

from muster.artifacts.store import MissingObject, Store
from muster.build.device_check import check_for_devices
from muster.build.onnx_model import parse_source
from muster.build.pipeline import SOURCE_HINT, BuildInputs, BuildResult, RunStages, build, where_to_run
from muster.build.stages import Reporter
from muster.kinds.device_class import DeviceClass
from muster.kinds.errors import Refused
from muster.kinds.policy import TierName
from muster.kinds.quantity import Decimal
from muster.kinds.recipe import Recipe
from muster.kinds.release import (
    Builder,
    Golden,
    Inference,
    Lineage,
    OnnxVersions,
    Release,
    ReleaseMetadata,
    ReleaseRuntime,
    ReleaseSpec,
    Rollout,
    Snapshots,
    Source,
    Stages,
)
from muster.source.validate import validate
from muster.source.yaml_events import parse

HEADER: Final = "# yaml-language-server: $schema=../../schemas/release.json\n"
PINS_COMMENT: Final = (
    "  # Pins: filled in by `muster release new`, proved by `muster build --verify`, never changed once merged.\n"
)
ROLLOUT_COMMENT: Final = (
    "  # The rollout: the only part that changes. Raise a percentage to widen it; revert the commit to take it back.\n"
)

DEFAULT_RECIPE: Final = Recipe.model_validate(
    {
        "import": {"maxSize": "64MiB"},
        "preprocess": {"inferShapes": True},
        "calibrate": {"method": "minmax", "batch": 32},
        "snap": {"mantissaBits": 10},
        "quantize": {
            "format": "QDQ",
            "operators": ["Conv", "Gemm", "MatMul", "MaxPool", "Relu"],
            "perChannel": True,
            "reduceRange": True,
            "activations": "uint8",
            "weights": "int8",
        },
    }
)


@dataclass(frozen=True)
class Draft:
    """What a person decides about a release. Source and snapshots are digests of objects in the store."""

    model: str
    version: str
    tier: TierName
    supersedes: str | None
    source: str
    lineage: Lineage
    recipe: Recipe
    calibration: str
    evaluation: str
    golden: str
    tolerance: Decimal
    inference: Inference
    builder: Builder
    device_classes: Sequence[DeviceClass]
    cohorts: Sequence[str]


def new_release(
    draft: Draft,
    store: Store,
    lock_bytes: bytes,
    *,
    cached: bool = True,
    reporter: Reporter | None = None,
    run: RunStages | None = None,
) -> tuple[Release, BuildResult]:
    """Build the draft and pin what came out; the rollout starts at 0 % everywhere. Raises as `build_release` does."""
    run = where_to_run(draft.builder, lock_bytes, run)
    if not store.has(draft.source):
        raise MissingObject(f"the source model {draft.source} is not in the store {store.folder}", SOURCE_HINT)
    source = store.get(draft.source)
    inputs = BuildInputs(
        model=draft.model,
        version=draft.version,
        source=draft.source,
        calibration=draft.calibration,
        evaluation=draft.evaluation,
        golden=draft.golden,
        tolerance=draft.tolerance,
        recipe=draft.recipe,
        inference=draft.inference,
        onnx=_versions(source),
    )
    result = build(inputs, store, cached=cached, reporter=reporter, run=run)
    versions = (item.spec.runtime.version for item in draft.device_classes)
    check_for_devices(store.get(result.outputs.quantized), versions)
    try:
        return _pin(draft, inputs, result, len(source)), result
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise Refused(f"{where}: {first['msg']}", "correct the value you gave for it") from error


def release_text(release: Release) -> str:
    """The release as the YAML that `releases/<model>/<version>.yaml` holds."""
    import yaml

    data = release.model_dump(mode="json", exclude_none=True)
    data = {"apiVersion": data["apiVersion"], "kind": data["kind"], "metadata": data["metadata"], "spec": data["spec"]}
    body = yaml.safe_dump(data, sort_keys=False, width=1_000, allow_unicode=True)
    body = body.replace("\nspec:\n", f"\nspec:\n{PINS_COMMENT}", 1)
    before, _, rollout = body.rpartition("\n  rollout:\n")
    text = f"{HEADER}{before}\n\n{ROLLOUT_COMMENT}  rollout:\n{rollout}"
    if validate(release.path, Release, parse(text.encode())) != release:
        raise Refused("the release does not read back from YAML", f"report it with: {json.dumps(data)[:200]}")
    return text


def _versions(source: bytes) -> OnnxVersions:
    model = parse_source(source)
    opsets = [entry.version for entry in model.opset_import if entry.domain == ""]
    try:
        return OnnxVersions(opset=opsets[0] if opsets else 0, ir=model.ir_version)
    except ValidationError as error:
        raise Refused(
            f"the source model has IR version {model.ir_version} and opsets {opsets}", "export it with pinned versions"
        ) from error


def _pin(draft: Draft, inputs: BuildInputs, result: BuildResult, source_size: int) -> Release:
    outputs = result.outputs
    spec = ReleaseSpec(
        tier=draft.tier,
        supersedes=draft.supersedes,
        source=Source(digest=draft.source, size=source_size, lineage=draft.lineage),
        recipe=draft.recipe,
        snapshots=Snapshots(
            calibration=draft.calibration,
            evaluation=draft.evaluation,
            golden=Golden(inputs=draft.golden, expected=outputs.golden_expected, tolerance=draft.tolerance),
        ),
        calibration_table=outputs.calibration_table,
        builder=draft.builder,
        stages=Stages(
            imported=outputs.imported,
            preprocessed=outputs.preprocessed,
            calibrated=outputs.calibrated,
            quantized=outputs.quantized,
        ),
        artifact=result.artifact,
        onnx=inputs.onnx,
        runtimes=tuple(_runtime(item) for item in draft.device_classes),
        inference=draft.inference,
        config_version=draft.inference.config_version,
        rollout=Rollout.model_validate({"cohorts": dict.fromkeys(draft.cohorts, "0%")}),
    )
    return Release(metadata=ReleaseMetadata(name=draft.model, version=draft.version), spec=spec)


def _runtime(device_class: DeviceClass) -> ReleaseRuntime:
    """The runtime of the class, on the provider that it prefers."""
    runtime = device_class.spec.runtime
    return ReleaseRuntime(
        device_class=device_class.metadata.name,
        name=runtime.name,
        version=runtime.version,
        provider=runtime.providers[0],
    )
