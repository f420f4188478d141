"""Options that were left out of the recipe on purpose are refused with the reason, not as unknown fields."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from meter_example import release
from muster.kinds.recipe import Recipe, refused_option

REFUSED = [
    ("calibrate", "calibrateMethod", "Entropy", "min-max under another name"),
    ("quantize", "calibrate_method", "MinMax", "calibration inside quantize_static"),
    ("calibrate", "calibMaxIntermediateOutputs", 3, "throws calibration data away"),
    ("calibrate", "CalibMaxIntermediateOutputs", 3, "throws calibration data away"),
    ("quantize", "max_intermediate_outputs", 3, "throws calibration data away"),
    ("preprocess", "saveOptimized", True, "holds kernels for the CPU"),
    ("quantize", "optimization", "ORT_ENABLE_ALL", "holds kernels for the CPU"),
    (None, "saveOptimized", True, "holds kernels for the CPU"),
]


@pytest.mark.parametrize(("stage", "key", "value", "why"), REFUSED)
def test_the_reason_reaches_the_user(stage: str | None, key: str, value: object, why: str) -> None:
    """Whatever stage it stands in and however it is spelt."""
    recipe = release().spec.recipe.model_dump(mode="json")
    (recipe if stage is None else recipe[stage])[key] = value
    with pytest.raises(ValidationError, match=why):
        Recipe.model_validate(recipe)
    assert why in str(refused_option(key, value))


@pytest.mark.parametrize(
    ("key", "value"), [("method", "minmax"), ("method", "entropy"), ("batch", 32), ("operators", ["Conv"])]
)
def test_what_is_offered_is_not_refused(key: str, value: object) -> None:
    """The table speaks only of what it names."""
    assert refused_option(key, value) is None
