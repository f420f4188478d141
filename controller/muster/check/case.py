"""Case: everything that a change is judged on, gathered beforehand. Judging it touches nothing else.

Rule 4 lives in this shape: `policy`, `owners`, `freezes`, `waivers`, `checklist` and keys are read from `change.base`,
and no judge takes them from `change.head`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from muster.check.change import Change
from muster.check.reviews import Reviews
from muster.kinds.evidence import Evidence
from muster.kinds.field_state import FieldState
from muster.kinds.pull_request import PullRequest


@dataclass(frozen=True)
class Declared:
    """Since when git has declared a cohort's percentage of a release: committer time of the commit on the base."""

    ppm: int
    since: datetime


@dataclass(frozen=True)
class Case:
    """`evidence` holds what stands at the head below `evidence/<digest>/` for every artifact that is judged;
    `former_evidence` what stood there at the base, and is removed or replaced at the head.

    `controller` is None where no controller was asked. `declared` is by (release name, cohort). `files` maps paths at
    the head (documents, whatever a checklist item names) to their text; None where it is absent or cannot be read.
    `base_files` are the documents that the change touches, as the base has them. `messages` is what the proposed
    commits say: unlike the text of a pull request, an approval of the head covers it.
    """

    change: Change
    request: PullRequest
    now: datetime
    evidence: tuple[Evidence, ...] = ()
    former_evidence: tuple[Evidence, ...] = ()
    controller: FieldState | None = None
    declared: Mapping[tuple[str, str], Declared] = field(default_factory=dict)
    files: Mapping[str, str | None] = field(default_factory=dict)
    base_files: Mapping[str, str | None] = field(default_factory=dict)
    messages: str = ""

    @cached_property
    def reviews(self) -> Reviews:
        """Whose approvals count: the pull request, as the people of the base see it."""
        return Reviews(self.change.base.owners, self.request)
