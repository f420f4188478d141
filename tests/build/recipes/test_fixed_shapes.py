"""With fixed shapes frames come one at a time, wherever the model runs; with dynamic ranges that decides the answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from architectures import transformer
from muster.agent.runtime import OnnxRuntime
from muster.artifacts.store import Store
from muster.build.onnx_runtime import Session
from muster.build.reference import Reference
from recipe_matrix import built, inputs

ARCHITECTURE = transformer()
FRAMES = ARCHITECTURE.frames(5, 4) / np.float32(255)


@pytest.fixture(scope="module", params=["fixed shapes", "dynamic"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    store = Store(tmp_path_factory.mktemp("fixed") / "store")
    return store.get(built(request.param, ARCHITECTURE, store).outputs.quantized)


def test_every_shape_is_a_number(model: bytes) -> None:
    """Of input, output, and every tensor that was inferred."""
    graph = onnx.load_from_string(model).graph
    values = [*graph.input, *graph.output, *graph.value_info]
    sizes = [dimension.HasField("dim_value") for one in values for dimension in one.type.tensor_type.shape.dim]
    assert len(sizes) > 6
    assert all(sizes)


def test_reference_builder_and_device_answer_frame_by_frame(model: bytes, tmp_path: Path) -> None:
    """Five frames at once are five answers, each that of its frame alone."""
    config = inputs("dynamic", ARCHITECTURE, Store(tmp_path / "store")).inference
    device = OnnxRuntime().load(model, "CPUExecutionProvider", config)
    runs = {
        "reference": Reference(model).scores,
        "builder": lambda frames: Session(model).run("frame", frames),
        "device": device.run,
    }
    for name, run in runs.items():
        together = run(FRAMES)
        assert together.shape == (5, 10), name
        alone = np.concatenate([run(FRAMES[index : index + 1]) for index in range(5)])
        assert (together == alone).all(), name
    assert (runs["builder"](FRAMES) == runs["device"](FRAMES)).all()
