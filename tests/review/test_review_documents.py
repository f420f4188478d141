"""Documents of a fleet whose program has learned an error code since they were written."""

from __future__ import annotations

from pathlib import Path

import pytest

from muster.check.documents.tree import COMPONENTS
from reviews import Proposal
from scratch_fleet import fleet_files

ROOT = Path(__file__).resolve().parents[2]
KEPT = (COMPONENTS, "policies/owners.yaml", "docs/diagrams/*.mmd", "docs/playbooks/*.md")
BEHIND, KNOWN = "undeclared", "recalled"
UPDATE = "docs/diagrams/update.mmd"


def without(code: str, text: str) -> str:
    """A list of codes in YAML, or in the line of a playbook, without this one."""
    return text.replace(f"{code}, ", "", 1).replace(f"`{code}`, ", "", 1).replace(f", `{code}`", "", 1)


@pytest.fixture
def proposal(tmp_path: Path) -> Proposal:
    """The documents of this repository, as if nobody had heard of one error code yet."""
    found = {str(path.relative_to(ROOT)): path.read_text() for name in KEPT for path in ROOT.glob(name)}
    return Proposal(
        tmp_path / "fleet", {**fleet_files(), **{path: without(BEHIND, text) for path, text in found.items()}}
    )


def said(proposal: Proposal) -> list[str]:
    return [one.message for one in proposal.review().verdicts if one.rule == "document/error-code"]


def test_what_the_base_is_behind_in_blocks_no_change(proposal: Proposal) -> None:
    """Another program than the one that was asked when the base was merged: not the doing of this change."""
    proposal.change({UPDATE: (proposal.folder / UPDATE).read_text() + "%% Read from the top.\n"})
    assert said(proposal) == []


def test_a_code_that_a_change_takes_away_blocks_it(proposal: Proposal) -> None:
    """And is named alone."""
    text = (proposal.folder / COMPONENTS).read_text()
    assert f", {KNOWN}]" in text
    proposal.change({COMPONENTS: text.replace(f", {KNOWN}]", "]")})
    found = said(proposal)
    assert f"no component answers for the error code {KNOWN}" in found
    assert not any(BEHIND in message for message in found)
