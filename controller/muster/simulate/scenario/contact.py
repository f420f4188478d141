"""When a device can be reached: its slots within its windows on line, and what an outage does to them.

The rules are those of `agent.schedule`: a device keeps to its slot within every poll interval, and after the n-th
failure in a row waits 2^(n-1) intervals more, 16 intervals at most and an hour at most. Times are whole seconds since
the beginning of the scenario.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from muster.kinds.scenario import ScenarioSpec
from muster.simulate.scenario.draws import Indices, Mask, Seconds
from muster.simulate.scenario.population import MICROSECONDS, Devices

NEVER = 2**31 - 1
_LONGEST_PAUSE = 3_600
_DOUBLINGS = 4


@dataclass(frozen=True)
class Span:
    """From `begin` up to, not including, `end`."""

    begin: int
    end: int
    zones: tuple[int, ...] = ()

    def holds(self, times: Seconds) -> Mask:
        """Which of these times lie within."""
        return (times >= self.begin) & (times < self.end)


def spans(spec: ScenarioSpec, what: str) -> tuple[Span, ...]:
    """When something is broken."""
    names = [zone.name for zone in spec.population.zones]
    return tuple(
        Span(one.at // MICROSECONDS, (one.at + one.lasts) // MICROSECONDS, tuple(names.index(z) for z in one.zones))
        for one in spec.troubles
        if one.what == what
    )


@dataclass(frozen=True)
class Contact:
    """`interval` in seconds is the poll interval that the documents ask for."""

    devices: Devices
    interval: int
    away: tuple[Span, ...] = ()
    deaf: tuple[Span, ...] = ()
    """When nobody answers at all, and when reports alone are not taken."""

    def poll(self, indices: Indices, after: Seconds) -> Seconds:
        """The next poll that is answered, later than `after`; NEVER for devices that never are on line."""
        found = self.slot(indices, after)
        failures = 0
        while self.away:
            failed = np.flatnonzero(_any(self.away, found))
            if not len(failed):
                break
            failures += 1
            pause = min(self.interval * 2 ** min(failures - 1, _DOUBLINGS), max(_LONGEST_PAUSE, self.interval))
            found[failed] = self.slot(indices[failed], found[failed] + pause)
        return found

    def report(self, indices: Indices, after: Seconds) -> Seconds:
        """When a report of what happened at `after` is taken: kept, and sent again, until it is."""
        found = self.poll(indices, after)
        while self.deaf:
            failed = np.flatnonzero(_any(self.deaf, found))
            if not len(failed):
                break
            found[failed] = self.poll(indices[failed], found[failed])
        return found

    def slot(self, indices: Indices, after: Seconds) -> Seconds:
        """The next slot on line, later than `after`, whether or not somebody answers."""
        devices = self.devices
        habit = devices.habit[indices]
        period, length = devices.periods[habit], devices.lengths[habit]
        place = (devices.phase[indices] * self.interval).astype(np.int64)
        gone = (length == 0) | (after >= NEVER)
        first = np.where(gone, 0, after) + 1
        position = (first - devices.start[indices]) % period
        here = self._next(first, place)
        later = self._next(first + period - position, place)
        # A slot beyond the end of this window is not kept: the device is off.
        found = np.where((position < length) & (position + here - first < length), here, later)
        return np.where(gone, NEVER, np.minimum(found, NEVER))

    def online(self, indices: Indices, times: Seconds) -> Mask:
        """Which devices are on line at these times."""
        habit = self.devices.habit[indices]
        position = (times - self.devices.start[indices]) % self.devices.periods[habit]
        return position < self.devices.lengths[habit]

    def habit_seconds(self, indices: Indices) -> Seconds:
        """The longest pause between two polls that a device is used to."""
        habit = self.devices.habit[indices]
        off = self.devices.periods[habit] - self.devices.lengths[habit]
        found: Seconds = np.maximum(off, self.interval)
        return found

    def _next(self, times: Seconds, place: npt.NDArray[np.int64]) -> Seconds:
        return times + (place - times) % self.interval


def _any(found: tuple[Span, ...], times: Seconds) -> Mask:
    held = found[0].holds(times)
    for span in found[1:]:
        held |= span.holds(times)
    return held
