"""What makes each stage the same on every CPU, as data: docs/reproducibility.md shows it, tests/build/recipes holds it.

`shown_by`: a recipe of tests/recipe_matrix.py that has the setting, and whose artifact is compared across CPUs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Determinism:
    """One setting of a recipe: what it computes with, and what is left that could differ."""

    setting: str
    computes: str
    leaves: str
    shown_by: str


_NOTHING: Final = "nothing"
_ROUNDING: Final = "a bound whose digits beyond float64 decide how it rounds to float32; snapping hides most of them"

DETERMINISM: Final = (
    Determinism("preprocess", "no number: texts are dropped, shapes inferred", _NOTHING, "static, min-max"),
    Determinism(
        "preprocess.fuse: safe",
        "each weight by itself, in float64 by +, -, x, / and square root, rounded to float32 once",
        _NOTHING,
        "fused",
    ),
    Determinism(
        "preprocess.prune: magnitude",
        "no arithmetic: magnitudes are compared, ties go by position",
        _NOTHING,
        "pruned by magnitude",
    ),
    Determinism(
        "preprocess.prune: structured",
        "exactly rounded sums (`math.fsum`), compared, ties by position",
        _NOTHING,
        "pruned by channels",
    ),
    Determinism("preprocess.fixShapes", "no number", _NOTHING, "fixed shapes"),
    Determinism(
        "calibrate: minmax", "the whole network in float64, bounds rounded to float32", _ROUNDING, "static, min-max"
    ),
    Determinism(
        "calibrate: percentile",
        "as minmax, then counts of values rounded to float32 in bins whose edges are float32, in whole numbers",
        f"{_ROUNDING}; a value whose digits beyond float64 decide its bin, where one count decides the bound",
        "static, percentile",
    ),
    Determinism(
        "calibrate: entropy",
        "as percentile, then divergences in whole numbers, their logarithm made of +, x and /",
        f"{_ROUNDING}; a value whose digits beyond float64 decide its bin, where one count decides the threshold",
        "static, entropy",
    ),
    Determinism("snap", "exact: a bound is moved to the next number of few digits", _NOTHING, "static, min-max"),
    Determinism(
        "quantize: QDQ",
        "from the pinned table alone; weights by numpy, element by element (onnxruntime)",
        _NOTHING,
        "static, min-max",
    ),
    Determinism(
        "quantize: dynamic", "weights by numpy, element by element (onnxruntime); no table", _NOTHING, "dynamic"
    ),
    Determinism("quantize: weights", "each weight by itself, in float64", _NOTHING, "weights only"),
    Determinism("quantize: float16", "each weight rounded by itself (onnxruntime)", _NOTHING, "float16"),
    Determinism("quantize: float32", "no number", _NOTHING, "fixed shapes"),
)
