"""docs/protocol.md: what an agent is written from is complete, and its tables are those of the code."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from muster.agent.promotion import SIGNING_KEYS
from muster.agent.server import ENROL, METADATA, NEW_SECRET, REPORTS, TARGETS
from muster.artifacts.bundle import LIMITS
from muster.kinds.desired import artifact_target, desired_target, signature_target

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "docs"))

from protocol_pages import PARTS  # noqa: E402 - the path to it was only just added

PAGE = (ROOT / "docs/protocol.md").read_text()


@pytest.mark.parametrize("name", PARTS)
def test_a_table_is_that_of_the_code(name: str) -> None:
    """Fields, bounds, phases and codes: run docs/generate.py."""
    begin, end = f"<!-- protocol-{name}:begin -->\n", f"<!-- protocol-{name}:end -->"
    assert PARTS[name]() == PAGE.partition(begin)[2].partition(end)[0]


def test_every_place_that_a_device_calls_is_named() -> None:
    """Paths and targets as the agent spells them."""
    targets = [desired_target("<model>", "<device class>"), SIGNING_KEYS]
    targets += [artifact_target("sha256:<sha256>"), signature_target("sha256:<sha256>")]
    for place in (ENROL, NEW_SECRET, REPORTS, METADATA, TARGETS, *targets, *LIMITS):
        assert f"`{place}`" in PAGE or f" {place}" in PAGE, place


def test_every_file_of_vectors_is_named() -> None:
    """And none that is not there."""
    found = {path.name for path in (ROOT / "tests/vectors").iterdir()}
    assert found == set(re.findall(r"^\| `([a-z]+\.json)` \|", PAGE.partition("\n## ")[0], flags=re.MULTILINE))
