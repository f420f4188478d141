"""What is measured without a device: counts hold against an independent count, and pairs add up."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from meter_example import LOCK, changed, filled_store, release
from muster.artifacts.bundle import CONFIG, MANIFEST, pack_bundle, read_bundle
from muster.artifacts.manifest import list_files, read_manifest
from muster.artifacts.store import MissingObject, Store
from muster.artifacts.tensors import dump_tensors, load_tensors
from muster.build.measure import count_answers
from muster.build.measuring.answers import answer_results
from muster.build.measuring.costs import cost_results
from muster.build.measuring.frames import perturbed, repeated, slices_of
from muster.build.measuring.machine import this_machine
from muster.build.measuring.measurement import measure_anywhere
from muster.build.measuring.subject import Subject, load_subject
from muster.build.onnx_runtime import Session
from muster.build.pipeline import RunStages
from muster.kinds.canonical import canonical_json
from muster.kinds.errors import Refused, Unusable
from muster.kinds.evidence import Measurement, Result
from muster.kinds.release import Artifact


@pytest.fixture(scope="module")
def results(subject: Subject) -> list[Result]:
    return list(answer_results(subject))


def of(results: list[Result], metric: str, name: str | None = None) -> Result:
    """The one result of that metric and slice."""
    (found,) = [result for result in results if (result.metric, result.slice) == (metric, name)]
    return found


def test_accuracy_is_what_the_build_counts(subject: Subject, results: list[Result]) -> None:
    """Another function of the build counts the same frames for every candidate."""
    accuracy = of(results, "accuracy")
    counted = [
        count_answers(Session(item.model), subject.evaluation, item.inference).right for item in subject.candidates
    ]
    assert counted[0] == accuracy.successes
    assert accuracy.samples == 280
    assert [baseline.of for baseline in accuracy.baselines] == ["source", "superseded"]
    for right, baseline in zip(counted[1:], accuracy.baselines, strict=True):
        assert baseline.both + baseline.only_baseline == right
        assert baseline.both + baseline.only_this == accuracy.successes
        assert abs(baseline.value - Decimal(right) / 280) < Decimal("1e-8")
    assert accuracy.lower < accuracy.value < accuracy.upper
    spec = release("1.2.0").spec
    assert [spec.source.digest, release("1.1.0").spec.artifact.digest] == [one.digest for one in accuracy.baselines]


def test_slices_divide_the_frames(results: list[Result]) -> None:
    """Dim and bright frames are all frames, and the gap lies between them."""
    whole, dim, bright = (of(results, "accuracy", name) for name in (None, "dim-half", "bright-half"))
    assert whole.samples == dim.samples + bright.samples
    assert whole.successes == dim.successes + bright.successes
    gap = of(results, "fairness-gap")
    assert gap.value == abs(dim.value - bright.value)
    assert [baseline.of for baseline in gap.baselines] == ["source", "superseded"]


def test_robustness_as_a_whole_is_that_of_the_worst_perturbation(results: list[Result]) -> None:
    """And every perturbation is told by its name."""
    under = [of(results, "robustness", name) for name in ("noise", "dimmed", "glare")]
    assert min(result.value for result in under) == of(results, "robustness").value
    assert len({result.value for result in under}) > 1


def test_a_declared_slice_is_measured(subject: Subject) -> None:
    """A tensor `slice_<name>` of the snapshot says which frames belong to it; an empty one is left out."""
    tensors = load_tensors(subject.evaluation)
    mask = np.arange(280) < 40
    sliced = dump_tensors({**tensors, "slice_worn_dials": mask, "slice_none": np.zeros(280, np.bool_)})
    found = slices_of(sliced)
    assert sorted(found) == ["bright-half", "dim-half", "worn-dials"]
    assert np.array_equal(mask, found["worn-dials"])
    for bad in (np.zeros(279, np.bool_), np.zeros(280, np.int64)):
        with pytest.raises(Unusable, match="slice_bad"):
            slices_of(dump_tensors({**tensors, "slice_bad": bad}))


def test_perturbations_repeat_and_stay_in_range(subject: Subject) -> None:
    """The same frames give the same perturbed frames, no frame leaves the range, and each one changes something."""
    frames = load_tensors(subject.evaluation)["frames"]
    first, again = perturbed(frames), perturbed(frames)
    for name, changed_frames in first.items():
        assert np.array_equal(changed_frames, again[name]), name
        assert changed_frames.min() >= 0, name
        assert changed_frames.max() <= frames.max(), name
        assert not np.array_equal(changed_frames, frames), name


def test_costs(subject: Subject, store: Store) -> None:
    """Sizes are those of the files, the overlap is that of the snapshots."""
    found = {result.metric: result for result in cost_results(subject)}
    spec = release("1.2.0").spec
    assert found["artifact-size"].value == len(store.get(spec.artifact.digest))
    assert [one.value for one in found["artifact-size"].baselines] == [
        spec.source.size,
        release("1.1.0").spec.artifact.size,
    ]
    # 20 kernels of 3x3 on 8x8 frames, and 20*16 features for 10 digits.
    assert found["inference-cost"].value == 20 * 9 * 64 + 320 * 10
    assert found["calibration-samples"].value == 128
    assert (found["calibration-overlap"].value, found["calibration-overlap"].samples) == (0, 280)


def test_overlap_is_found_in_any_element_type(subject: Subject) -> None:
    """The same picture counts, whatever type its numbers have."""
    frames = load_tensors(subject.evaluation)["frames"]
    calibration = dump_tensors({"frames": frames[5:8].astype(np.float32)})
    assert repeated(subject.evaluation, calibration) == (3, 280)


def test_a_frame_that_calibrated_does_not_judge(subject: Subject, store: Store) -> None:
    """By its values, whatever the digests of the snapshots, the element type, the shape and the sign of a zero."""
    tensors = load_tensors(subject.evaluation)
    seen = tensors["frames"][7:9].reshape(2, -1).astype(np.float64)
    seen[seen == 0] = -0.0
    frames = np.concatenate([load_tensors(subject.calibration)["frames"].reshape(-1, 64).astype(np.float64), seen])
    other = store.put(dump_tensors({"frames": frames}))
    snapshots = release("1.2.0").spec.snapshots.model_copy(update={"calibration": other})
    with pytest.raises(Refused, match="2 of 280 frames of the evaluation snapshot"):
        load_subject(changed(release("1.2.0"), snapshots=snapshots), None, store, LOCK)


def test_the_predicate_reads_back(subject: Subject) -> None:
    """As JSON it is the kind that gates check, and it says on what it was measured."""
    package = Result(metric="package-size", value=Decimal(1))
    measured = measure_anywhere(subject, package, this_machine(), datetime(2026, 3, 1, 10, tzinfo=UTC))
    again = Measurement.model_validate_json(measured.model_dump_json(exclude_none=True))
    assert measured == again
    assert measured.measured_at == "2026-03-01T10:00:00Z"
    assert measured.snapshots["evaluation"] == release("1.2.0").spec.snapshots.evaluation
    for name in ("cpu", "isa", "onnxruntime", "perturbation.noise", "slices"):
        assert measured.environment[name]
    assert "superseded" not in measured.environment


def test_an_artifact_that_is_not_there_is_built(tmp_path: Path) -> None:
    """From the store's source and snapshots; what it supersedes is left out, and said so."""
    fresh = filled_store(tmp_path)
    subject = load_subject(release("1.2.0"), release("1.1.0"), fresh, LOCK)
    assert fresh.has(release("1.2.0").spec.artifact.digest)
    assert [item.role for item in subject.candidates] == ["artifact", "source"]
    assert "meter-reader/1.1.0 is not in the store" in subject.note
    measured = measure_anywhere(
        subject, Result(metric="package-size", value=Decimal(1)), this_machine(), datetime(2026, 3, 1, tzinfo=UTC)
    )
    assert "is not in the store" in measured.environment["superseded"]


def test_how_it_is_built_is_asked_only_if_it_must_be(store: Store, tmp_path: Path) -> None:
    """An environment of another lock is made for a build, and for nothing else."""

    def asked() -> RunStages:
        raise Unusable("somebody asked", "-")

    load_subject(release("1.2.0"), None, store, LOCK, how=asked)
    with pytest.raises(Unusable, match="somebody asked"):
        load_subject(release("1.2.0"), None, filled_store(tmp_path), LOCK, how=asked)


def test_a_build_that_comes_to_something_else_is_not_measured(tmp_path: Path) -> None:
    """Evidence would be about another artifact than the release pins."""
    other = changed(release("1.2.0"), artifact=Artifact(digest="sha256:" + "0" * 64, size=1))
    with pytest.raises(Refused, match="artifact differs"):
        load_subject(other, None, filled_store(tmp_path), LOCK)


def test_an_input_that_is_not_there_is_named(store: Store) -> None:
    """Without the evaluation snapshot nothing can be measured."""
    declared = release("1.2.0")
    snapshots = declared.spec.snapshots.model_copy(update={"evaluation": "sha256:" + "0" * 64})
    with pytest.raises(MissingObject, match="evaluation snapshot"):
        load_subject(changed(declared, snapshots=snapshots), None, store, LOCK)


def test_a_baseline_for_other_frames_is_left_out(store: Store) -> None:
    """A superseded release that takes frames of another shape cannot answer the same ones."""
    older = release("1.1.0")
    assert load_subject(release("1.2.0"), older, store, LOCK).note is None
    files = read_bundle(store.get(older.spec.artifact.digest))
    shape = older.spec.inference.input.model_copy(update={"shape": (1, 4, 4)})
    inference = older.spec.inference.model_copy(update={"input": shape})
    files[CONFIG] = canonical_json(inference.model_dump(mode="json"))
    files[MANIFEST] = read_manifest(files[MANIFEST]).model_copy(update={"files": list_files(files)}).dump()
    smaller = pack_bundle(files)
    pins = Artifact(digest=store.put(smaller), size=len(smaller))
    subject = load_subject(release("1.2.0"), changed(older, artifact=pins), store, LOCK)
    assert [item.role for item in subject.candidates] == ["artifact", "source"]
    assert "takes frames of shape (1, 4, 4)" in subject.note
    assert load_subject(release("1.2.0"), None, store, LOCK).note == "its release file is not there"
