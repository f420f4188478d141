"""Which digest was desired on a cohort at a time, who approved it, on what evidence: from a clone alone.

What was published then stands in the ledger; who approved and what vouches for it stands in git, at the commit that was
published. What the controller saw of approvals stands in the ledger too, so that notes which somebody removed later are
still told of.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from muster.attest.ledger.chain import Verified
from muster.attest.package.ledger_rows import Row
from muster.kinds.errors import MusterError, Refused
from muster.kinds.fleet import Fleet
from muster.kinds.quantity import PPM, format_percent
from muster.review.lineage import Ground, trace
from muster.source.git import Repository
from muster.source.load import Loader


@dataclass(frozen=True)
class Question:
    """What is asked: a model on a cohort at a time."""

    model: str
    cohort: str
    at: datetime


@dataclass(frozen=True)
class _Then:
    """The fleet at the commit that was published (None: not in this clone), and what had been entered by then."""

    repository: Repository
    commit: str
    fleet: Fleet | None
    rows: Sequence[Row]
    at: datetime


def desired_at(repository: Repository, ledger: Verified, asked: Question) -> dict[str, Any]:
    """The answer, by device class. Raises `Refused` if nothing of that name was published, or nothing yet."""
    rows = [row for row in ledger.rows if datetime.fromisoformat(row.at) <= asked.at]
    published = next((row for row in reversed(rows) if row.event == "published"), None)
    if published is None:
        first = ledger.rows[0].at if ledger.rows else "nothing"
        raise Refused(f"nothing was published at {asked.at.isoformat()}", f"the ledger begins with {first}")
    documents = {
        name.partition("/")[2]: entries
        for name, entries in published.body["documents"].items()
        if name.partition("/")[0] == asked.model
    }
    if not documents:
        raise Refused(
            f"{asked.model} was not published at {asked.at.isoformat()}", "name a model: muster history MODEL"
        )
    commit = str(published.body["commit"])
    fleet = _fleet(repository, commit)
    if fleet and asked.cohort not in {cohort.metadata.name for cohort in fleet.cohorts}:
        known = ", ".join(cohort.metadata.name for cohort in fleet.cohorts)
        raise Refused(f"there was no cohort {asked.cohort} at {asked.at.isoformat()}", f"there were: {known}")
    then = _Then(repository, commit, fleet, rows, asked.at)
    offers = {name: _offered(entries, asked.cohort) for name, entries in sorted(documents.items())}
    names = dict.fromkeys(offer["release"] for listed in offers.values() for offer in listed)
    return {
        "model": asked.model,
        "cohort": asked.cohort,
        "at": asked.at.isoformat(),
        "knownUntil": ledger.until.isoformat() if ledger.until else None,
        "generation": published.body["generation"],
        "publishedAt": published.at,
        "event": published.digest,
        "commit": commit,
        "desired": [{"deviceClass": name, "releases": listed} for name, listed in offers.items()],
        "releases": [_vouched(then, name) for name in names],
        "suspended": _suspended(rows, asked.model),
    }


def _fleet(repository: Repository, commit: str) -> Fleet | None:
    """The fleet at a commit; None if this clone has no such commit, or cannot load it."""
    try:
        return Loader().commit(repository, repository.resolve(commit)).fleet
    except MusterError:
        return None


def _offered(entries: Sequence[dict[str, Any]], cohort: str) -> list[dict[str, str]]:
    """What devices of the cohort took, the newest first; none looks below a release that all of them take."""
    found = []
    for entry in entries:
        ppm = int(entry["ppm"].get(cohort, 0))
        if ppm:
            found.append({"release": entry["release"], "artifact": entry["artifact"], "share": format_percent(ppm)})
        if ppm >= PPM:
            break
    return found


def _vouched(then: _Then, name: str) -> dict[str, Any]:
    """Who approved a release and what vouches for it, at the commit that was published."""
    repository, commit, fleet, rows, at = then.repository, then.commit, then.fleet, then.rows, then.at
    told: dict[str, Any] = {"release": name, "commits": None, "approvals": [], "evidence": None}
    approvable: set[str] | None = None
    if fleet is not None and fleet.release(name) is not None:
        found = trace(Ground(repository, commit, fleet, None), name)["releases"][0]
        told |= {"commits": found["commits"], "evidence": found["evidence"]}
        given = (one for one in found["approvals"] if datetime.fromisoformat(one["at"]) <= at)
        told["approvals"] = [{**one, "from": "clone"} for one in given]
        approvable = _approvable(repository, found["commits"], commit, f"releases/{name}.yaml")
    known = {(one["by"], one["of"], one["commit"]) for one in told["approvals"]}
    for row in rows:
        if row.event != "approval-seen" or approvable is None or row.body["commit"] not in approvable:
            continue
        seen = {"by": row.body["by"], "of": row.body["of"] or "change", "commit": row.body["commit"]}
        if (seen["by"], seen["of"], seen["commit"]) not in known:
            told["approvals"].append({**seen, "at": row.body["at"], "from": "ledger"})
    return told


def _approvable(repository: Repository, commits: Sequence[dict[str, Any]], head: str, path: str) -> set[str]:
    """Ids of the commits that brought a release, and of the heads that were merged with them."""
    merged = repository.log(path, len(commits) + 1, head, first_parent=True)
    return {one["commit"] for one in commits} | {name for one in merged for name in (one.commit, *one.parents[1:])}


def _suspended(rows: Sequence[Row], model: str) -> list[dict[str, str]]:
    """Suspensions of the model that were in force after these events."""
    found: dict[str, dict[str, str]] = {}
    for row in rows:
        release = str(row.body.get("release"))
        if row.event == "suspended" and release.startswith(f"{model}/"):
            found[release] = {"release": release, "since": row.at, "reason": str(row.body.get("reason"))}
        elif row.event in ("lifted", "resumed"):
            found.pop(release, None)
    return list(found.values())
