"""External data is taken from a regular file with one name, that the manifest lists, and from inside of it."""

from __future__ import annotations

import os
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto

from hostile_models import small_model
from muster.build.onnx_safety.admit import examine
from muster.build.onnx_safety.rules import External, Rules

SIZE = 3 * 4 * 4


def _model(**entries: str) -> bytes:
    model = small_model()
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)
    return model.SerializeToString()


def _found(data: bytes, folder: Path, **listed: int) -> list[str]:
    rules = Rules(external=External(folder, {name.replace("_", "."): size for name, size in listed.items()}))
    return [finding.message for finding in examine(data, rules)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "weights.bin").write_bytes(bytes(SIZE + 16))
    return tmp_path


def test_listed_data_is_accepted(folder: Path) -> None:
    """With offset and length inside the file; onnx reads the same bytes."""
    data = _model(location="weights.bin", offset="16", length=str(SIZE))
    assert _found(data, folder, weights_bin=SIZE + 16) == []
    (folder / "model.onnx").write_bytes(data)
    assert len(onnx.load(folder / "model.onnx").graph.initializer[0].raw_data) == SIZE


@pytest.mark.parametrize(
    ("entries", "why"),
    [
        ({"location": "other.bin"}, "does not list"),
        ({"location": "../weights.bin"}, "does not list"),
        ({"location": "/etc/passwd"}, "does not list"),
        ({"location": "weights.bin\0.png"}, "does not list"),
        ({}, "describes its data by nothing"),
        ({"location": "weights.bin", "offset": "17"}, "ends at byte"),
        ({"location": "weights.bin", "offset": "-1"}, "other numbers"),
        ({"location": "weights.bin", "offset": str(2**64)}, "other numbers"),
        ({"location": "weights.bin", "offset": "\u0661"}, "other numbers"),
        ({"location": "weights.bin", "length": str(SIZE - 1)}, "other numbers"),
        ({"location": "weights.bin", "__class__": "x"}, "describes its data by"),
    ],
)
def test_what_the_model_says_is_compared_with_the_manifest(folder: Path, entries: dict[str, str], why: str) -> None:
    """Names that are not listed, positions outside, keys that a reader would set as attributes."""
    found = _found(_model(**entries), folder, weights_bin=SIZE + 16)
    assert len(found) == 1
    assert why in found[0]


def test_a_key_that_comes_twice_is_refused(folder: Path) -> None:
    """One reader takes the first and another the last."""
    model = onnx.load_from_string(_model(location="weights.bin"))
    model.graph.initializer[0].external_data.add(key="location", value="/etc/passwd")
    assert "describes its data by" in _found(model.SerializeToString(), folder, weights_bin=SIZE + 16)[0]


def test_data_inside_and_outside_is_refused(folder: Path) -> None:
    """Nobody can tell which of them counts."""
    model = onnx.load_from_string(_model(location="weights.bin"))
    model.graph.initializer[0].raw_data = bytes(SIZE)
    assert "inside and outside" in _found(model.SerializeToString(), folder, weights_bin=SIZE + 16)[0]


def test_what_the_file_is_decides(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A link, a second name of a file from elsewhere, a folder, a pipe, a file of another size, none: refused."""
    outside = tmp_path_factory.mktemp("outside") / "secret"
    outside.write_bytes(bytes(SIZE + 16))
    (folder / "link.bin").symlink_to(outside)
    os.link(outside, folder / "second.bin")
    (folder / "folder.bin").mkdir()
    os.mkfifo(folder / "pipe.bin")
    (folder / "short.bin").write_bytes(bytes(SIZE))
    for name, why in {
        "link.bin": "no regular file",
        "second.bin": "2 names",
        "folder.bin": "no regular file",
        "pipe.bin": "no regular file",
        "short.bin": "listed: 64",
        "missing.bin": "cannot be read",
    }.items():
        found = _found(_model(location=name), folder, **{name.replace(".", "_"): SIZE + 16})
        assert why in found[0]


def test_a_manifest_cannot_list_a_way_out(folder: Path) -> None:
    """It may be somebody else's too."""
    rules = Rules(external=External(folder / "inside", {"../weights.bin": SIZE + 16}))
    found = examine(_model(location="../weights.bin"), rules)
    assert "no name of a file beside the model" in found[0].message
