"""The build on the example's real model: identical to its pins, cached, repaired, and refused where it must be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from meter_example import LOCK, changed, digests, filled_store, release
from muster.artifacts.bundle import CONFIG, GOLDEN_EXPECTED, GOLDEN_INPUTS, MODEL, read_bundle
from muster.artifacts.golden import dump_expected
from muster.artifacts.inference import answer, confident, normalize
from muster.artifacts.manifest import check_bundle
from muster.artifacts.store import DamagedObject, MissingObject, Store
from muster.artifacts.tensors import dump_tensors, load_tensors
from muster.build.measure import measure
from muster.build.onnx_runtime import Session
from muster.build.pipeline import BuildInputs, build, build_release
from muster.build.reference import Reference
from muster.build.verification import verify_release
from muster.kinds.digest import digest_of
from muster.kinds.errors import Refused, Unusable

VERSIONS = ("1.0.0", "1.1.0", "1.2.0")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return filled_store(tmp_path / "store")


@pytest.mark.parametrize("version", VERSIONS)
def test_every_release_of_the_example_rebuilds(store: Store, version: str) -> None:
    """From a store with nothing but sources, every output is the pinned one; then again from the pinned table."""
    declared = release(version)
    for table in ("calibrated", "pinned"):
        verification = verify_release(declared, store, LOCK)
        assert verification.first_difference is None
        assert verification.table == table
        assert declared.spec.artifact == verification.result.artifact
    assert not any(stage.cached for stage in verification.result.stages)


def test_the_artifact_is_a_bundle_of_what_the_release_pins(store: Store) -> None:
    """Its files carry the digests that devices report and the signature covers."""
    declared = release()
    files = read_bundle(store.get(build_release(declared, store, LOCK).artifact.digest))
    manifest = check_bundle(files)
    assert declared.spec.stages.quantized == digest_of(files[MODEL]) == manifest.model_hash
    assert declared.spec.config_version == digest_of(files[CONFIG]) == manifest.config_version
    assert declared.spec.snapshots.golden.inputs == digest_of(files[GOLDEN_INPUTS])
    assert declared.spec.snapshots.golden.expected == digest_of(files[GOLDEN_EXPECTED])
    assert (declared.model, declared.version) == (manifest.model, manifest.version)


def test_a_second_build_runs_no_stage(store: Store) -> None:
    """Every stage comes from the cache, with the same result."""
    first, second = (build_release(release(), store, LOCK) for _ in range(2))
    assert [stage.cached for stage in first.stages] == [False] * 6
    assert [stage.cached for stage in second.stages] == [True] * 6
    assert first.outputs == second.outputs


@pytest.mark.parametrize("damage", ["missing", "altered"])
def test_a_cached_result_that_is_gone_is_made_again(store: Store, damage: str) -> None:
    """Missing or altered, it is not served; the build ends with the same artifact."""
    table = build_release(release(), store, LOCK).outputs.calibration_table
    path = store.path(table)
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes().replace(b"1", b"2", 1))
    again = build_release(release(), store, LOCK)
    assert {stage.stage: stage.cached for stage in again.stages if not stage.cached} == {"snap": False}
    assert again.difference is None


FIELDS = {
    "imported": lambda s: {"stages": s.stages.model_copy(update={"imported": digest_of(b"")})},
    "preprocessed": lambda s: {"stages": s.stages.model_copy(update={"preprocessed": digest_of(b"")})},
    "calibrated": lambda s: {"stages": s.stages.model_copy(update={"calibrated": digest_of(b"")})},
    "calibration_table": lambda _: {"calibration_table": digest_of(b"")},
    "quantized": lambda s: {"stages": s.stages.model_copy(update={"quantized": digest_of(b"")})},
    "artifact": lambda s: {"artifact": s.artifact.model_copy(update={"digest": digest_of(b"")})},
}


@pytest.mark.parametrize("output", FIELDS)
def test_a_wrong_pin_is_named(store: Store, output: str) -> None:
    """The first output that differs from its pin is the one with the wrong pin."""
    declared = changed(release(), **FIELDS[output](release().spec))
    assert output == verify_release(declared, store, LOCK).first_difference
    assert output == build_release(declared, store, LOCK).difference


def test_a_recipe_changed_after_the_pins_is_named_at_its_stage(store: Store) -> None:
    """Other mantissa bits show in the calibration table first; the ranges before it are identical."""
    recipe = release().spec.recipe
    declared = changed(
        release(), recipe=recipe.model_copy(update={"snap": recipe.snap.model_copy(update={"mantissa_bits": 6})})
    )
    verification = verify_release(declared, store, LOCK)
    assert verification.first_difference == "calibration_table"
    assert [item.identical for item in verification.comparisons[:4]] == [True, True, True, False]


def test_the_pinned_table_is_what_quantization_starts_from(store: Store) -> None:
    """With other calibration data the table differs, and yet the pinned table gives the pinned artifact."""
    build_release(release(), store, LOCK)
    spec = release().spec
    frames = load_tensors(store.get(spec.snapshots.calibration))
    other = store.put(dump_tensors({"frames": frames["frames"][:3] // 2, "labels": frames["labels"][:3]}))
    declared = changed(release(), snapshots=spec.snapshots.model_copy(update={"calibration": other}))
    verification = verify_release(declared, store, LOCK)
    differing = [item.output for item in verification.comparisons if not item.identical]
    assert differing == ["calibrated", "calibration_table"]


@pytest.mark.parametrize(
    ("what", "of"),
    [
        ("source model", lambda s: s.source.digest),
        ("calibration snapshot", lambda s: s.snapshots.calibration),
        ("golden snapshot", lambda s: s.snapshots.golden.inputs),
    ],
)
def test_a_missing_input_is_named_with_the_way_to_get_it(store: Store, what: str, of: object) -> None:
    """Exit 2, before any stage ran."""
    store.path(of(release().spec)).unlink()
    with pytest.raises(MissingObject, match=what) as caught:
        build_release(release(), store, LOCK)
    assert caught.value.exit_code == 2
    assert "make models" in caught.value.hint


def test_a_damaged_source_is_never_built_from(store: Store) -> None:
    """The digest is verified on reading."""
    path = store.path(release().spec.source.digest)
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(DamagedObject, match=release().spec.source.digest):
        build_release(release(), store, LOCK)


@pytest.mark.parametrize("lock", [b"", LOCK + b"\n", LOCK.replace(b"onnx==1.23.2", b"onnx==1.23.1")])
def test_another_lock_is_another_environment(store: Store, lock: bytes) -> None:
    """The lock file must be the pinned one, byte for byte."""
    with pytest.raises(Unusable, match="the release pins"):
        build_release(release(), store, lock)


def test_an_environment_that_is_not_the_locked_one_is_told(store: Store) -> None:
    """What differs is named, installed and locked version."""
    lock = LOCK.replace(b"onnx==1.23.2", b"onnx==1.23.1").replace(b"numpy==", b"nonpy==")
    builder = release().spec.builder.model_copy(update={"digest": digest_of(lock)})
    with pytest.raises(Unusable, match=r"numpy .* \(locked: not named\), onnx 1.23.2 \(locked: 1.23.1\)"):
        build_release(changed(release(), builder=builder), store, lock)


def test_a_golden_answer_that_does_not_hold_stops_the_build(store: Store) -> None:
    """ONNX Runtime must answer as the float64 reference does, within the tolerance."""
    result = build_release(release(), store, LOCK)
    spec = release().spec
    golden, quantized = store.get(spec.snapshots.golden.inputs), store.get(result.outputs.quantized)
    frames = normalize(load_tensors(golden)["frames"], spec.inference.input)
    wrong = Reference(quantized).scores(frames)
    wrong[5] = np.roll(wrong[5], 1)
    with pytest.raises(Refused, match="golden run: frame 5"):
        measure(
            source=quantized,
            quantized=quantized,
            golden=golden,
            expected=dump_expected(wrong),
            evaluation=store.get(spec.snapshots.evaluation),
            settings=(spec.inference, spec.snapshots.golden.tolerance),
        )


@pytest.mark.parametrize(
    ("labels", "why"),
    [
        (np.zeros(3, np.int64), "fit neither"),
        (np.full(16, 10, np.int64), "fit neither"),
        (np.zeros(16, np.float32), "fit neither"),
        (None, "no tensor 'labels'"),
    ],
)
def test_an_evaluation_snapshot_without_proper_labels_is_refused(
    store: Store, labels: np.ndarray | None, why: str
) -> None:
    """Accuracy is counted over labels that fit frames and config, or not at all."""
    tensors = {"frames": np.ones((16, 8, 8), np.uint8)} | ({} if labels is None else {"labels": labels})
    inputs = BuildInputs.of(release())
    with pytest.raises(Unusable, match=why):
        build(BuildInputs(**{**inputs.__dict__, "evaluation": store.put(dump_tensors(tensors))}), store)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_field_tells_what_offline_evaluation_does_not(store: Store, version: str) -> None:
    """At full contrast every release is confident enough; in low light 1.2.0 alone is not, though it evaluates best."""
    declared = release(version)
    thresholds = declared.spec.inference.thresholds
    session = Session(store.get(build_release(declared, store, LOCK).outputs.quantized))
    field = load_tensors(store.get(digests()["snapshots"]["field"]["digest"]))

    def confident_ppm(frames: np.ndarray) -> int:
        found = session.run(declared.spec.inference.input.name, normalize(frames, declared.spec.inference.input))
        return int(confident(answer(found)[1], thresholds).mean() * 1_000_000)

    assert confident_ppm(field["frames"]) > thresholds.min_confident + 250_000
    low_light = confident_ppm(field["frames"] // 4)
    if version == "1.2.0":
        assert low_light < thresholds.min_confident - 250_000
    else:
        assert low_light > thresholds.min_confident + 250_000


def test_accuracy_rises_from_release_to_release(store: Store) -> None:
    """On the evaluation snapshot, with the quantized models, all at 94 % or more."""
    right = [build_release(release(version), store, LOCK).measurement.artifact.right for version in VERSIONS]
    assert right == sorted(right)
    assert right[0] >= 0.94 * 280
