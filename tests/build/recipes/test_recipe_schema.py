"""What a recipe can say; and that those written before it could say more still mean and digest the same."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from meter_example import release
from muster.kinds.recipe import Recipe

PINS = {
    "1.0.0": "sha256:13eb603ae2bdc05602026561d96d05ab0a40f470ff7da829dca655c0c8147031",
    "1.1.0": "sha256:195570fe4278f6fbcd479b6331854f511fec575a56b3efedbaf93fbd05c2f986",
    "1.2.0": "sha256:6046a9712da0e43d438df2e6385b8a0ca7a4a1a70901a660f129549f4b1b2692",
}
BARE = {"import": {"maxSize": "1MiB"}, "preprocess": {}}
STATIC = {
    **BARE,
    "calibrate": {"method": "minmax", "batch": 8},
    "snap": {"mantissaBits": 10},
    "quantize": {"operators": ["Conv"], "perChannel": True, "reduceRange": True, "activations": "uint8"},
}
DYNAMIC = {"format": "dynamic", "operators": ["MatMul"], "perChannel": False, "reduceRange": False}
FITS: dict[str, dict[str, Any]] = {
    "percentile": {**STATIC, "calibrate": {"method": "percentile", "percentile": "99.99%", "batch": 8}},
    "entropy": {**STATIC, "calibrate": {"method": "entropy", "batch": 8}},
    "dynamic": {**BARE, "preprocess": {"fixShapes": True}, "quantize": DYNAMIC},
    "weights": {**BARE, "quantize": {"format": "weights", "operators": ["Conv"]}},
    "float16": {**BARE, "quantize": {"format": "float16"}},
    "pruned": {
        **BARE,
        "preprocess": {"fuse": "safe", "prune": {"method": "structured", "share": "25%"}},
        "quantize": {"format": "float32"},
    },
}
DOES_NOT_FIT: dict[str, tuple[dict[str, Any], str]] = {
    "no format of ours": ({**BARE, "quantize": {"format": "int4"}}, "write QDQ, dynamic, weights"),
    "a format that is no text": ({**BARE, "quantize": {"format": 3}}, "write QDQ, dynamic, weights"),
    "ranges without a table": ({**STATIC, "calibrate": None}, "calibrate: stands with quantize.format QDQ"),
    "a table without ranges": ({**STATIC, "quantize": {"format": "float16"}}, "stands with quantize.format QDQ"),
    "dynamic over a batch": ({**BARE, "quantize": DYNAMIC}, "fixShapes: true"),
    "a percentile for min-max": (
        {**STATIC, "calibrate": {"method": "minmax", "percentile": "99%", "batch": 8}},
        "only there",
    ),
    "no percentile": ({**STATIC, "calibrate": {"method": "percentile", "batch": 8}}, "only there"),
    "everything pruned": (
        {**FITS["float16"], "preprocess": {"prune": {"method": "magnitude", "share": "100%"}}},
        "less than 1000000",
    ),
    "an operator without weights": ({**BARE, "quantize": {"format": "weights", "operators": ["Relu"]}}, "'Conv'"),
}


@pytest.mark.parametrize("version", PINS)
def test_recipes_from_before_keep_their_digests(version: str) -> None:
    """A release's pins are what they were when recipes had no more to say."""
    assert PINS[version] == release(version).pins


@pytest.mark.parametrize("name", FITS)
def test_a_recipe_reads_back_as_it_was_written(name: str) -> None:
    """What says nothing is not written."""
    recipe = Recipe.model_validate(FITS[name])
    written = recipe.model_dump(mode="json")
    assert recipe == Recipe.model_validate(written)
    assert None not in [*written.values(), *written["preprocess"].values()]
    assert set(FITS[name]) == set(written)


@pytest.mark.parametrize("name", DOES_NOT_FIT)
def test_what_does_not_fit_is_refused_with_what_would(name: str) -> None:
    """Stages that contradict each other are a fault of the recipe, not of the build."""
    data, why = DOES_NOT_FIT[name]
    with pytest.raises(ValidationError, match=why):
        Recipe.model_validate(data)


@pytest.mark.parametrize(("name", "saturates"), [("dynamic", True), ("weights", False), ("float16", False)])
def test_only_int8_arithmetic_can_saturate(name: str, saturates: bool) -> None:
    """What the gate on instruction sets asks of a recipe."""
    assert saturates == Recipe.model_validate(FITS[name]).quantize.saturates
