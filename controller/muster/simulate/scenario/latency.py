"""Latencies, as devices report them: one 95th percentile a device, counted in steps of 2 %.

Log-normal within a class; what a release adds grows with the time since the device activated it.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from muster.kinds.ppm import PPM
from muster.simulate.scenario.draws import Indices
from muster.simulate.scenario.population import CHUNK, Devices
from muster.simulate.scenario.trials import Batch, Moment, Rates

STEP: Final = 1.02
LEVELS: Final = 600
"""Up to 1.02^600, about 145,000 µs."""

Histogram = npt.NDArray[np.int64]


def level_values() -> npt.NDArray[np.int64]:
    """The latency that stands for each level, in µs."""
    return np.round(STEP ** (np.arange(LEVELS) + 0.5)).astype(np.int64)


def levels(devices: Devices, indices: Indices) -> npt.NDArray[np.int64]:
    """The level of each device before any release adds to it."""
    from scipy.special import ndtri

    spec = devices.spec.classes
    of_class = devices.cell[indices] // 2
    median = np.log(np.array([one.p95_latency for one in spec], np.float64))[of_class]
    spread = np.array([one.spread / PPM for one in spec])[of_class]
    drawn = np.clip(devices.draw(indices, "latency"), 1e-9, 1 - 1e-9)
    found = np.floor((median + spread * ndtri(drawn)) / np.log(STEP))
    clipped: npt.NDArray[np.int64] = np.clip(found, 0, LEVELS - 1).astype(np.int64)
    return clipped


def everybody(devices: Devices) -> npt.NDArray[np.int64]:
    """[cell, level] of all devices that are ever on line."""
    found = np.zeros(devices.cells * LEVELS, np.int64)
    for begin in range(0, devices.count, CHUNK):
        indices = np.arange(begin, min(begin + CHUNK, devices.count))
        indices = indices[devices.lengths[devices.habit[indices]] > 0]
        keys = devices.cell[indices].astype(np.int64) * LEVELS + levels(devices, indices)
        found += np.bincount(keys, minlength=len(found))
    return found.reshape(devices.cells, LEVELS)


class Latencies:
    """Of one batch: devices by the tick in which they confirmed the release, by cell and level."""

    def __init__(self, batch: Batch, devices: Devices, tick: int, ticks: int) -> None:
        self._tick = tick
        confirmed = batch.moments[:, Moment.CONFIRMED].astype(np.int64)
        at = -(-confirmed // tick)
        rows = np.flatnonzero(at < ticks)
        cell = devices.cell[batch.devices[rows]].astype(np.int64)
        keys = (at[rows] * devices.cells + cell) * LEVELS + levels(devices, batch.devices[rows])
        counted, self._counts = np.unique(keys, return_counts=True)
        self._at, rest = np.divmod(counted, devices.cells * LEVELS)
        self._cell, self._level = np.divmod(rest, LEVELS)
        self._cells = devices.cells

    def now(self, rates: Rates, tick: int) -> Histogram:
        """[cell, level] of the devices that confirmed until now, with what the release has added until now."""
        within = self._at <= tick
        cell, level = self._cell[within], self._level[within]
        age = (tick - self._at[within]) * self._tick
        growth = rates.slower[cell] * np.minimum(age / rates.within[cell], 1.0)
        level = np.minimum(level + np.round(np.log1p(growth) / np.log(STEP)).astype(np.int64), LEVELS - 1)
        found = np.bincount(cell * LEVELS + level, weights=self._counts[within], minlength=self._cells * LEVELS)
        return found.astype(np.int64).reshape(self._cells, LEVELS)
