"""Canonical JSON, identifiers, the phase table, and the strictness of declared values."""

from __future__ import annotations

import json
from typing import get_args

import pytest
import rfc8785
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from fleets import INFERENCE, make_release
from muster.kinds.canonical import canonical_json
from muster.kinds.digest import DeviceId, Digest, Name, Version, version_key
from muster.kinds.phases import TRANSITIONS, TRIED, Phase, mermaid
from muster.kinds.release import Inference, Release

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(plain)
def test_canonical_json_is_json_and_ignores_order(value: object) -> None:
    """It reads back as the value; the order in which keys were added leaves no trace."""
    assert json.loads(canonical_json(value)) == value
    if isinstance(value, dict):
        assert canonical_json(dict(reversed(value.items()))) == canonical_json(value)


inner_text = st.text(st.characters(exclude_categories=["Cs"], min_codepoint=0))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | inner_text,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(inner_text, inner, max_size=4),
        max_leaves=12,
    )
)
@example({"\ufb33": 1, "\U0001f600": 2, "\r": 3, "\x7f": [{"\U00010000": {}, "\uffff": "\b\x1f"}]})
def test_canonical_json_is_that_of_rfc_8785(value: object) -> None:
    """Another implementation writes the same bytes: order by UTF-16, escapes, no spaces."""
    assert canonical_json(value) == rfc8785.dumps(value)


@pytest.mark.parametrize("value", [1.5, {"a": [0.0]}, {1: 2}], ids=["float", "float inside", "number as key"])
def test_canonical_json_refuses_what_has_no_one_text(value: object) -> None:
    """Floats and keys that are no strings have several spellings."""
    with pytest.raises(TypeError):
        canonical_json(value)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (Digest, "sha256:" + "A" * 64),
        (Digest, "sha256:" + "a" * 63),
        (Digest, "a" * 64),
        (Digest, "sha256:" + "a" * 64 + "\n"),
        (Name, "Meter"),
        (Name, "-a"),
        (Name, "a/b"),
        (Name, ".."),
        (Name, "a" * 64),
        (Version, "1.2"),
        (Version, "01.2.3"),
        (Version, "1.2.3-rc1"),
        (Version, "latest"),
        (DeviceId, "../x"),
        (DeviceId, ""),
    ],
)
def test_identifiers_that_are_refused(kind: object, text: str) -> None:
    """Nothing that could float, leave a folder, or be written in two ways."""
    with pytest.raises(ValidationError):
        TypeAdapter(kind).validate_python(text)


def test_versions_sort_by_number() -> None:
    """1.10.0 is newer than 1.9.9."""
    assert max(["1.9.9", "1.10.0", "0.99.0"], key=version_key) == "1.10.0"


def test_the_phase_table_reaches_every_phase_and_only_known_ones() -> None:
    """Every phase but the first is entered by some event, and the diagram shows all of them."""
    phases = set(get_args(Phase))
    used = {phase for (phase, _), _ in TRANSITIONS.items()} | set(TRANSITIONS.values())
    assert used == phases
    assert phases - set(TRANSITIONS.values()) == {"eligible"}
    assert phases > TRIED
    assert all(phase.replace("-", "_") in mermaid() for phase in phases)


def test_a_release_reads_back_as_written() -> None:
    """What is written as JSON is the same release again, under its YAML names only."""
    release = make_release("1.0.0", {"fleet": "5%"})
    text = release.model_dump_json(by_alias=True)
    assert Release.model_validate_json(text, by_alias=True, by_name=False) == release
    assert "trainingCommit" in text
    assert "training_commit" not in text


def test_the_rollout_is_not_part_of_any_pin() -> None:
    """Widening a release changes nothing but its rollout."""
    narrow, wide = make_release("1.0.0", {"fleet": "5%"}), make_release("1.0.0", {"fleet": "100%"})
    pins = {name: value for name, value in narrow.spec if name != "rollout"}
    assert pins == {name: value for name, value in wide.spec if name != "rollout"}


def test_config_version_follows_the_config() -> None:
    """Any change of the inference config is another config_version."""
    changed = {**INFERENCE, "thresholds": {"confidence": "51%", "minConfident": "60%"}}
    assert Inference.model_validate(INFERENCE).config_version != Inference.model_validate(changed).config_version
