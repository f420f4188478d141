"""The stages of a recipe, each a function from bytes to bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from muster.artifacts.golden import FRAMES, dump_expected, golden_inputs, tensor_of
from muster.artifacts.inference import normalize
from muster.build import onnx_runtime
from muster.build.calibration_table import CalibrationTable, read_table, snap_table
from muster.build.onnx_model import check_bounds, check_valid, check_versions, dump_model, parse_model, strip
from muster.build.onnx_safety.safe_model import SafeModel
from muster.build.reference import Reference
from muster.build.shapes import check_contract, infer_shapes
from muster.build.stages import StageCode
from muster.kinds.errors import Refused

if TYPE_CHECKING:
    from muster.kinds.recipe import CalibrateStage, ImportStage, PreprocessStage, QuantizeStage, SnapStage
    from muster.kinds.release import Inference, OnnxVersions

IMPORT = StageCode("import", 1)
PREPROCESS = StageCode("preprocess", 1)
CALIBRATE = StageCode("calibrate", 1)
SNAP = StageCode("snap", 1)
QUANTIZE = StageCode("quantize", 1)
EXPECT = StageCode("expect", 1)

LARGEST = float(np.finfo(np.float32).max)
MAX_SCORE = 10**12
"""As millionths it still fits into 64 bits."""


def import_model(source: bytes, stage: ImportStage, pins: OnnxVersions) -> SafeModel:
    """The source model in canonical form, after every bound held. Raises `Refused`."""
    if len(source) > stage.max_size:
        raise Refused(
            f"the source model has {len(source)} bytes, the recipe takes {stage.max_size}",
            "raise import.maxSize in the recipe, or export a smaller model",
        )
    model = parse_model(source)
    check_versions(model, pins)
    check_bounds(model)
    check_valid(model)
    return SafeModel(dump_model(model))


def preprocess(imported: bytes, stage: PreprocessStage, inference: Inference) -> bytes:
    """Texts stripped, shapes inferred. Constants are not folded: that would run kernels of this CPU."""
    model = strip(parse_model(imported))
    if stage.infer_shapes:
        model = infer_shapes(model, check_type=True)
    check_contract(model, inference)
    return dump_model(model)


def calibrate(
    model: bytes,
    snapshot: bytes,
    stage: CalibrateStage,
    inference: Inference,
    advanced: Callable[[int, int], None],
) -> bytes:
    """Ranges of every tensor over all frames, in float64, each then rounded to the nearest float32.

    Nearest, not outward: a bound that is a round number in truth may be off by 1e-16, and must come out round.
    """
    inputs = normalize(tensor_of(snapshot, FRAMES), inference.input)
    if not len(inputs):
        raise Refused("the calibration snapshot holds no frames", "put at least one frame into it")
    reference = Reference(model)
    ranges: dict[str, tuple[float, float]] = {}
    for start in range(0, len(inputs), stage.batch):
        for name, value in reference.values(inputs[start : start + stage.batch]).items():
            if not np.abs(value).max() <= LARGEST:
                raise Refused(
                    f"tensor {name} leaves the range of float32 on the calibration snapshot",
                    "look for frames that are not scaled as in training: see input.normalization",
                )
            low, high = ranges.get(name, (np.inf, -np.inf))
            ranges[name] = (min(low, float(value.min())), max(high, float(value.max())))
        advanced(min(start + stage.batch, len(inputs)), len(inputs))
    # Adding zero makes one zero of two.
    nearest = {
        name: (float(np.float32(low)) + 0.0, float(np.float32(high)) + 0.0) for name, (low, high) in ranges.items()
    }
    return CalibrationTable("CalibratedRanges", stage.method, nearest).dump()


def snap(ranges: bytes, stage: SnapStage) -> bytes:
    """The calibration table: every bound rounded outward."""
    return snap_table(read_table(ranges, "CalibratedRanges"), stage.mantissa_bits).dump()


def quantize(model: bytes, table: bytes, stage: QuantizeStage, pins: OnnxVersions) -> bytes:
    """The quantized model, from the table alone. Raises `Refused` if the runtime wrote other versions than pinned."""
    marked = parse_model(model)
    # Otherwise the library warns on the terminal that its own (CPU-dependent) pre-processing was not run.
    marked.metadata_props.add(key="onnx.quant.pre_process", value="onnxruntime.quant")
    written = onnx_runtime.quantize(dump_model(marked), read_table(table, "CalibrationTable"), stage)
    quantized = strip(parse_model(written))
    check_versions(quantized, pins)
    check_bounds(quantized)
    check_valid(quantized)
    data = dump_model(quantized)
    if dump_model(parse_model(data)) != data:
        raise Refused("the quantized model has no canonical form", "report it with the source model")
    return data


def expect(quantized: bytes, golden: bytes, inference: Inference) -> bytes:
    """What the quantized model must answer to the golden snapshot: float64, in whole millionths."""
    scores = Reference(quantized).scores(golden_inputs(golden, inference.input))
    if not np.isfinite(scores).all() or np.abs(scores).max(initial=0) > MAX_SCORE:
        raise Refused(
            f"the golden answers are no finite numbers, or larger than {MAX_SCORE}",
            "look at the frames of the golden snapshot, and at input.normalization",
        )
    return dump_expected(scores)
