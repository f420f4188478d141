"""edit.py: a rollout changes, and nothing else does."""

from __future__ import annotations

import difflib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.kinds.errors import Refused
from muster.kinds.quantity import format_percent
from muster.source.edit import set_rollout
from muster.source.yaml_events import parse
from scratch_fleet import release_yaml


def changed(before: str, after: str) -> list[str]:
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=0)
    return [line for line in lines if line[0] in "+-" and not line.startswith(("+++", "---"))]


def test_only_the_percentages_change():
    """Comments, order, quotes, flow lists and indentation stay."""
    text = release_yaml(cohorts={"canary": "5%"})
    edited = set_rollout(text, {"canary": "100%", "fleet": "25%"})
    assert changed(text, edited) == ['-      canary: "5%"', '+      canary: "100%"', '+      fleet: "25%"']


def test_comments_beside_percentages_stay():
    """A remark behind a percentage is kept when the percentage changes."""
    text = release_yaml().replace('canary: "100%"', "canary: 5%  # until Monday")
    edited = set_rollout(text, {"canary": "25%", "fleet": "100%"})
    assert changed(text, edited) == ["-      canary: 5%  # until Monday", '+      canary: "25%" # until Monday']


def test_a_cohort_that_is_not_named_goes():
    """What is not named gets nothing: its line goes."""
    text = release_yaml()
    assert changed(text, set_rollout(text, {"canary": "100%"})) == ['-      fleet: "100%"']
    empty = set_rollout(text, {})
    assert parse(empty.encode()).data["spec"]["rollout"] == {"cohorts": {}}


def test_the_same_rollout_is_the_same_text():
    """Nothing to do leaves every byte."""
    text = release_yaml()
    assert set_rollout(text, {"fleet": "100%", "canary": "100%"}) == text


@pytest.mark.parametrize(
    ("text", "cohorts"),
    [
        (release_yaml(), {"canary": "5"}),
        (release_yaml(), {"canary": "101%"}),
        ("a: 1\n", {}),
        ("- a\n", {}),
        ("spec: {rollout: {cohorts: 5}}\n", {}),
        ("spec: &a {rollout: {cohorts: {}}}\n", {}),
        ("a: [\n", {}),
    ],
    ids=["no unit", "above 100", "no spec", "a list", "a number", "an anchor", "not YAML"],
)
def test_refused(text, cohorts):
    """What could not be read back is not written."""
    with pytest.raises(Refused):
        set_rollout(text, cohorts)


@given(
    st.dictionaries(
        st.sampled_from(["canary", "fleet", "a", "b-1", "no", "null", "1", "1e3"]), st.integers(0, 1_000_000)
    )
)
def test_any_rollout_reads_back(rollout):
    """Every rollout that can be declared can be edited in and comes back as asked."""
    percentages = {name: format_percent(ppm) for name, ppm in rollout.items()}
    assert parse(set_rollout(release_yaml(), percentages).encode()).data["spec"]["rollout"]["cohorts"] == percentages
