"""What the ledger says was delivered: changes that reached more devices, and incidents. Pure.

A **deployment** is a publication by which a release came to a greater share of some cohort than the publication before
gave it: a new release, or a wider one. A release that only comes back because a newer one went away is none. It is
*code* if its artifact was never published before, else *configuration* (a wider rollout, thresholds).

An **incident** begins when a release is suspended, or when a publication takes it from devices without anything newer
in its place, or gives it to fewer; it belongs to the newest deployment of that release. One that a suspension began
ends with the first publication in which no device is offered the release; one that a publication began ends with that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from muster.attest.package.ledger_rows import Row
from muster.kinds.digest import version_key

_Place = tuple[str, str]
"""(document, cohort)"""


@dataclass(frozen=True)
class Deployment:
    """A release that reached more devices with a generation, by the commit that was published."""

    release: str
    generation: int
    commit: str
    at: datetime
    kind: Literal["code", "configuration"]
    failed: bool = False


@dataclass(frozen=True)
class Incident:
    """A release that had to go; `begun` None where a person took it back: then the commit tells. `ended` None: open."""

    release: str
    commit: str
    begun: datetime | None
    ended: datetime | None


@dataclass(frozen=True)
class Happened:
    """Everything that the measures count, in order; `runs` are (time, did it do what it is for)."""

    deployments: tuple[Deployment, ...]
    incidents: tuple[Incident, ...]
    runs: tuple[tuple[datetime, bool], ...]


_RUNS: Mapping[str, bool] = {
    "prepared": True,
    "declared": True,
    "not-prepared": False,
    "declaration-refused": False,
}


@dataclass(frozen=True)
class _Offers:
    """One publication: what each release gets, by place, and the newest version in each document."""

    shares: Mapping[str, Mapping[_Place, int]]
    newest: Mapping[str, tuple[int, ...]]
    artifacts: Mapping[str, str]


_NOTHING = _Offers({}, {}, {})


class _Reader:
    def __init__(self) -> None:
        self.deployments: list[Deployment] = []
        self.incidents: list[Incident] = []
        self._before = _NOTHING
        self._artifacts: set[str] = set()

    def published(self, row: Row) -> None:
        after, at = _offers(row.body["documents"]), datetime.fromisoformat(row.at)
        commit, generation = str(row.body["commit"]), int(row.body["generation"])
        for release in sorted(self._before.shares.keys() | after.shares.keys()):
            if _fell(self._before, after, release):
                self._taken_back(release, commit, at, gone=release not in after.shares)
            if _rose(self._before, after, release):
                kind: Literal["code", "configuration"] = (
                    "configuration" if after.artifacts[release] in self._artifacts else "code"
                )
                self.deployments.append(Deployment(release, generation, commit, at, kind))
        self._artifacts |= set(after.artifacts.values())
        self._before = after

    def suspended(self, row: Row) -> None:
        release = str(row.body["release"])
        if self._open(release) is None:
            self._fail(release)
            self.incidents.append(Incident(release, str(row.body.get("commit")), datetime.fromisoformat(row.at), None))

    def _taken_back(self, release: str, commit: str, at: datetime, *, gone: bool) -> None:
        index = self._open(release)
        if index is not None:
            if gone:
                self.incidents[index] = replace(self.incidents[index], ended=at)
        else:
            self._fail(release)
            self.incidents.append(Incident(release, commit, None, at))

    def _open(self, release: str) -> int | None:
        found = (index for index, one in enumerate(self.incidents) if one.release == release and one.ended is None)
        return next(found, None)

    def _fail(self, release: str) -> None:
        for index in range(len(self.deployments) - 1, -1, -1):
            if self.deployments[index].release == release:
                self.deployments[index] = replace(self.deployments[index], failed=True)
                return


def read(rows: Iterable[Row]) -> Happened:
    """What happened, from all rows of a ledger in order."""
    reader = _Reader()
    runs = []
    for row in rows:
        if row.event == "published":
            reader.published(row)
        elif row.event == "suspended":
            reader.suspended(row)
        elif row.event in _RUNS:
            runs.append((datetime.fromisoformat(row.at), _RUNS[row.event]))
    return Happened(tuple(reader.deployments), tuple(reader.incidents), tuple(runs))


def _offers(documents: Mapping[str, Sequence[Mapping[str, Any]]]) -> _Offers:
    shares: dict[str, dict[_Place, int]] = {}
    newest: dict[str, tuple[int, ...]] = {}
    artifacts: dict[str, str] = {}
    for document, entries in documents.items():
        for entry in entries:
            release = str(entry["release"])
            artifacts[release] = str(entry["artifact"])
            newest[document] = max(newest.get(document, ()), _version(release))
            for cohort, ppm in entry["ppm"].items():
                shares.setdefault(release, {})[document, cohort] = int(ppm)
    return _Offers(shares, newest, artifacts)


def _rose(before: _Offers, after: _Offers, release: str) -> bool:
    """True if some place gives the release more, and not only because what stood above it went away."""
    was, version = before.shares.get(release, {}), _version(release)
    for place, ppm in after.shares.get(release, {}).items():
        listed = any(document == place[0] for document, _ in was)
        if ppm > was.get(place, 0) and (listed or version > before.newest.get(place[0], ())):
            return True
    return False


def _fell(before: _Offers, after: _Offers, release: str) -> bool:
    """True if some place gives the release less, and offers nothing newer."""
    now, version = after.shares.get(release, {}), _version(release)
    return any(
        now.get(place, 0) < ppm and after.newest.get(place[0], ()) <= version
        for place, ppm in before.shares.get(release, {}).items()
    )


def _version(release: str) -> tuple[int, ...]:
    return version_key(release.partition("/")[2])
