"""The report: what the ledger says happened, with what git says of the changes behind it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from muster.attest.ledger.chain import Verified
from muster.kinds.errors import MusterError
from muster.review.delivery.happened import Deployment, Incident, read
from muster.review.delivery.measures import Change, Measure, Window, measures
from muster.source.git import CommitInfo, Repository

MOST_COMMITS: Final = 500
"""Commits of one change that are looked at for its oldest."""


def delivery(repository: Repository, ledger: Verified, window: Window) -> dict[str, Any]:
    """The five measures over a window, and the deployments and incidents that they count."""
    happened = read(ledger.rows)
    changes: dict[Deployment, Change] = {}
    seen: set[tuple[str, str]] = set()
    for deployment in happened.deployments:
        landed = _landed(repository, deployment)
        if landed is None or (deployment.release, landed.commit) in seen:
            # Published again (after a hold, say): the change was delivered before.
            continue
        seen.add((deployment.release, landed.commit))
        if window.holds(deployment.at):
            changes[deployment] = Change(_begun(repository, landed), landed.at)
    commits = {one: at for one in happened.incidents if one.begun is None and (at := _time(repository, one.commit))}
    found = measures(happened, changes, commits, window)
    return {
        "since": window.since.isoformat(),
        "until": window.until.isoformat(),
        "measures": [_shown(measure) for measure in found],
        "deployments": [_deployment(one, changes) for one in happened.deployments if window.holds(one.at)],
        "incidents": [_incident(one, commits) for one in happened.incidents],
    }


def _landed(repository: Repository, deployment: Deployment) -> CommitInfo | None:
    """The commit of the branch that last touched the release's file by then; None: not in this clone."""
    try:
        found = repository.log(f"releases/{deployment.release}.yaml", 1, deployment.commit, first_parent=True)
    except MusterError:
        return None
    return found[0] if found else None


def _begun(repository: Repository, landed: CommitInfo) -> datetime:
    """When the oldest commit of a merge was made; a commit that is no merge is a change of its own."""
    if len(landed.parents) < 2:
        return landed.at
    brought = repository.log(None, MOST_COMMITS, landed.parents[1], without=landed.parents[0])
    return min((one.at for one in brought), default=landed.at)


def _time(repository: Repository, commit: str) -> datetime | None:
    try:
        return repository.log(None, 1, commit)[0].at
    except (MusterError, IndexError):
        return None


def _shown(measure: Measure) -> dict[str, Any]:
    value = round(measure.value, 3) if measure.value is not None else None
    return {
        "name": measure.name,
        "value": value,
        "unit": measure.unit,
        "target": measure.target,
        "met": measure.met,
        "cases": measure.cases,
    }


def _deployment(one: Deployment, changes: dict[Deployment, Change]) -> dict[str, Any]:
    change = changes.get(one)
    return {
        "release": one.release,
        "generation": one.generation,
        "commit": one.commit,
        "at": one.at.isoformat(),
        "kind": one.kind,
        "failed": one.failed,
        "begun": change.begun.isoformat() if change and change.begun else None,
    }


def _incident(one: Incident, commits: dict[Incident, datetime]) -> dict[str, Any]:
    begun = one.begun or commits.get(one)
    return {
        "release": one.release,
        "begun": begun.isoformat() if begun else None,
        "ended": one.ended.isoformat() if one.ended else None,
    }
