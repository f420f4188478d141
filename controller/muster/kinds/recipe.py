"""Recipe: the declared steps that turn a source model into an artifact. Data, never code.

Left out on purpose, so that they cannot be asked for (`refused_option` says why):
entropy calibration through `quantize_static`, `CalibMaxIntermediateOutputs`, and saved ORT_ENABLE_ALL graphs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import Field, model_validator

from muster.kinds.quantity import Size
from muster.kinds.resource import AsTuple, Declared

QuantizableOperator = Literal["Conv", "Gemm", "MatMul", "MaxPool", "Relu", "Add"]


_ENTROPY: Final = (
    "entropy calibration through quantize_static is min-max under another name: of its 128 bins 128 are kept, so that "
    'one threshold is left to choose from; write "method: minmax"'
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
    "calibmaxintermediateoutputs": _DISCARDED,
    "maxintermediateoutputs": _DISCARDED,
    "saveoptimized": _SAVED_GRAPH,
    "optimizedmodelfilepath": _SAVED_GRAPH,
}
_REFUSED_VALUES: Final = {"entropy": _ENTROPY, "ortenableall": _SAVED_GRAPH}


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


class PreprocessStage(_RecipePart):
    """Shapes are inferred symbolically; constant folding is absent because it runs CPU-dependent kernels."""

    infer_shapes: bool = True


class CalibrateStage(_RecipePart):
    """Ranges from the calibration snapshot, evaluated in float64 so that they are the same on every CPU."""

    method: Literal["minmax"]
    batch: Annotated[int, Field(ge=1, le=1_024)]


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


class Recipe(_RecipePart):
    """The stages, in the order in which they run; `verify` has no options."""

    import_: Annotated[ImportStage, Field(alias="import")]
    preprocess: PreprocessStage
    calibrate: CalibrateStage
    snap: SnapStage
    quantize: QuantizeStage
