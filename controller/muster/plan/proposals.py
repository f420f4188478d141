"""Proposals: changes that the controller has put on branches of its own, for people to merge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from muster.kinds.release import Release

BRANCHES: Final = "muster/"
"""Every branch below it is the controller's."""


@dataclass(frozen=True)
class Proposal:
    """`reference` is what the forge calls it (`#7`); empty while it is being made. `after` in ppm, 0 for a revert."""

    branch: str
    release: str
    what: Literal["advance", "revert"]
    commit: str
    reference: str = ""
    cohort: str = ""
    after: int = 0


@dataclass(frozen=True)
class Withdraw:
    """Take a proposal back: its branch goes, and its pull request is closed."""

    branch: str
    release: str
    reason: str


def advance_branch(release: str, cohort: str, after: int) -> str:
    """Where a step is proposed. `after` in ppm."""
    return f"{BRANCHES}advance/{release}/{cohort}-{after}"


def revert_branch(release: str) -> str:
    """Where the revert of a release is proposed."""
    return f"{BRANCHES}revert/{release}"


def is_proposed(proposals: Mapping[str, Proposal], branch: str) -> bool:
    """True if it stands on the forge; one that is still being made does not."""
    return branch in proposals and bool(proposals[branch].reference)


def merged(proposal: Proposal, release: Release | None) -> bool:
    """True if git says by now what was proposed."""
    if proposal.what == "revert":
        return release is None or not release.spec.rollout.reaches_any
    return release is not None and release.spec.rollout.cohorts.get(proposal.cohort, 0) >= proposal.after
