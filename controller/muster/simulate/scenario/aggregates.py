"""What the controller is told: sums, per release and cell of devices, at any time.

`observed` is the one place where simulated sums become what the planner reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from muster.kinds.phases import Phase
from muster.plan.world import Exposure, Observed
from muster.simulate.scenario.population import Devices
from muster.simulate.scenario.trials import TOLD, Batch, Moment

# What a device of the simulation reports of a failure.
FAILED_CODE: Final = "inference_failed"
GAVE_UP_CODE: Final = "bad_digest"


@dataclass(frozen=True)
class Stratum:
    """Devices that are counted together. `entered`: the generation at which they were offered the release."""

    release: str
    device_class: str
    labels: str
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

    shown: Mapping[Stratum, Shown]
    heard: bool = True


def observed(aggregates: Aggregates) -> Observed:
    """The counts that the planner judges by."""
    exposures: dict[tuple[str, str], Exposure] = {}
    for stratum, shown in aggregates.shown.items():
        key = (stratum.release, stratum.device_class)
        before = exposures.get(key, Exposure())
        phases = {
            phase: before.phases.get(phase, 0) + shown.phases.get(phase, 0)
            for phase in before.phases.keys() | shown.phases.keys()
        }
        codes = {FAILED_CODE: phases.get("rolled-back", 0), GAVE_UP_CODE: phases.get("failed", 0)}
        found = {code: count for code, count in codes.items() if count}
        exposures[key] = Exposure(phases, before.recalled + shown.recalled, found)
    return Observed(exposures)


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
