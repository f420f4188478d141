"""Sums over a tally: how far the devices of a class came with a release, and who was never offered it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import cast

from muster.kinds.phases import RUNNING, TIME_LIMITS, TRIED, Phase
from muster.plan.tallies import CODE, ENROLLED, PHASE, RECALLED, SILENT, Tally
from muster.plan.world import Exposure

_PHASES: frozenset[str] = frozenset({"eligible", *TIME_LIMITS, *TRIED, *RUNNING})


def exposures(tally: Tally, since: Mapping[tuple[str, str], int]) -> dict[tuple[str, str], Exposure]:
    """How far devices came, by (release, device class), over all strata.

    `since`: the generation at which the release came (back) on offer there; what was shown before says nothing.
    """
    counts: dict[tuple[str, str], dict[str, dict[str, int]]] = {}
    for cell, count in tally.items():
        key = (cell.release, cell.device_class)
        if cell.what in (PHASE, CODE, SILENT) and cell.generation >= since.get(key, 0):
            buckets = counts.setdefault(key, {}).setdefault(cell.what, {})
            buckets[cell.bucket] = buckets.get(cell.bucket, 0) + count
    return {
        key: Exposure(
            {cast("Phase", phase): count for phase, count in found.get(PHASE, {}).items() if phase in _PHASES},
            found.get(PHASE, {}).get(RECALLED, 0),
            found.get(CODE, {}),
            sum(found.get(SILENT, {}).values()),
        )
        for key, found in counts.items()
    }


def never_offered(tally: Tally, places: Iterable[tuple[str, str]]) -> dict[tuple[str, str], int]:
    """Enrolled devices of the class that never spoke of the release, by (release, class): shown, never counted."""
    enrolled: dict[tuple[str, str], int] = {}
    known: dict[tuple[str, str], int] = {}
    for cell, count in tally.items():
        if cell.what in (ENROLLED, PHASE):
            counts = enrolled if cell.what == ENROLLED else known
            counts[cell.release, cell.device_class] = counts.get((cell.release, cell.device_class), 0) + count
    return {
        (release, device_class): max(
            0, enrolled.get((release.partition("/")[0], device_class), 0) - known.get((release, device_class), 0)
        )
        for release, device_class in places
    }
