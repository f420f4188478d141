"""Recipe: the declared steps that turn a source model into an artifact. Data, never code.

Left out on purpose, so that they cannot be asked for (`refused_option` says why):
calibration inside `quantize_static`, `CalibMaxIntermediateOutputs`, and saved ORT_ENABLE_ALL graphs.

A field that came later is left out where it says nothing, so that recipes written before it keep their digests.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from muster.kinds.quantity import PPM, Percent, Size
from muster.kinds.resource import AsTuple, Declared

QuantizableOperator = Literal[
    "Add",
    "AveragePool",
    "Clip",
    "Concat",
    "Conv",
    "Flatten",
    "Gemm",
    "GlobalAveragePool",
    "LayerNormalization",
    "MatMul",
    "MaxPool",
    "Mul",
    "Relu",
    "Reshape",
    "Sigmoid",
    "Softmax",
    "Transpose",
]
WeightedOperator = Literal["Conv", "Gemm", "MatMul"]


_INSIDE: Final = (
    "calibration inside quantize_static depends on the CPU, and its entropy is min-max under another name (of 128 bins "
    '128 are kept); write calibrate.method: "minmax", "percentile" or "entropy", computed in float64'
)
_DISCARDED: Final = (
    "CalibMaxIntermediateOutputs throws calibration data away: ranges come from the last batches alone "
    "(microsoft/onnxruntime#18893, #32577); leave it out, ranges are merged batch by batch anyway"
)
_SAVED_GRAPH: Final = (
    "a graph saved under ORT_ENABLE_ALL holds kernels for the CPU that saved it (NCHWc layout), so that its digest and "
    "its answers differ elsewhere; leave it out, the device optimises when it loads"
)
_REFUSED_KEYS: Final = {
    "calibratemethod": _INSIDE,
    "calibrationmethod": _INSIDE,
    "calibmaxintermediateoutputs": _DISCARDED,
    "maxintermediateoutputs": _DISCARDED,
    "saveoptimized": _SAVED_GRAPH,
    "optimizedmodelfilepath": _SAVED_GRAPH,
}
_REFUSED_VALUES: Final = {"ortenableall": _SAVED_GRAPH}


def refused_option(key: str, value: Any) -> str | None:
    """Why a recipe may not say `key: value`; None if nothing here speaks against it. Case and dashes do not matter."""
    if reason := _REFUSED_KEYS.get(_plain(key)):
        return reason
    return _REFUSED_VALUES.get(_plain(value)) if isinstance(value, str) else None


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())


class _RecipePart(Declared):
    """Gives the reason for an option that was left out on purpose, where others are only unknown fields."""

    @model_validator(mode="before")
    @classmethod
    def _refuse(cls, value: Any) -> Any:
        for key, item in value.items() if isinstance(value, Mapping) else ():
            if isinstance(key, str) and (reason := refused_option(key, item)):
                raise ValueError(f"{key}: {reason}")
        return value


class ImportStage(_RecipePart):
    """Bounds on what is taken in."""

    max_size: Size


class Pruning(_RecipePart):
    """Weights or channels of Conv, Gemm and MatMul that are given up.

    `magnitude`: in each tensor this share of its weights, the smallest, becomes zero. `structured`: of each layer's
    output channels this share, those with the smallest sum of magnitudes, is cut out of the graph, where no other
    path needs it.
    """

    method: Literal["magnitude", "structured"]
    share: Annotated[Percent, Field(gt=0, lt=PPM)]


def _absent(value: Any) -> bool:
    return not value


class PreprocessStage(_RecipePart):
    """In this order: `fuse`, `prune`, `fix_shapes`, then shapes are inferred symbolically.

    Constant folding is absent because it runs CPU-dependent kernels; `fuse: safe` folds batch normalization into the
    convolution before it and drops what does nothing, in float64. `fix_shapes` makes frames come one at a time.
    """

    infer_shapes: bool = True
    fuse: Annotated[Literal["safe"] | None, Field(exclude_if=_absent)] = None
    prune: Annotated[Pruning | None, Field(exclude_if=_absent)] = None
    fix_shapes: Annotated[bool, Field(exclude_if=_absent)] = False


class CalibrateStage(_RecipePart):
    """Ranges from the calibration snapshot, evaluated in float64 so that they are the same on every CPU.

    `percentile` keeps that share of a tensor's values, the rest is cut half below and half above; `entropy` cuts
    where 8 bits lose least (least Kullback-Leibler divergence).
    """

    method: Literal["minmax", "percentile", "entropy"]
    batch: Annotated[int, Field(ge=1, le=1_024)]
    percentile: Annotated[Percent | None, Field(exclude_if=_absent)] = None

    @model_validator(mode="after")
    def _percentile_where_it_is_read(self) -> CalibrateStage:
        if (self.method == "percentile") != bool(self.percentile):
            raise ValueError(
                'percentile: stands with "method: percentile" and only there, such as percentile: "99.99%"'
            )
        return self


class SnapStage(_RecipePart):
    """Ranges are rounded outward to this many bits of mantissa, which swallows what float64 leaves open."""

    mantissa_bits: Annotated[int, Field(ge=6, le=24)]


class QuantizeStage(_RecipePart):
    """Static QDQ quantization from the pinned calibration table.

    `reduce_range` keeps 7-bit weights, so that int8 does not saturate on x86 without VNNI.
    """

    format: Literal["QDQ"] = "QDQ"
    operators: Annotated[tuple[QuantizableOperator, ...], AsTuple, Field(min_length=1)]
    per_channel: bool
    reduce_range: bool
    activations: Literal["uint8", "int8"]
    weights: Literal["int8"] = "int8"

    @property
    def saturates(self) -> bool:
        """True if 8-bit weights meet 8-bit activations."""
        return not self.reduce_range


class DynamicStage(_RecipePart):
    """int8 weights, and activations whose range is found anew for each frame. No calibration.

    A Gemm is taken as the MatMul in it.
    """

    format: Literal["dynamic"]
    operators: Annotated[tuple[Literal["Conv", "MatMul"], ...], AsTuple, Field(min_length=1)]
    per_channel: bool
    reduce_range: bool

    @property
    def saturates(self) -> bool:
        """True if 8-bit weights meet 8-bit activations."""
        return not self.reduce_range


class WeightsStage(_RecipePart):
    """int8 weights with one scale per output channel, everything else in float32. No calibration."""

    format: Literal["weights"]
    operators: Annotated[tuple[WeightedOperator, ...], AsTuple, Field(min_length=1)]

    @property
    def saturates(self) -> bool:
        """False: the arithmetic is float32."""
        return False


class FloatStage(_RecipePart):
    """Weights and arithmetic in float16 between a float32 input and output, or float32 as it was. No calibration."""

    format: Literal["float16", "float32"]

    @property
    def saturates(self) -> bool:
        """False: nothing is int8."""
        return False


def _format(value: Any) -> str | None:
    found = value.get("format", "QDQ") if isinstance(value, Mapping) else getattr(value, "format", None)
    return {"QDQ": "QDQ", "dynamic": "dynamic", "weights": "weights", "float16": "float", "float32": "float"}.get(
        found if isinstance(found, str) else ""
    )


AnyQuantizeStage = Annotated[
    Annotated[QuantizeStage, Tag("QDQ")]
    | Annotated[DynamicStage, Tag("dynamic")]
    | Annotated[WeightsStage, Tag("weights")]
    | Annotated[FloatStage, Tag("float")],
    Discriminator(
        _format,
        custom_error_type="format",
        custom_error_message="format: write QDQ, dynamic, weights, float16 or float32",
    ),
]


class Recipe(_RecipePart):
    """The stages, in the order in which they run; `verify` has no options.

    `calibrate` and `snap` stand with the format QDQ and only there: without them the calibration table is empty.
    """

    import_: Annotated[ImportStage, Field(alias="import")]
    preprocess: PreprocessStage
    calibrate: Annotated[CalibrateStage | None, Field(exclude_if=_absent)] = None
    snap: Annotated[SnapStage | None, Field(exclude_if=_absent)] = None
    quantize: AnyQuantizeStage

    @model_validator(mode="after")
    def _stages_fit(self) -> Recipe:
        ranges = self.quantize.format == "QDQ"
        for name, stage in (("calibrate", self.calibrate), ("snap", self.snap)):
            if (stage is not None) != ranges:
                raise ValueError(f"{name}: stands with quantize.format QDQ and only there")
        if self.quantize.format == "dynamic" and not self.preprocess.fix_shapes:
            raise ValueError(
                "quantize: dynamic ranges are those of a whole batch, so that an answer would depend on the frames "
                'beside it; write "fixShapes: true" under preprocess'
            )
        return self
