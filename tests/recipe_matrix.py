"""Every recipe on every architecture, built by the pipeline: what came out, by digest.

`python recipe_matrix.py` reads a JSON list of [architecture, recipe], and writes a line of JSON for each as soon as it
is built: [architecture, recipe, digests]. Run it under an emulator for another CPU; see docs/reproducibility.md.
"""

from __future__ import annotations

import decimal
import json
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "controller")]

import numpy as np  # noqa: E402

from architectures import IR, OPSET, SMALL, Architecture  # noqa: E402
from muster.artifacts.store import Store  # noqa: E402
from muster.artifacts.tensors import dump_tensors  # noqa: E402
from muster.build.pipeline import BuildInputs, BuildResult, build  # noqa: E402
from muster.kinds.errors import Refused  # noqa: E402
from muster.kinds.recipe import Recipe  # noqa: E402
from muster.kinds.release import Inference, OnnxVersions  # noqa: E402

Cell = tuple[str, str]
"""An architecture and a recipe, by name."""

STATIC = {
    "calibrate": {"method": "minmax", "batch": 4},
    "snap": {"mantissaBits": 10},
    "quantize": {"operators": "?", "perChannel": True, "reduceRange": True, "activations": "uint8"},
}
LAYERS = ["Conv", "Gemm", "MatMul"]
WEIGHTS = {"quantize": {"format": "weights", "operators": LAYERS}}
RECIPES: dict[str, dict[str, Any]] = {
    "static, min-max": STATIC,
    "static, percentile": {**STATIC, "calibrate": {"method": "percentile", "percentile": "99.9%", "batch": 4}},
    "static, entropy": {**STATIC, "calibrate": {"method": "entropy", "batch": 4}},
    "dynamic": {
        "preprocess": {"fixShapes": True},
        "quantize": {"format": "dynamic", "operators": ["Conv", "MatMul"], "perChannel": False, "reduceRange": True},
    },
    "weights only": WEIGHTS,
    "float16": {"quantize": {"format": "float16"}},
    "pruned by magnitude": {"preprocess": {"prune": {"method": "magnitude", "share": "50%"}}, **WEIGHTS},
    "pruned by channels": {"preprocess": {"prune": {"method": "structured", "share": "25%"}}, **STATIC},
    "fused": {"preprocess": {"fuse": "safe"}, **STATIC},
    "fixed shapes": {"preprocess": {"fuse": "safe", "fixShapes": True}, "quantize": {"format": "float32"}},
}


def recipe(name: str, architecture: Architecture) -> Recipe:
    """A recipe for an architecture: static ones quantize its operators."""
    data = {"import": {"maxSize": "64MiB"}, "preprocess": {}, **RECIPES[name]}
    if data["quantize"].get("operators") == "?":
        data["quantize"] = {**data["quantize"], "operators": list(architecture.operators)}
    return Recipe.model_validate(data)


def inputs(name: str, architecture: Architecture, store: Store) -> BuildInputs:
    """What the pipeline takes, with source and snapshots in the store."""
    snapshots = []
    for seed, count in ((1, 4), (2, 2), (3, 2)):
        frames = architecture.frames(count, seed)
        snapshots.append(store.put(dump_tensors({"frames": frames, "labels": np.zeros(count, np.int64)})))
    config = {
        "input": {
            "name": "frame",
            "shape": list(architecture.frame),
            "normalization": {"kind": "scale", "divisor": "255"},
        },
        "output": {"name": "scores", "labels": [str(label) for label in range(architecture.labels)]},
        "thresholds": {"confidence": "0%", "minConfident": "0%"},
    }
    return BuildInputs(
        model=architecture.name,
        version="1.0.0",
        source=store.put(architecture.model),
        calibration=snapshots[0],
        evaluation=snapshots[1],
        golden=snapshots[2],
        tolerance=decimal.Decimal(1),
        recipe=recipe(name, architecture),
        inference=Inference.model_validate(config),
        onnx=OnnxVersions(opset=OPSET, ir=IR),
    )


def built(name: str, architecture: Architecture, store: Store, **options: Any) -> BuildResult:
    """The recipe's artifact, from sources alone."""
    return build(inputs(name, architecture, store), store, **options)


def digests(name: str, architecture: Architecture, store: Store) -> dict[str, str]:
    """What the recipe put out. A refusal is an answer like any other: it must be the same everywhere."""
    try:
        return dict(built(name, architecture, store).outputs.in_order())
    except Refused as refusal:
        return {"refused": str(refusal)}


def matrix(cells: Iterable[Cell]) -> Iterator[tuple[Cell, dict[str, str]]]:
    """Digests per cell, as they come. A stage that two recipes of one architecture share runs once."""
    with tempfile.TemporaryDirectory(prefix="muster-matrix-") as folder:
        for chosen, name in cells:
            yield (chosen, name), digests(name, SMALL[chosen](), Store(Path(folder) / chosen))


if __name__ == "__main__":
    start = time.perf_counter()
    for cell, found in matrix(json.load(sys.stdin)):
        sys.stdout.write(json.dumps([*cell, found]) + "\n")
        sys.stdout.flush()
        sys.stderr.write(f"{', '.join(cell)}: {list(found.values())[-1]} after {time.perf_counter() - start:.0f} s\n")
