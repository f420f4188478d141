"""Every setting of a recipe states what it computes with, and is in the matrix that is compared across CPUs."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from architectures import SMALL
from muster.build.recipes.determinism import DETERMINISM
from muster.kinds.recipe import (
    CalibrateStage,
    DynamicStage,
    FloatStage,
    PreprocessStage,
    Pruning,
    QuantizeStage,
    Recipe,
    WeightsStage,
)
from recipe_matrix import RECIPES, recipe


def _choices(kind: Any, field: str) -> tuple[str, ...]:
    return get_args(kind.model_fields[field].annotation)


STATED = {row.setting for row in DETERMINISM}
WANTED = {
    *(f"calibrate: {method}" for method in _choices(CalibrateStage, "method")),
    *(f"preprocess.prune: {method}" for method in _choices(Pruning, "method")),
    *(
        f"quantize: {name}"
        for kind in (QuantizeStage, DynamicStage, WeightsStage, FloatStage)
        for name in _choices(kind, "format")
    ),
}


def _settings(found: Recipe) -> set[str]:
    named: dict[str, object] = {
        "preprocess": True,
        "preprocess.fuse: safe": found.preprocess.fuse,
        "preprocess.fixShapes": found.preprocess.fix_shapes,
        "snap": found.snap,
        f"quantize: {found.quantize.format}": True,
    }
    if found.preprocess.prune:
        named[f"preprocess.prune: {found.preprocess.prune.method}"] = True
    if found.calibrate:
        named[f"calibrate: {found.calibrate.method}"] = True
    return {name for name, stands in named.items() if stands}


def test_every_method_and_format_is_stated() -> None:
    """A choice that the schema gains must say what makes it the same everywhere."""
    assert WANTED <= STATED
    assert set(PreprocessStage.model_fields) == {"infer_shapes", "fuse", "prune", "fix_shapes"}


@pytest.mark.parametrize("row", DETERMINISM, ids=lambda row: row.setting)
def test_the_matrix_shows_every_statement(row: Any) -> None:
    """The recipe that a row names has its setting."""
    assert row.setting in _settings(recipe(row.shown_by, SMALL["mobilenet"]()))


def test_the_matrix_holds_nothing_unstated() -> None:
    """Nor does a recipe of it have a setting without a row."""
    for name in RECIPES:
        assert _settings(recipe(name, SMALL["transformer"]())) <= STATED
