"""The five measures, with their definitions and the targets of the field. Pure.

- **deployment frequency**: deployments over days of the window. *Daily when needed*: each change was published within a
  day of its landing on the branch.
- **lead time**: from the oldest commit of a change to the publication that first brought it to devices; the median, for
  code (< 24 h) and configuration (< 4 h) apart.
- **change failure rate**: deployments of the window that an incident belongs to, over all of them (< 5 %).
- **time to recovery**: from an incident's beginning (the suspension; for a person's revert, its commit) to the
  publication that took the release from devices; the median, where an open incident counts as long as it lasts
  (< 15 min).
- **pipeline reliability**: commits taken over and artifacts prepared, over these and those that were refused on the
  branch or not prepared (> 95 %).

How long devices took to return is not in the ledger, and neither is when harm began before it was seen: the time to
recovery is the controller's part. A measure without a case has no value, and neither meets nor misses its target.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Final

from muster.review.delivery.happened import Deployment, Happened, Incident

DAY: Final = timedelta(days=1)
LEAD: Final = {"code": timedelta(hours=24), "configuration": timedelta(hours=4)}
MOST_FAILED: Final = 0.05
RECOVERY: Final = timedelta(minutes=15)
LEAST_RELIABLE: Final = 0.95


@dataclass(frozen=True)
class Window:
    """From when until when is counted; the start is included."""

    since: datetime
    until: datetime

    def holds(self, at: datetime) -> bool:
        """True for a moment of the window."""
        return self.since <= at < self.until

    @property
    def days(self) -> float:
        """Its length."""
        return (self.until - self.since) / DAY


@dataclass(frozen=True)
class Change:
    """When the change behind a deployment was begun, and when it landed on the branch; None: not in this clone."""

    begun: datetime | None
    landed: datetime | None


@dataclass(frozen=True)
class Measure:
    """One measure: its value in its unit (None: no case), the target in words, whether it is met, how many cases."""

    name: str
    value: float | None
    unit: str
    target: str
    met: bool | None
    cases: int


def measures(
    happened: Happened, changes: Mapping[Deployment, Change], commits: Mapping[Incident, datetime], window: Window
) -> tuple[Measure, ...]:
    """All five. `changes` holds the deployments that were the first to publish their change; `commits` the time of the
    commit that took a release back, for incidents that no suspension began.
    """
    deployed = [one for one in happened.deployments if window.holds(one.at)]
    return (
        _frequency(deployed, changes, window),
        *(_lead(deployed, changes, kind) for kind in LEAD),
        _failures(deployed),
        _recovery([one for one in happened.incidents if _counts(one, commits, window)], commits, window),
        _reliability([good for at, good in happened.runs if window.holds(at)]),
    )


def _frequency(deployed: Sequence[Deployment], changes: Mapping[Deployment, Change], window: Window) -> Measure:
    landed = [one.at - at for one in deployed if one in changes and (at := changes[one].landed) is not None]
    met = all(waited <= DAY for waited in landed) if landed else None
    value = len(deployed) / window.days if window.days > 0 else None
    return Measure("deployment frequency", value, "a day", "daily when needed", met, len(deployed))


def _lead(deployed: Sequence[Deployment], changes: Mapping[Deployment, Change], kind: str) -> Measure:
    times = [
        max(one.at - at, timedelta())
        for one in deployed
        if one.kind == kind and one in changes and (at := changes[one].begun) is not None
    ]
    middle = _middle(times)
    target = LEAD[kind]
    return Measure(
        name=f"lead time, {kind}",
        value=middle / timedelta(hours=1) if middle is not None else None,
        unit="hours",
        target=f"< {target // timedelta(hours=1)} hours",
        met=middle < target if middle is not None else None,
        cases=len(times),
    )


def _failures(deployed: Sequence[Deployment]) -> Measure:
    share = sum(one.failed for one in deployed) / len(deployed) if deployed else None
    met = share < MOST_FAILED if share is not None else None
    value = share * 100 if share is not None else None
    return Measure("change failure rate", value, "%", f"< {MOST_FAILED:.0%}", met, len(deployed))


def _middle(times: Sequence[timedelta]) -> timedelta | None:
    return timedelta(seconds=median(one.total_seconds() for one in times)) if times else None


def _begun(incident: Incident, commits: Mapping[Incident, datetime]) -> datetime | None:
    return incident.begun or commits.get(incident)


def _counts(incident: Incident, commits: Mapping[Incident, datetime], window: Window) -> bool:
    begun = _begun(incident, commits)
    return begun is not None and window.holds(begun)


def _recovery(incidents: Sequence[Incident], commits: Mapping[Incident, datetime], window: Window) -> Measure:
    times = [
        max((one.ended or window.until) - begun, timedelta())
        for one in incidents
        if (begun := _begun(one, commits)) is not None
    ]
    middle = _middle(times)
    return Measure(
        name="time to recovery",
        value=middle / timedelta(minutes=1) if middle is not None else None,
        unit="minutes",
        target=f"< {RECOVERY // timedelta(minutes=1)} minutes",
        met=middle < RECOVERY if middle is not None else None,
        cases=len(times),
    )


def _reliability(runs: Sequence[bool]) -> Measure:
    share = sum(runs) / len(runs) if runs else None
    met = share > LEAST_RELIABLE if share is not None else None
    value = share * 100 if share is not None else None
    return Measure("pipeline reliability", value, "%", f"> {LEAST_RELIABLE:.0%}", met, len(runs))
