"""Phases that begin at fixed times, as Mender runs them.

Source: Mender's documentation of phased rollouts: a phase has a share of the devices and a start time, devices are
served in the order in which they ask, the next phase begins whatever the one before it showed, and a person aborts.
Nobody does here: what is compared is what happens by itself. A phase begins when Muster's soak is over.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from muster.kinds.policy import Tier
from muster.kinds.ppm import PPM
from muster.simulate.scenario.contact import NEVER
from muster.simulate.scenario.field import Field
from muster.simulate.scenario.population import CHUNK, MICROSECONDS
from muster.simulate.scenario.record import Record
from muster.simulate.scenario.steps import steps_of


@dataclass
class TimedPhases:
    """One deployment a release."""

    tier: Tier
    place: Field
    record: Record = field(default_factory=lambda: Record("timed phases (Mender)"))

    def __post_init__(self) -> None:
        self._counts = [self.place.devices.count * one.share // PPM for one in steps_of(self.place.spec, self.tier)]
        self._next: dict[int, int] = {}

    def play(self, tick: int) -> None:
        """Begin every phase that is due."""
        seconds = tick * self.place.tick
        soak = self.tier.soak // MICROSECONDS
        for number, release in enumerate(self.place.spec.releases[1:], 1):
            phase = self._next.get(number, 0)
            if phase < len(self._counts) and release.at // MICROSECONDS + phase * soak <= seconds:
                self.record.offered.setdefault(number, tick)
                self._begin(number, phase, tick)
                self._next[number] = phase + 1

    def _begin(self, number: int, phase: int, tick: int) -> None:
        """The first to ask from now on, until as many have it as the phase may serve."""
        devices = self.place.devices
        wanted = self._counts[phase] - int(np.count_nonzero(self.place.runs == number))
        asks = np.full(devices.count, NEVER, np.int32)
        for begin in range(0, devices.count, CHUNK):
            indices = np.arange(begin, min(begin + CHUNK, devices.count))
            asks[indices] = self.place.contact.poll(indices, np.full(len(indices), tick * self.place.tick, np.int64))
        asks[self.place.runs >= number] = NEVER
        wanted = min(wanted, devices.count - 1)
        if wanted > 0:
            first = np.argpartition(asks, wanted)[:wanted]
            desired = self.place.runs.copy()
            desired[first[self.place.runs[first] < number]] = number
            self.place.move(desired, tick, tick + 1)
        self.record.widen(number, phase, self._counts[phase] * PPM // devices.count)
