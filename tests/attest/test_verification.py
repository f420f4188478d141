"""Verifying an artifact against the pins of a release file."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from muster.artifacts.bundle import CONFIG, GOLDEN_EXPECTED, GOLDEN_INPUTS, MANIFEST, MODEL, pack_bundle, unpack_bundle
from muster.attest.keys import key_id, new_private_key, public_half
from muster.attest.model_signature import sign_files
from muster.attest.verification import read_release, verify_artifact
from muster.kinds.canonical import canonical_json
from muster.kinds.digest import digest_of, digest_of_value
from muster.kinds.errors import Refused

PRIVATE = new_private_key()
PUBLIC = public_half(PRIVATE)
INFERENCE = {
    "input": {"name": "x", "shape": [64], "normalization": {"kind": "scale", "divisor": "16"}},
    "output": {"name": "y", "labels": ["0", "1"], "postprocessing": "argmax"},
    "thresholds": {"confidence": "50%", "minConfident": "80%"},
}
CONTENT = {
    MODEL: b"model bytes",
    CONFIG: canonical_json(INFERENCE),
    MANIFEST: b"{}",
    GOLDEN_INPUTS: b"inputs",
    GOLDEN_EXPECTED: b"expected",
}
FILES = {name: digest_of(data) for name, data in CONTENT.items()}
TAR = pack_bundle(CONTENT)
ANY = digest_of(b"any")
RELEASE: dict[str, Any] = {
    "apiVersion": "muster/v1",
    "kind": "Release",
    "metadata": {"name": "meter-reader", "version": "1.0.0"},
    "spec": {
        "tier": "production",
        "source": {
            "digest": ANY,
            "size": 1,
            "lineage": {
                "trainingCommit": "a" * 40,
                "runId": "1",
                "dataset": ANY,
                "environment": ANY,
                "seeds": [1],
                "hyperparameters": {},
                "owner": "team",
            },
        },
        "recipe": {
            "import": {"maxSize": "1MiB"},
            "preprocess": {},
            "calibrate": {"method": "minmax", "batch": 1},
            "snap": {"mantissaBits": 10},
            "quantize": {
                "operators": ["Conv"],
                "perChannel": True,
                "reduceRange": True,
                "activations": "uint8",
            },
        },
        "snapshots": {
            "calibration": ANY,
            "evaluation": ANY,
            "golden": {"inputs": ANY, "expected": ANY, "tolerance": "0.05"},
        },
        "calibrationTable": ANY,
        "builder": {"lock": "builders/a.lock", "digest": ANY},
        "stages": {"imported": ANY, "preprocessed": ANY, "calibrated": ANY, "quantized": FILES[MODEL]},
        "artifact": {"digest": digest_of(TAR), "size": len(TAR)},
        "onnx": {"opset": 17, "ir": 9},
        "runtimes": [
            {"deviceClass": "cam", "name": "onnxruntime", "version": "1.31.1", "provider": "CPUExecutionProvider"}
        ],
        "inference": INFERENCE,
        "configVersion": digest_of_value(INFERENCE),
        "rollout": {"cohorts": {"everyone": "100%"}},
    },
}


@pytest.fixture
def artifact(tmp_path: Path) -> tuple[Path, Path]:
    """The tar and the folder."""
    (tmp_path / "a.tar").write_bytes(TAR)
    unpack_bundle(tmp_path / "a.tar", tmp_path / "artifact")
    return tmp_path / "a.tar", tmp_path / "artifact"


def release_with(tmp_path: Path, **changes: Any):
    value = copy.deepcopy(RELEASE)
    value["spec"].update(changes)
    (tmp_path / "1.0.0.yaml").write_text(json.dumps(value))
    return read_release(tmp_path / "1.0.0.yaml")


def test_pins_hold_for_tar_and_folder(artifact, tmp_path):
    """The digest of the tar is known from the folder too, and both are what the release pins."""
    release = release_with(tmp_path)
    for target in artifact:
        verified = verify_artifact(target, sign_files(FILES, PRIVATE), [PUBLIC], release)
        assert (digest_of(TAR), len(TAR), key_id(PUBLIC)) == (verified.artifact, verified.size, verified.signed_by)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"artifact": {"digest": ANY, "size": len(TAR)}}, "pins artifact digest"),
        ({"artifact": {"digest": digest_of(TAR), "size": 1}}, "pins artifact size"),
        ({"stages": {**RELEASE["spec"]["stages"], "quantized": ANY}}, "pins model hash"),
        ({"configVersion": ANY}, "pins config version"),
    ],
    ids=["digest", "size", "model", "config"],
)
def test_other_pins(artifact, tmp_path, changes, complaint):
    """A correctly signed artifact that is not the release's is refused, packed or not."""
    release = release_with(tmp_path, **changes)
    for target in artifact:
        with pytest.raises(Refused, match=complaint):
            verify_artifact(target, sign_files(FILES, PRIVATE), [PUBLIC], release)


def test_signed_folder_that_is_no_artifact(artifact, tmp_path):
    """A folder with one more file can be signed, but is not the artifact of any release."""
    _, folder = artifact
    (folder / "extra").write_bytes(b"")
    files = {**FILES, "extra": digest_of(b"")}
    assert verify_artifact(folder, sign_files(files, PRIVATE), [PUBLIC]).artifact is None
    with pytest.raises(Refused, match="no unpacked artifact"):
        verify_artifact(folder, sign_files(files, PRIVATE), [PUBLIC], release_with(tmp_path))
