"""The example model: exact training, disjoint snapshots, and the accuracy that its releases promise."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from training.meter_reader.__main__ import VERSIONS
from training.meter_reader.digits import Digits, load
from training.meter_reader.exact import Hyperparameters, classify, features, train
from training.meter_reader.network import IR, OPSET, to_onnx

import meter_example
from meter_example import filled_store
from muster.artifacts.store import Store
from muster.artifacts.tensors import load_tensors


@pytest.fixture(scope="module")
def digits() -> Digits:
    return load()


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, dict]:
    return filled_store(tmp_path_factory.mktemp("store")), meter_example.digests()


def test_every_version_reads_the_held_out_third(filled: tuple[Store, dict]) -> None:
    """At least 94 %, and no version is worse than the one before it, neither there nor on the evaluation snapshot."""
    models = filled[1]["models"]
    for part in ("heldOut", "evaluation"):
        right = [models[version][part]["right"] for version in VERSIONS]
        assert right == sorted(right)
        assert min(right) >= 0.94 * models["1.0.0"][part]["of"]
    assert len(load().everything) // 3 <= models["1.0.0"]["heldOut"]["of"]


def test_snapshots_are_disjoint_and_complete(filled: tuple[Store, dict], digits: Digits) -> None:
    """Training and held-out parts share no frame's row, and what lies in the store is what was cut."""
    store, result = filled
    rows = 0
    for name in ("evaluation", "golden", "field"):
        tensors = load_tensors(store.get(result["snapshots"][name]["digest"]))
        assert tensors["frames"].shape == (len(tensors["labels"]), 8, 8)
        held_out = digits.held_out[rows : rows + len(tensors["labels"])]
        np.testing.assert_array_equal(held_out.frames, tensors["frames"])
        np.testing.assert_array_equal(held_out.labels, tensors["labels"])
        rows += len(tensors["labels"])
    assert rows == len(digits.held_out)
    assert len(digits.everything) == len(digits.training) + len(digits.held_out)
    calibration = load_tensors(store.get(result["snapshots"]["calibration"]["digest"]))
    np.testing.assert_array_equal(digits.training[:128].frames, calibration["frames"])


def test_no_frame_is_both_trained_on_and_held_out(digits: Digits) -> None:
    """Content decides, not the row: scikit-learn's digits hold no duplicates."""
    seen = {frame.tobytes() for frame in digits.training.frames}
    assert not seen & {frame.tobytes() for frame in digits.held_out.frames}


def test_the_source_model_is_pinned_to_its_versions(filled: tuple[Store, dict]) -> None:
    """Opset and IR version are those that releases declare, whatever the installed onnx would write by itself."""
    store, result = filled
    for model in result["models"].values():
        source = onnx.load_from_string(store.get(model["digest"]))
        assert (source.ir_version, [(o.domain, o.version) for o in source.opset_import]) == (IR, [("", OPSET)])
        assert model["size"] == len(store.get(model["digest"]))


def test_training_again_gives_the_same_bytes(filled: tuple[Store, dict], digits: Digits) -> None:
    """Same data, same seed, same model; another seed is another model."""
    store, result = filled
    source = store.get(result["models"]["1.0.0"]["digest"])
    assert source == to_onnx(train(digits.training, VERSIONS["1.0.0"]))
    other = Hyperparameters(filters=8, epochs=8, shifts=1, seed=9)
    assert source != to_onnx(train(digits.training, other))


def test_the_network_computes_what_was_trained(digits: Digits) -> None:
    """ONNX's reference evaluator, fed with frames / 16, gives the labels of the integer arithmetic."""
    from onnx.reference import ReferenceEvaluator

    trained = train(digits.training[:300], Hyperparameters(filters=4, epochs=2, shifts=5, seed=1))
    frames = digits.held_out[:50].frames
    model = ReferenceEvaluator(onnx.load_from_string(to_onnx(trained)))
    (scores,) = model.run(None, {"frame": (frames[:, None] / 16).astype(np.float32)})
    np.testing.assert_array_equal(classify(trained, frames), scores.argmax(axis=1))


def test_features_by_hand() -> None:
    """One lit pixel under a kernel of one lit cell: the pixel moves against the kernel, and pools to its 2x2 block."""
    frames = np.zeros((1, 8, 8), np.int64)
    frames[0, 3, 3] = 5
    kernels = np.zeros((2, 3, 3), np.int64)
    kernels[0, 0, 0], kernels[1, 0, 0] = 2, -2
    expected = np.zeros((1, 2, 4, 4), np.int64)
    expected[0, 0, 2, 2] = 10
    np.testing.assert_array_equal(expected.reshape(1, -1), features(frames, kernels))
