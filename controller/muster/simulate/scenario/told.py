"""What the controller is told of a field at some time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from muster.simulate.scenario.aggregates import Aggregates, Shown, Stratum, phases_of
from muster.simulate.scenario.field import Field
from muster.simulate.scenario.latency import Histogram, level_values
from muster.simulate.scenario.trials import Moment

Counts = npt.NDArray[np.int64]


@dataclass
class Told:
    """`strata` are the names of the cells' strata. `figures`: latencies are told too, which costs more."""

    place: Field
    names: list[str]
    strata: list[str]
    figures: bool = False

    def __post_init__(self) -> None:
        devices = self.place.devices
        ever = devices.lengths[devices.habit] > 0
        self._present = np.bincount(devices.cell[ever], minlength=devices.cells)

    def aggregates(self, tick: int) -> Aggregates:
        """All that was reported until now: of every release, and of everybody who still runs the oldest."""
        heard = self.place.heard(tick)
        shown: list[tuple[Stratum, Shown]] = []
        confirmed = np.zeros(self.place.devices.cells, np.int64)
        for (number, generation), (sums, levels) in self._by_generation(tick).items():
            confirmed += sums[:, Moment.CONFIRMED]
            for cell in np.flatnonzero(sums.any(axis=1)):
                counts = sums[cell]
                found = Shown(
                    phases_of(counts, heard=heard),
                    int(counts[Moment.LEFT_EARLY]),
                    int(counts[Moment.CRASHED]),
                    _values(levels, int(cell)),
                )
                shown.append((self._stratum(number, int(cell), generation), found))
        still = self._present - confirmed
        levels = self.place.latencies(tick) if self.figures else None
        for cell in np.flatnonzero(still > 0):
            oldest = Shown({"healthy": int(still[cell])}, values=_values(levels, int(cell)))
            shown.append((self._stratum(0, int(cell), 1), oldest))
        return Aggregates(shown, heard)

    def _by_generation(self, tick: int) -> dict[tuple[int, int], tuple[Counts, Histogram | None]]:
        """(release, generation at which it was offered) -> [cell, moment], and [cell, level] if figures are told."""
        found: dict[tuple[int, int], tuple[Counts, Histogram | None]] = {}
        for one in self.place.offered:
            batch = one.batch
            sums = one.timeline.at(tick)
            levels = (
                self.place.latencies_of(one).now(self.place.trials.rates[batch.release], tick) if self.figures else None
            )
            key = batch.release, batch.generation
            if key in found:
                before, others = found[key]
                sums = before + sums
                levels = others + levels if others is not None and levels is not None else None
            found[key] = sums, levels
        return found

    def _stratum(self, number: int, cell: int, entered: int) -> Stratum:
        devices = self.place.devices
        return Stratum(self.names[number], devices.classes[cell // 2], self.strata[cell], entered)


def _values(levels: Histogram | None, cell: int) -> dict[int, int] | None:
    if levels is None:
        return None
    amounts = level_values()
    return {int(amounts[level]): int(levels[cell, level]) for level in np.flatnonzero(levels[cell])}
