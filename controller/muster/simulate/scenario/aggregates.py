"""What the controller is told: sums, per release and cell of devices, at any time.

`tally` is the one place where simulated sums become what the planner reads; it costs O(strata × buckets).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

from muster.kinds.guardrails import GuardrailMetric
from muster.kinds.phases import Phase
from muster.plan.buckets import bucket_of
from muster.plan.exposures import exposures
from muster.plan.tallies import CODE, PHASE, RECALLED, Cell
from muster.plan.world import Observed
from muster.simulate.scenario.population import Devices
from muster.simulate.scenario.trials import TOLD, Batch, Moment

# What a device of the simulation reports of a failure.
FAILED_CODE: Final = "inference_failed"
GAVE_UP_CODE: Final = "bad_digest"
CRASHES: Final[GuardrailMetric] = "crash-share"
LATENCY: Final[GuardrailMetric] = "p95-latency"


@dataclass(frozen=True)
class Stratum:
    """Devices that are counted together. `entered`: the generation at which they were offered the release.

    `name` is that of `plan.judging.Judging.stratum`.
    """

    release: str
    device_class: str
    name: str
    entered: int


@dataclass(frozen=True)
class Shown:
    """How far the devices of a stratum came. `values`: 95th percentile of latency in µs → devices."""

    phases: Mapping[Phase, int]
    recalled: int = 0
    crashed: int = 0
    values: Mapping[int, int] | None = None


@dataclass(frozen=True)
class Aggregates:
    """Everything that was reported until now. `heard`: whether reports come in at all."""

    shown: Sequence[tuple[Stratum, Shown]]
    heard: bool = True


def observed(aggregates: Aggregates, generation: int) -> Observed:
    """The counts that the planner judges by, while this generation is published."""
    counted = tally(aggregates, generation)
    return Observed(exposures(counted, {}), counted, heard=aggregates.heard)


def tally(aggregates: Aggregates, generation: int) -> dict[Cell, int]:
    """Cells as `observe.tallies` keeps them. Every device that is counted was heard at this generation."""
    found: dict[Cell, int] = {}
    for stratum, shown in aggregates.shown:
        newest = max(generation, stratum.entered)
        where = (stratum.release, stratum.device_class, stratum.name, stratum.entered, newest, False)
        for what, bucket, count in _cells(shown):
            if count > 0:
                cell = Cell(*where, what, bucket)
                found[cell] = found.get(cell, 0) + count
    return found


def _cells(shown: Shown) -> Iterator[tuple[str, str, int]]:
    """What is counted, its bucket, and how many devices stand there."""
    for phase, count in shown.phases.items():
        yield PHASE, phase, count
    yield PHASE, RECALLED, shown.recalled
    yield CODE, FAILED_CODE, shown.phases.get("rolled-back", 0)
    yield CODE, GAVE_UP_CODE, shown.phases.get("failed", 0)
    yield CRASHES, "1", shown.crashed
    yield CRASHES, "0", shown.phases.get("healthy", 0) - shown.crashed
    for amount, count in (shown.values or {}).items():
        yield LATENCY, _bucket(amount), count


@cache
def _bucket(amount: int) -> str:
    return str(bucket_of(amount))


@dataclass
class Timeline:
    """How many devices of a batch had come to each moment at the end of each tick, by cell.

    sums[tick, cell, moment]
    """

    sums: npt.NDArray[np.int32]

    @classmethod
    def of(cls, batch: Batch, devices: Devices, tick: int, ticks: int) -> Timeline:
        """Counted from the moments of every device."""
        cells = devices.cells
        sums = np.zeros((ticks, cells, len(TOLD)), np.int32)
        cell = devices.cell[batch.devices].astype(np.int64)
        for moment in TOLD:
            at = -(-batch.moments[:, moment].astype(np.int64) // tick)
            within = at < ticks
            counted = np.bincount(at[within] * cells + cell[within], minlength=ticks * cells)
            sums[:, :, moment] = counted.reshape(ticks, cells)
        return cls(np.cumsum(sums, axis=0, dtype=np.int32))

    def at(self, tick: int) -> npt.NDArray[np.int64]:
        """[cell, moment] at the end of this tick."""
        found: npt.NDArray[np.int64] = self.sums[min(tick, len(self.sums) - 1)].astype(np.int64)
        return found


def phases_of(counts: npt.NDArray[np.int64], *, heard: bool) -> dict[Phase, int]:
    """Phases from how many devices came to each moment. While nobody is heard, nobody is dark."""
    n = {moment: int(counts[moment]) for moment in TOLD}
    early, late = n[Moment.DARK_EARLY], n[Moment.DARK_LATE]
    if not heard:
        early = late = 0
    phases: dict[Phase, int] = {
        "offered": n[Moment.SEEN] - n[Moment.TRIED] - n[Moment.GAVE_UP],
        "activated": n[Moment.TRIED] - n[Moment.CONFIRMED] - n[Moment.ROLLED_BACK] - early - n[Moment.LEFT_EARLY],
        "healthy": n[Moment.CONFIRMED] - late,
        "rolled-back": n[Moment.ROLLED_BACK],
        "failed": n[Moment.GAVE_UP],
        "dark": early + late,
    }
    return {phase: count for phase, count in phases.items() if count}
