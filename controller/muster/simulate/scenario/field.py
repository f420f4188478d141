"""The field: all devices and what was offered to them, under one policy."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from muster.kinds.scenario import ScenarioSpec
from muster.simulate.scenario.aggregates import Timeline
from muster.simulate.scenario.contact import NEVER, Contact, spans
from muster.simulate.scenario.draws import Indices
from muster.simulate.scenario.latency import Histogram, Latencies, everybody
from muster.simulate.scenario.population import MICROSECONDS, Devices
from muster.simulate.scenario.trials import Batch, Moment, Trials, leave, rates_of


@dataclass
class Offered:
    """A batch with its sums."""

    batch: Batch
    timeline: Timeline
    latencies: Latencies | None = None


@dataclass
class Field:
    """Devices begin on release 0, the oldest. Times are seconds, ticks are numbered from 0.

    `runs` is the release that each device should run, by number; `window` is the health window in seconds.
    """

    spec: ScenarioSpec
    devices: Devices
    poll_interval: int
    window: int
    offered: list[Offered] = field(default_factory=list)
    _everybody: Histogram | None = None

    def __post_init__(self) -> None:
        self.tick = self.spec.tick // MICROSECONDS
        self.ticks = self.spec.duration // self.spec.tick
        self.runs = np.zeros(self.devices.count, np.uint8)
        away, deaf = spans(self.spec, "server"), spans(self.spec, "telemetry")
        self.contact = Contact(self.devices, self.poll_interval, away, deaf)
        self.trials = Trials(
            self.devices,
            self.contact,
            [rates_of(release, self.devices) for release in self.spec.releases],
            self.window,
            self.spec.artifact_size,
            spans(self.spec, "corrupt-cdn"),
            (*away, *deaf),
        )

    def heard(self, tick: int) -> bool:
        """True if reports come in."""
        second = tick * self.tick
        return not any(span.begin < second < span.end for span in self.trials.deaf_until)

    def move(self, desired: npt.NDArray[np.uint8], tick: int, generation: int, download_seconds: int = 0) -> None:
        """From now on, devices should run these. What changes is computed, the rest is not touched."""
        for release in range(len(self.spec.releases)):
            left = (self.runs == release) & (desired != release)
            if release and left.any():
                self.recall(release, left, tick, download_seconds)
        for release in range(1, len(self.spec.releases)):
            gained = np.flatnonzero((desired == release) & (self.runs != release))
            if len(gained):
                self.offer(release, gained, tick, generation)
        self.runs = desired

    def offer(self, release: int, indices: Indices, tick: int, generation: int) -> None:
        """These devices can see the release from now on."""
        batch = self.trials.offer(release, indices, tick * self.tick, generation)
        self.offered.append(Offered(batch, self._timeline(batch)))

    def recall(self, release: int, which: npt.NDArray[np.bool_], tick: int, download_seconds: int = 0) -> None:
        """Those of these devices that were offered the release leave it."""
        for one in self.offered:
            if one.batch.release == release:
                told = which[one.batch.devices]
                if told.any():
                    leave(one.batch, told, self.contact, tick * self.tick, download_seconds)
                    one.timeline, one.latencies = self._timeline(one.batch), None

    def sums(self, release: int, tick: int) -> npt.NDArray[np.int64]:
        """[cell, moment] over all batches of a release, at the end of a tick."""
        zero = np.zeros((self.devices.cells, Moment.LEFT_EARLY + 1), np.int64)
        return sum((one.timeline.at(tick) for one in self.offered if one.batch.release == release), zero)

    def latencies(self, tick: int) -> Histogram:
        """[cell, level] of what the devices report that are on no newer release than the oldest."""
        if self._everybody is None:
            self._everybody = everybody(self.devices)
        found = self._everybody.copy()
        for one in self.offered:
            if one.batch.release:
                found -= self.latencies_of(one).now(self.trials.rates[0], tick)
        return np.maximum(found, 0, out=found)

    def latencies_of(self, one: Offered) -> Latencies:
        """Of one batch; made when it is first asked for."""
        if one.latencies is None:
            one.latencies = Latencies(one.batch, self.devices, self.tick, self.ticks)
        return one.latencies

    def _timeline(self, batch: Batch) -> Timeline:
        return Timeline.of(batch, self.devices, self.tick, self.ticks)

    def moments(self, release: int, moment: Moment) -> npt.NDArray[np.int32]:
        """When this happened, for every device that was offered the release and to which it did until the end."""
        found = [one.batch.moments[:, moment] for one in self.offered if one.batch.release == release]
        every = np.concatenate(found) if found else np.empty(0, np.int32)
        return every[every < min(NEVER, self.ticks * self.tick)]
