"""The stages of a recipe, each a function from bytes to bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from muster.artifacts.golden import FRAMES, dump_expected, golden_inputs, tensor_of
from muster.artifacts.inference import normalize
from muster.build import onnx_runtime, onnx_tools
from muster.build.calibration_table import CalibrationTable, read_table, snap_table
from muster.build.onnx_model import (
    check_bounds,
    check_valid,
    check_versions,
    dump_model,
    parse_model,
    parse_source,
    strip,
)
from muster.build.onnx_safety.safe_model import SafeModel
from muster.build.recipes.channels import prune_channels
from muster.build.recipes.fusion import fuse
from muster.build.recipes.histograms import Range, clipped_ranges
from muster.build.recipes.pruning import prune_weights
from muster.build.recipes.shapes_fixed import fix_shapes
from muster.build.recipes.weights import quantize_weights
from muster.build.reference import Float64, Reference
from muster.build.shapes import check_contract, infer_shapes
from muster.build.stages import StageCode
from muster.kinds.errors import Refused

if TYPE_CHECKING:
    from muster.kinds.recipe import AnyQuantizeStage, CalibrateStage, ImportStage, PreprocessStage, SnapStage
    from muster.kinds.release import Inference, OnnxVersions

IMPORT = StageCode("import", 1)
PREPROCESS = StageCode("preprocess", 1)
CALIBRATE = StageCode("calibrate", 2)
SNAP = StageCode("snap", 1)
QUANTIZE = StageCode("quantize", 1)
EXPECT = StageCode("expect", 2)

LARGEST = float(np.finfo(np.float32).max)
MANTISSA_BITS = 24
"""Of a float32."""
MAX_SCORE = 10**12
"""As millionths it still fits into 64 bits."""


def import_model(source: bytes, stage: ImportStage, pins: OnnxVersions) -> SafeModel:
    """The source model in canonical form, after every bound held. Raises `Refused`."""
    if len(source) > stage.max_size:
        raise Refused(
            f"the source model has {len(source)} bytes, the recipe takes {stage.max_size}",
            "raise import.maxSize in the recipe, or export a smaller model",
        )
    model = parse_source(source)
    check_versions(model, pins)
    check_bounds(model)
    check_valid(model)
    return SafeModel(dump_model(model))


def preprocess(imported: bytes, stage: PreprocessStage, inference: Inference) -> bytes:
    """Texts stripped, fused, pruned and fixed as the recipe says, shapes inferred.

    Constants are not folded: that would run kernels of this CPU.
    """
    model = strip(parse_model(imported))
    # As it came: the axis that counts frames is free until it is fixed.
    check_contract(model, inference)
    if stage.fuse:
        model = fuse(model)
    if stage.prune:
        prune = prune_weights if stage.prune.method == "magnitude" else prune_channels
        model = prune(model, stage.prune.share)
    if stage.fix_shapes:
        model = fix_shapes(model)
    if stage.infer_shapes:
        model = infer_shapes(model, check_type=True)
    check_valid(model)
    return dump_model(model)


def calibrate(
    model: bytes,
    snapshot: bytes,
    stage: CalibrateStage | None,
    inference: Inference,
    advanced: Callable[[int, int], None],
) -> bytes:
    """Ranges of every tensor over all frames, in float64, each then rounded to the nearest float32.

    Nearest, not outward: a bound that is a round number in truth may be off by 1e-16, and must come out round.
    A method that cuts ranges looks at the frames twice: for the widest values, then for how often each occurs.
    Without a stage no tensor has a range.
    """
    if stage is None:
        return CalibrationTable("CalibratedRanges", "none", {}).dump()
    inputs = normalize(tensor_of(snapshot, FRAMES), inference.input)
    if not len(inputs):
        raise Refused("the calibration snapshot holds no frames", "put at least one frame into it")
    reference, size = Reference(model), stage.batch
    passes = 1 if stage.method == "minmax" else 2
    done = 0

    def batches() -> Iterator[dict[str, Float64]]:
        nonlocal done
        for start in range(0, len(inputs), size):
            yield reference.values(inputs[start : start + size])
            done += len(inputs[start : start + size])
            advanced(done, passes * len(inputs))

    ranges = _widest(batches())
    if stage.method != "minmax":
        ranges = clipped_ranges(ranges, batches(), stage.percentile)
    return CalibrationTable("CalibratedRanges", stage.method, ranges).dump()


def _widest(batches: Iterator[dict[str, Float64]]) -> dict[str, Range]:
    ranges: dict[str, Range] = {}
    for values in batches:
        for name, value in values.items():
            if not np.abs(value).max() <= LARGEST:
                raise Refused(
                    f"tensor {name} leaves the range of float32 on the calibration snapshot",
                    "look for frames that are not scaled as in training: see input.normalization",
                )
            low, high = ranges.get(name, (np.inf, -np.inf))
            ranges[name] = (min(low, float(value.min())), max(high, float(value.max())))
    # Adding zero makes one zero of two.
    return {name: (float(np.float32(low)) + 0.0, float(np.float32(high)) + 0.0) for name, (low, high) in ranges.items()}


def snap(ranges: bytes, stage: SnapStage | None) -> bytes:
    """The calibration table: every bound rounded outward. Without a stage it is empty."""
    bits = stage.mantissa_bits if stage is not None else MANTISSA_BITS
    return snap_table(read_table(ranges, "CalibratedRanges"), bits).dump()


def quantize(model: bytes, table: bytes, stage: AnyQuantizeStage, pins: OnnxVersions) -> bytes:
    """The artifact's model, from the table alone. Raises `Refused` if the runtime wrote other versions than pinned."""
    written = _converted(model, table, stage)
    quantized = strip(parse_model(written))
    check_versions(quantized, pins)
    check_bounds(quantized)
    check_valid(quantized)
    data = dump_model(quantized)
    if dump_model(parse_model(data)) != data:
        raise Refused("the quantized model has no canonical form", "report it with the source model")
    return data


def _converted(model: bytes, table: bytes, stage: Any) -> bytes:
    if stage.format == "weights":
        return dump_model(quantize_weights(parse_model(model), stage.operators))
    if stage.format == "float16":
        return onnx_tools.to_float16(model)
    if stage.format == "float32":
        return model
    marked = parse_model(model)
    # Otherwise the library warns on the terminal that its own (CPU-dependent) pre-processing was not run.
    marked.metadata_props.add(key="onnx.quant.pre_process", value="onnxruntime.quant")
    if stage.format == "dynamic":
        return onnx_tools.quantize_dynamic(dump_model(marked), stage)
    return onnx_runtime.quantize(dump_model(marked), read_table(table, "CalibrationTable"), stage)


def expect(quantized: bytes, golden: bytes, inference: Inference) -> bytes:
    """What the quantized model must answer to the golden snapshot: float64, in whole millionths."""
    scores = Reference(quantized).scores(golden_inputs(golden, inference.input))
    if not np.isfinite(scores).all() or np.abs(scores).max(initial=0) > MAX_SCORE:
        raise Refused(
            f"the golden answers are no finite numbers, or larger than {MAX_SCORE}",
            "look at the frames of the golden snapshot, and at input.normalization",
        )
    return dump_expected(scores)
