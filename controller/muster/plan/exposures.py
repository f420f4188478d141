"""Sums over a tally: how far the devices of a class came with a release, and who was never offered it."""

from __future__ import annotations

from collections.abc import Mapping
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


def never_offered(tally: Tally, release: str, device_class: str) -> int:
    """Enrolled devices of the class that never spoke of the release: shown, never counted."""
    model = release.partition("/")[0]
    enrolled = sum(
        count
        for cell, count in tally.items()
        if cell.what == ENROLLED and (cell.release, cell.device_class) == (model, device_class)
    )
    known = sum(
        count
        for cell, count in tally.items()
        if cell.what == PHASE and (cell.release, cell.device_class) == (release, device_class)
    )
    return max(0, enrolled - known)
