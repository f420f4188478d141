"""Recipe: the declared steps that turn a source model into an artifact. Data, never code.

Left out on purpose, so that they cannot be asked for (`refused_option` says why):
entropy calibration through `quantize_static`, `CalibMaxIntermediateOutputs`, and saved ORT_ENABLE_ALL graphs.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from muster.kinds.quantity import Size
from muster.kinds.resource import AsTuple, Declared

QuantizableOperator = Literal["Conv", "Gemm", "MatMul", "MaxPool", "Relu", "Add"]


class ImportStage(Declared):
    """Bounds on what is taken in."""

    max_size: Size


class PreprocessStage(Declared):
    """Shapes are inferred symbolically; constant folding is absent because it runs CPU-dependent kernels."""

    infer_shapes: bool = True


class CalibrateStage(Declared):
    """Ranges from the calibration snapshot, evaluated in float64 so that they are the same on every CPU."""

    method: Literal["minmax"]
    batch: Annotated[int, Field(ge=1, le=1_024)]


class SnapStage(Declared):
    """Ranges are rounded outward to this many bits of mantissa, which swallows what float64 leaves open."""

    mantissa_bits: Annotated[int, Field(ge=6, le=24)]


class QuantizeStage(Declared):
    """Static QDQ quantization from the pinned calibration table.

    `reduce_range` keeps 7-bit weights, so that int8 does not saturate on x86 without VNNI.
    """

    format: Literal["QDQ"] = "QDQ"
    operators: Annotated[tuple[QuantizableOperator, ...], AsTuple, Field(min_length=1)]
    per_channel: bool
    reduce_range: bool
    activations: Literal["uint8", "int8"]
    weights: Literal["int8"] = "int8"


class Recipe(Declared):
    """The stages, in the order in which they run; `verify` has no options."""

    import_: Annotated[ImportStage, Field(alias="import")]
    preprocess: PreprocessStage
    calibrate: CalibrateStage
    snap: SnapStage
    quantize: QuantizeStage
