"""The build: import → preprocess → calibrate → snap → quantize → verify, then the bundle.

What each stage put out is compared with the release's pins by whoever asked for the build (`difference`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Protocol

from muster.artifacts.bundle import CONFIG, GOLDEN_EXPECTED, GOLDEN_INPUTS, MANIFEST, MODEL, pack_bundle
from muster.artifacts.store import MissingObject, Store
from muster.build import stage_functions as stages
from muster.build.device_check import check_for_devices
from muster.build.environment import check_environment, check_lock, tool_versions
from muster.build.measure import Measurement, measure
from muster.build.stages import Reporter, Runner, StageOutcome
from muster.kinds.canonical import canonical_json
from muster.kinds.errors import Unusable
from muster.kinds.sha256 import digest_of

if TYPE_CHECKING:
    from muster.kinds.quantity import Decimal
    from muster.kinds.recipe import CalibrateStage, Recipe, SnapStage
    from muster.kinds.release import Artifact, Builder, Inference, OnnxVersions, Release

SOURCE_HINT: Final = (
    "put it into the store: `make models` for this repository's example, "
    "or `muster release new --source FILE` for a model of your own"
)


@dataclass(frozen=True)
class BuildInputs:
    """All that decides an artifact's bytes. Source and snapshots by digest, in the store."""

    model: str
    version: str
    source: str
    calibration: str
    evaluation: str
    golden: str
    tolerance: Decimal
    recipe: Recipe
    inference: Inference
    onnx: OnnxVersions

    @classmethod
    def of(cls, release: Release) -> BuildInputs:
        """The inputs that a release pins."""
        spec = release.spec
        return cls(
            model=release.model,
            version=release.version,
            source=spec.source.digest,
            calibration=spec.snapshots.calibration,
            evaluation=spec.snapshots.evaluation,
            golden=spec.snapshots.golden.inputs,
            tolerance=spec.snapshots.golden.tolerance,
            recipe=spec.recipe,
            inference=spec.inference,
            onnx=spec.onnx,
        )


@dataclass(frozen=True)
class Outputs:
    """Digest of what every stage put out, in the order of the stages."""

    imported: str
    preprocessed: str
    calibrated: str
    calibration_table: str
    quantized: str
    golden_expected: str
    config_version: str
    artifact: str

    def in_order(self) -> tuple[tuple[str, str], ...]:
        """Name and digest of each."""
        return tuple((name, getattr(self, name)) for name in self.__dataclass_fields__)


@dataclass(frozen=True)
class BuildResult:
    """An artifact in the store, and how it came about. `difference` names the first output that is not as pinned."""

    release: str
    artifact: Artifact
    outputs: Outputs
    stages: tuple[StageOutcome, ...]
    measurement: Measurement
    tools: Mapping[str, str]
    difference: str | None = None


@dataclass(frozen=True)
class StagesRun:
    """What the stages put out, by name in `Outputs`, what was found when the models ran, and with which versions."""

    outputs: Mapping[str, str]
    stages: tuple[StageOutcome, ...]
    measurement: Measurement
    tools: Mapping[str, str]


class RunStages(Protocol):
    """Runs the stages over a store: in this process, or in an environment of their own (`build.hermetic`)."""

    def __call__(
        self,
        inputs: BuildInputs,
        store: Store,
        *,
        cached: bool = True,
        reporter: Reporter | None = None,
        pinned_table: str | None = None,
    ) -> StagesRun:
        """With `pinned_table`, quantize from that table and not from the one that is calibrated."""


def build_release(
    release: Release,
    store: Store,
    lock_bytes: bytes,
    *,
    cached: bool = True,
    reporter: Reporter | None = None,
    run: RunStages | None = None,
) -> BuildResult:
    """Build a release's artifact into `store`, from what its pins name there.

    Nothing here judges the pins: `result.difference` says whether the artifact is the declared one. Raises `Unusable`
    if the environment is not the locked one or an input is missing, `Refused` for an input that is not accepted, a
    golden answer that does not hold, or a damaged object.
    """
    run = where_to_run(release.spec.builder, lock_bytes, run)
    result = build(BuildInputs.of(release), store, cached=cached, reporter=reporter, run=run)
    check_for_devices(store.get(result.outputs.quantized), (runtime.version for runtime in release.spec.runtimes))
    return replace(result, difference=first_difference(release, result.outputs))


def build(
    inputs: BuildInputs,
    store: Store,
    *,
    cached: bool = True,
    reporter: Reporter | None = None,
    pinned_table: str | None = None,
    run: RunStages | None = None,
) -> BuildResult:
    """Build from `inputs`. With `pinned_table`, quantize from that table and not from the one calibrated here."""
    from muster.kinds.release import Artifact

    _check_present(inputs, store)
    ran = (run or run_here)(inputs, store, cached=cached, reporter=reporter, pinned_table=pinned_table)
    bundle = _bundle(inputs, store, ran.outputs)
    artifact = Artifact(digest=store.put(bundle), size=len(bundle))
    config_version = inputs.inference.config_version
    return BuildResult(
        release=f"{inputs.model}/{inputs.version}",
        artifact=artifact,
        outputs=Outputs(**ran.outputs, config_version=config_version, artifact=artifact.digest),
        stages=ran.stages,
        measurement=ran.measurement,
        tools=ran.tools,
    )


def run_here(
    inputs: BuildInputs,
    store: Store,
    *,
    cached: bool = True,
    reporter: Reporter | None = None,
    pinned_table: str | None = None,
) -> StagesRun:
    """Run the stages in this process. Of `inputs` it takes attributes alone, so that any value with them will do."""
    runner = Runner(store, reporter, cached=cached)
    outputs = _run_stages(inputs, runner, pinned_table)
    measurement = _verify(inputs, runner, outputs)
    return StagesRun(outputs, tuple(runner.outcomes), measurement, tool_versions())


def where_to_run(builder: Builder, lock: bytes, run: RunStages | None) -> RunStages:
    """`run`, or this process. Raises `Unusable` if the lock is not the pinned one, or not what is installed here."""
    if run is None:
        check_environment(builder, lock)
        return run_here
    check_lock(builder, lock)
    return run


def pins_of(release: Release) -> Outputs:
    """What a release says that its build puts out."""
    spec = release.spec
    return Outputs(
        imported=spec.stages.imported,
        preprocessed=spec.stages.preprocessed,
        calibrated=spec.stages.calibrated,
        calibration_table=spec.calibration_table,
        quantized=spec.stages.quantized,
        golden_expected=spec.snapshots.golden.expected,
        config_version=spec.config_version,
        artifact=spec.artifact.digest,
    )


def first_difference(release: Release, outputs: Outputs) -> str | None:
    """The first output that is not as pinned, by name; None if all are."""
    pairs = zip(pins_of(release).in_order(), outputs.in_order(), strict=True)
    return next((name for (name, pinned), (_, found) in pairs if pinned != found), None)


def _check_present(inputs: BuildInputs, store: Store) -> None:
    wanted = {
        "source model": inputs.source,
        "calibration snapshot": inputs.calibration,
        "evaluation snapshot": inputs.evaluation,
        "golden snapshot": inputs.golden,
    }
    for what, digest in wanted.items():
        if not store.has(digest):
            raise MissingObject(
                f"{what} {digest} of {inputs.model}/{inputs.version} is not in the store {store.folder}", SOURCE_HINT
            )
    if len({inputs.calibration, inputs.evaluation, inputs.golden}) != 3:
        raise Unusable("calibration, evaluation and golden must be three snapshots", "cut disjoint snapshots")


def _run_stages(inputs: BuildInputs, runner: Runner, pinned_table: str | None) -> dict[str, str]:
    recipe, inference = inputs.recipe, inputs.inference
    config = inference.model_dump(mode="json")
    versions = inputs.onnx.model_dump(mode="json")

    def advanced(done: int, total: int) -> None:
        runner.reporter.advanced(stages.CALIBRATE.name, done, total)

    imported = runner.run(
        stages.IMPORT,
        {"source": inputs.source},
        {**recipe.import_.model_dump(mode="json"), "onnx": versions},
        lambda data: stages.import_model(data["source"], recipe.import_, inputs.onnx),
    )
    preprocessed = runner.run(
        stages.PREPROCESS,
        {"model": imported},
        {**recipe.preprocess.model_dump(mode="json"), "inference": config},
        lambda data: stages.preprocess(data["model"], recipe.preprocess, inference),
    )
    calibrated = runner.run(
        stages.CALIBRATE,
        {"model": preprocessed, "snapshot": inputs.calibration},
        {**_dumped(recipe.calibrate), "inference": config},
        lambda data: stages.calibrate(data["model"], data["snapshot"], recipe.calibrate, inference, advanced),
    )
    table = runner.run(
        stages.SNAP,
        {"ranges": calibrated},
        _dumped(recipe.snap),
        lambda data: stages.snap(data["ranges"], recipe.snap),
    )
    quantized = runner.run(
        stages.QUANTIZE,
        {"model": preprocessed, "table": pinned_table or table},
        {**recipe.quantize.model_dump(mode="json"), "onnx": versions},
        lambda data: stages.quantize(data["model"], data["table"], recipe.quantize, inputs.onnx),
    )
    return {
        "imported": imported,
        "preprocessed": preprocessed,
        "calibrated": calibrated,
        "calibration_table": table,
        "quantized": quantized,
        "golden_expected": _expect(inputs, runner, quantized),
    }


def _dumped(stage: CalibrateStage | SnapStage | None) -> dict[str, Any]:
    return {} if stage is None else stage.model_dump(mode="json")


def _expect(inputs: BuildInputs, runner: Runner, quantized: str) -> str:
    return runner.run(
        stages.EXPECT,
        {"model": quantized, "golden": inputs.golden},
        {"inference": inputs.inference.model_dump(mode="json")},
        lambda data: stages.expect(data["model"], data["golden"], inputs.inference),
    )


def _verify(inputs: BuildInputs, runner: Runner, outputs: Mapping[str, str]) -> Measurement:
    """Never from the cache: what it finds is about this machine's CPU and runtime."""
    get: Callable[[str], bytes] = runner.store.get
    return measure(
        # As imported, so that what preprocessing gives up is seen.
        source=get(outputs["imported"]),
        quantized=get(outputs["quantized"]),
        golden=get(inputs.golden),
        expected=get(outputs["golden_expected"]),
        evaluation=get(inputs.evaluation),
        settings=(inputs.inference, inputs.tolerance),
    )


def _bundle(inputs: BuildInputs, store: Store, outputs: Mapping[str, str]) -> bytes:
    from muster.artifacts.manifest import Manifest, list_files

    files = {
        MODEL: store.get(outputs["quantized"]),
        CONFIG: canonical_json(inputs.inference.model_dump(mode="json")),
        GOLDEN_INPUTS: store.get(inputs.golden),
        GOLDEN_EXPECTED: store.get(outputs["golden_expected"]),
    }
    if digest_of(files[CONFIG]) != inputs.inference.config_version:
        raise AssertionError("the config file's digest is the config version by construction")
    manifest = Manifest(
        model=inputs.model,
        version=inputs.version,
        onnx=inputs.onnx,
        golden_tolerance=inputs.tolerance,
        files=list_files(files),
    )
    return pack_bundle({**files, MANIFEST: manifest.dump()})
