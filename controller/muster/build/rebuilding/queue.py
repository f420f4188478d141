"""In which order a rebuilder takes releases: the newest first, and of those the widest.

Newest is what a commit declared last; widest is what goes to the largest sum of percentages, then to most classes. A
reader who waits for a verdict waits for one of these.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from muster.kinds.release import Release


@dataclass(frozen=True)
class Waiting:
    """A release without a verdict, and when it was declared."""

    release: Release
    declared_at: datetime


def in_order(waiting: Iterable[Waiting]) -> tuple[Release, ...]:
    """From the first to be taken to the last; by name where nothing else decides."""
    by_name = sorted(waiting, key=lambda one: one.release.name)
    return tuple(one.release for one in sorted(by_name, key=_priority, reverse=True))


def _priority(one: Waiting) -> tuple[datetime, int, int]:
    spec = one.release.spec
    return one.declared_at, sum(spec.rollout.cohorts.values()), len(spec.runtimes)
