"""Paths of rules: what a pattern means, and that no path makes it slow."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.check.paths import matches

MEANT = [
    pytest.param("policies/default.yaml", "policies/default.yaml", id="a file"),
    pytest.param("policies", "policies/freezes/a.yaml", id="a folder means all below"),
    pytest.param("policies", "policies", id="what replaces a folder"),
    pytest.param("policies/**", "policies", id="what replaces a folder that is written with any depth"),
    pytest.param("releases/*/1.yaml", "releases/meter/1.yaml", id="any one folder"),
    pytest.param("releases/*.yaml", "releases/a.yaml", id="any name of an ending"),
    pytest.param("**", "a/b/c", id="everything"),
    pytest.param("**/agent.py", "agent.py", id="any depth is also none"),
    pytest.param("controller/**/agent/*.py", "controller/muster/agent/loop.py", id="any depth between"),
    pytest.param("a/**/**/b", "a/b", id="any depth twice"),
    pytest.param("**/agent", "x/agent/y/z", id="a folder at any depth"),
    pytest.param("a.b", "a.b/c", id="a folder with a dot"),
]
NOT_MEANT = [
    pytest.param("policies", "policies-old/a.yaml", id="a name that goes on"),
    pytest.param("policies", "docs/policies/a.yaml", id="the same name elsewhere"),
    pytest.param("releases/*", "releases/meter/1.yaml", id="a star stays within its folder"),
    pytest.param("*.py", "controller/a.py", id="a star at the top"),
    pytest.param("policies", "Policies/a.yaml", id="another case"),
    pytest.param("a.b", "axb", id="a dot is a dot"),
    pytest.param("policies/default.yaml", "policies", id="the folder above"),
    pytest.param("**/agent/*.py", "agent/deep/x.py", id="a star after any depth"),
]


@pytest.mark.parametrize(("pattern", "path"), MEANT)
def test_a_pattern_means(pattern: str, path: str) -> None:
    """`*` is one folder, `**` any depth, a plain name everything below it."""
    assert matches(pattern, path)


@pytest.mark.parametrize(("pattern", "path"), NOT_MEANT)
def test_a_pattern_does_not_mean(pattern: str, path: str) -> None:
    """Nothing that only looks alike is meant."""
    assert not matches(pattern, path)


def test_the_worst_pattern_on_the_longest_path_ends() -> None:
    """Many stars on a long path that fits almost do not multiply."""
    assert not matches("**/a/" * 39 + "b.c", "a/" * 2_000 + "b.d")
    assert not matches("*a" * 99 + "*b", "a" * 4_000)


@given(st.text(alphabet="ab*/.", min_size=1, max_size=40), st.text(alphabet="ab/.\n\u202e", max_size=60))
def test_any_pattern_answers_any_path(pattern: str, path: str) -> None:
    """Whatever is asked, the answer is yes or no."""
    assert matches(pattern, path) in (True, False)


@given(st.lists(st.text(alphabet="ab.", min_size=1, max_size=5), min_size=1, max_size=6))
def test_a_plain_path_means_itself_and_what_is_below(segments: list[str]) -> None:
    """Without stars a pattern means its own path and everything below it."""
    path = "/".join(segments)
    assert matches(path, path)
    assert matches(path, f"{path}/below/it")
