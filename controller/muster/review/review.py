"""Reviewing a pull request: read both sides, judge, and say where each verdict stands."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from muster.check.judge import judge
from muster.check.judgement import Judgement
from muster.kinds.field_state import FieldState
from muster.kinds.pull_request import PullRequest
from muster.review.gather import gathered
from muster.review.places import placed
from muster.source.git import Repository
from muster.source.load import Loader


def review(
    repository: Repository, request: PullRequest, now: datetime, controller: FieldState | None, loader: Loader
) -> Judgement:
    """What becomes of a pull request whose base and head are full commit ids of this repository.

    Raises `Refused` for a change without bounds, `Unusable` if base or head cannot be read.
    """
    with gathered(repository, request, now, controller, loader) as found:
        judgement = judge(found.case, found.findings, found.notes, readable=found.readable)
        return replace(judgement, verdicts=placed(judgement.verdicts, repository, found.tree))
