"""The test vector of deltas, `tests/vectors/delta.json`: two small artifacts, the index of the newer one, one delta.

`python tests/artifacts/delta_vector.py` writes it anew. Another version of zstd may pack otherwise; what is unpacked
stays the same, and so does where an artifact is cut.
"""

from __future__ import annotations

import base64
import json
import sys
import tempfile
from pathlib import Path

from onnx import helper, numpy_helper

ROOT = Path(__file__).resolve().parents[2]
PATH = ROOT / "tests/vectors/delta.json"
sys.path.insert(0, str(ROOT / "controller"))

import numpy as np  # noqa: E402

from muster.artifacts.bundle import CONFIG, GOLDEN_EXPECTED, GOLDEN_INPUTS, MANIFEST, MODEL, pack_bundle  # noqa: E402
from muster.artifacts.deltas import make_delta, pack_part  # noqa: E402
from muster.artifacts.opened import open_tar  # noqa: E402
from muster.artifacts.splitting import split  # noqa: E402
from muster.artifacts.zstandard import pack  # noqa: E402
from muster.kinds.canonical import canonical_json  # noqa: E402
from muster.kinds.delta import Delta, DeltaIndex, Part  # noqa: E402
from muster.kinds.digest import digest_of  # noqa: E402


def files(changed: int, config: bytes) -> dict[str, bytes]:
    """A bundle with a tensor of each kind of element that is told otherwise."""
    numbers = np.arange(6_000)
    codes = (numbers * numbers % 251 - 125).astype(np.int8)
    codes[::97] += changed
    floats = np.sqrt(numbers[:2_000].astype(np.float64)).astype(np.float32)
    floats = (floats.view(np.int32) + changed * (numbers[:2_000] % 7).astype(np.int32)).view(np.float32)
    tensors = [numpy_helper.from_array(codes, "codes"), numpy_helper.from_array(floats, "floats")]
    model = helper.make_model(helper.make_graph([], "vector", [], [], tensors), ir_version=8)
    return {
        MODEL: bytes(model.SerializeToString(deterministic=True)),
        CONFIG: config,
        MANIFEST: b"{}",
        GOLDEN_INPUTS: b"inputs",
        GOLDEN_EXPECTED: b"expected",
    }


def vector() -> dict[str, object]:
    """Tars and files as zstd or as they are, in base64."""
    older, newer = files(0, b'{"threshold":1}'), files(1, b'{"threshold":2}')
    with tempfile.TemporaryDirectory() as name:
        tars = [Path(name) / "older.tar", Path(name) / "newer.tar"]
        for tar, content in zip(tars, (older, newer), strict=True):
            tar.write_bytes(pack_bundle(content))
        with (
            open_tar(tars[0], {key: len(data) for key, data in older.items()}) as before,
            open_tar(tars[1], {key: len(data) for key, data in newer.items()}) as after,
        ):
            old, new = split(before), split(after)
            packed = [pack_part(part) for part in new.parts]
            delta = make_delta(new, old, pack_part)
            parts = tuple(
                Part(digest=part.digest, length=part.length, packed=digest_of(data), packed_length=len(data))
                for part, data in zip(new.parts, packed, strict=True)
            )
        since, artifact = (digest_of(tar.read_bytes()) for tar in tars)
        index = DeltaIndex(
            artifact=artifact,
            size=tars[1].stat().st_size,
            parts=parts,
            layout=new.layout,
            deltas=(Delta(since=since, digest=digest_of(delta), length=len(delta)),),
        )
        return {
            "older": {"digest": since, "zstd": _text(pack(tars[0].read_bytes()))},
            "index": canonical_json(index.model_dump(mode="json")).decode(),
            "parts": [_text(data) for data in packed],
            "delta": _text(delta),
        }


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


if __name__ == "__main__":
    PATH.parent.mkdir(exist_ok=True)
    PATH.write_text(json.dumps(vector(), indent=1) + "\n")
