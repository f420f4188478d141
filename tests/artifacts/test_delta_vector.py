"""The published test vector: the newer artifact comes out of the older one and the delta, and out of its parts."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import onnx
from delta_vector import PATH, files
from jsonschema import Draft202012Validator

from muster.artifacts.bundle import pack_bundle, read_bundle, unpack_bundle
from muster.artifacts.deltas import make_part, read_head, whole
from muster.artifacts.opened import open_files
from muster.artifacts.splitting import split
from muster.kinds.canonical import canonical_json
from muster.kinds.delta import DeltaIndex
from muster.kinds.digest import digest_of

ROOT = Path(__file__).resolve().parents[2]


def _joined(index: DeltaIndex, parts: list[bytes]) -> bytes:
    rest, out = io.BytesIO(parts[0]), []
    for number, length in index.layout:
        out.append(parts[number] if number else rest.read(length))
    return b"".join(out)


def test_the_vector_holds(tmp_path: Path) -> None:
    """Index, parts, delta and cuts are those that the programs read and make, byte for byte where bytes are fixed."""
    given = json.loads(PATH.read_text())
    index = DeltaIndex.model_validate_json(given["index"])
    assert canonical_json(index.model_dump(mode="json")).decode() == given["index"]
    schema = json.loads((ROOT / "schemas/delta-index.json").read_text())
    Draft202012Validator(schema).validate(json.loads(given["index"]))

    older = pack_bundle(files(0, b'{"threshold":1}'))
    frame = base64.b64decode(given["older"]["zstd"])
    assert older == b"".join(whole(len(older), io.BytesIO(frame).read))
    assert given["older"]["digest"] == digest_of(older) == index.deltas[0].since

    packed = [base64.b64decode(text) for text in given["parts"]]
    parts = [
        b"".join(whole(part.length, io.BytesIO(data).read)) for part, data in zip(index.parts, packed, strict=True)
    ]
    assert [(part.digest, part.packed) for part in index.parts] == [
        (digest_of(part), digest_of(data)) for part, data in zip(parts, packed, strict=True)
    ]
    assert index.artifact == digest_of(_joined(index, parts))

    (tmp_path / "older.tar").write_bytes(older)
    unpack_bundle(tmp_path / "older.tar", tmp_path / "slot")
    delta = base64.b64decode(given["delta"])
    assert index.deltas[0].digest == digest_of(delta)
    with open_files(tmp_path / "slot") as opened:
        held = {part.digest: part for part in split(opened).parts}
        file = io.BytesIO(delta)
        made = {}
        for step in read_head(file).steps:
            frames = io.BytesIO(file.read(step.length))
            old = held[step.old] if step.old else None
            made[step.part] = b"".join(make_part(step, index.parts[step.part].length, old, frames.read))
        assert {"prefix", "sparse", "dense"} >= {step.method for step in read_head(io.BytesIO(delta)).steps}
    assert parts == [made.get(number, part) for number, part in enumerate(parts)]
    assert sorted(made) == [0, 1, 2]
    newer = read_bundle(_joined(index, [made[number] for number in range(3)]))
    assert onnx.load_from_string(newer["model.onnx"]).graph.name == "vector"
