"""A device and a release, from the offer to the end: one moment for each thing that happens.

Whether a release fails on a device depends on the device alone. With the same draw and another release's rates one
sees what that one would have done: a device is *harmed* if the release does something to it that the first release
would not have done.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum, auto
from typing import Final

import numpy as np
import numpy.typing as npt

from muster.agent.promotion import MOST_ATTEMPTS
from muster.kinds.ppm import PPM
from muster.kinds.scenario import Behaviour, SimulatedRelease
from muster.observe.habit import FLOOR, HABITS
from muster.simulate.scenario.contact import NEVER, Contact, Span
from muster.simulate.scenario.draws import Indices, Seconds, uniform
from muster.simulate.scenario.population import CHUNK, MICROSECONDS, Devices

HARMFUL_GROWTH: Final = 0.10
"""A device is harmed by latency once it has grown by a tenth."""

_MOST_TRIES = 12
_FAILS, _FAILS_AT, _BRICKS, _BRICKS_AT, _DIES, _DIES_AT, _RESTARTS, _BREAKS = range(101, 109)


class Moment(IntEnum):
    """What happens, in seconds; NEVER if it does not. Those up to LEFT_EARLY are known to the controller then."""

    SEEN = 0
    TRIED = auto()
    CONFIRMED = auto()
    ROLLED_BACK = auto()
    GAVE_UP = auto()
    DARK_EARLY = auto()
    """Dark before it confirmed the release."""
    DARK_LATE = auto()
    CRASHED = auto()
    LEFT_EARLY = auto()
    """Recalled before it had confirmed the release."""
    HARMED = auto()
    SILENT = auto()
    """From here on it never speaks again."""
    LEFT = auto()


TOLD: Final = tuple(Moment)[: Moment.LEFT_EARLY + 1]


@dataclass
class Batch:
    """Devices to which a release was offered at once. `moments`: one row a device, one column a `Moment`."""

    release: int
    generation: int
    devices: Indices
    moments: npt.NDArray[np.int32]
    downloads: int = 0
    """Complete ones, thrown away or not."""


@dataclass(frozen=True)
class Rates:
    """What a release does, by cell of devices."""

    failures: npt.NDArray[np.float64]
    bricked: npt.NDArray[np.float64]
    dying: npt.NDArray[np.float64]
    restarted: npt.NDArray[np.float64]
    dies_after: npt.NDArray[np.float64]
    slower: npt.NDArray[np.float64]
    within: npt.NDArray[np.float64]


def rates_of(release: SimulatedRelease, devices: Devices) -> Rates:
    """The rates in each cell: the last behaviour that fits it."""
    found: list[Behaviour] = []
    for cell in range(devices.cells):
        name = devices.classes[cell // 2]
        fitting = [
            one
            for one in release.behaviours
            if (not one.device_classes or name in one.device_classes) and (not one.sliced or cell % 2)
        ]
        found.append(fitting[-1] if fitting else Behaviour())
    return Rates(
        np.array([one.failures / PPM for one in found]),
        np.array([one.bricked / PPM for one in found]),
        np.array([one.dying / PPM for one in found]),
        np.array([one.restarted / PPM for one in found]),
        np.array([one.dies_after / MICROSECONDS for one in found]),
        np.array([one.slower / PPM for one in found]),
        np.array([max(one.within / MICROSECONDS, 1.0) for one in found]),
    )


@dataclass(frozen=True)
class Trials:
    """How releases do on devices. `window` in seconds; `size` of the artifact in bytes."""

    devices: Devices
    contact: Contact
    rates: Sequence[Rates]
    window: int
    size: int
    corrupt: tuple[Span, ...] = ()
    deaf_until: tuple[Span, ...] = field(default=())
    """When no report comes in at all: silence then says nothing."""

    def offer(self, release: int, indices: Indices, at: int, generation: int) -> Batch:
        """What becomes of an offer that is published at `at`."""
        moments = np.full((len(indices), len(Moment)), NEVER, np.int32)
        downloads = 0
        for begin in range(0, len(indices), CHUNK):
            part = slice(begin, min(begin + CHUNK, len(indices)))
            downloads += self._fill(release, indices[part], at, moments[part])
        return Batch(release, generation, indices, moments, downloads)

    def _fill(self, release: int, indices: Indices, at: int, moments: npt.NDArray[np.int32]) -> int:
        seen = self.contact.poll(indices, np.full(len(indices), at, np.int64))
        # A clock that is ahead of all expiry dates: TUF metadata is not taken, and the offer never seen.
        seen[self.devices.ahead[indices]] = NEVER
        arrived, wrong = self._download(indices, seen)
        gave_up = wrong >= MOST_ATTEMPTS
        tried = np.where(gave_up, NEVER, arrived)
        moments[:, Moment.SEEN] = seen
        moments[:, Moment.TRIED] = tried
        moments[:, Moment.GAVE_UP] = np.where(gave_up, arrived, NEVER)
        going = np.flatnonzero(tried < NEVER)
        moments[going] = self._trial(release, indices[going], moments[going])
        return int(wrong.sum()) + len(going)

    def _download(self, indices: Indices, seen: Seconds) -> tuple[Seconds, npt.NDArray[np.int64]]:
        """When the artifact is there (or given up), and how often it came with other bytes."""
        spec = self.devices.spec
        link = self.devices.link[indices]
        broken = np.array([one.broken / PPM for one in spec.links])[link]
        seconds = np.array([self.size / one.per_second for one in spec.links])[link]
        with np.errstate(divide="ignore"):
            drawn = 1 - uniform(indices, self.devices.seed, _BREAKS)
            tries = np.where(broken > 0, np.log(drawn) / np.log(np.maximum(broken, 1e-12)), 0)
        times = seen.copy()
        for number in range(int(min(tries.max(initial=0), _MOST_TRIES))):
            again = np.flatnonzero(tries >= number + 1)
            times[again] = self.contact.poll(indices[again], times[again])
        wrong = np.zeros(len(indices), np.int64)
        for _ in range(MOST_ATTEMPTS):
            bad = np.flatnonzero(self._is_corrupt(indices, times) & (wrong < MOST_ATTEMPTS))
            wrong[bad] += 1
            again = bad[wrong[bad] < MOST_ATTEMPTS]
            times[again] = self.contact.poll(indices[again], times[again])
        there = np.minimum(times + seconds.astype(np.int64) + 1, NEVER)
        off = np.flatnonzero((there < NEVER) & ~self.contact.online(indices, there))
        there[off] = self.contact.poll(indices[off], there[off])
        return there, wrong

    def _is_corrupt(self, indices: Indices, times: Seconds) -> npt.NDArray[np.bool_]:
        bad = np.zeros(len(indices), np.bool_)
        for span in self.corrupt:
            here = span.holds(times)
            bad |= here & np.isin(self.devices.zone[indices], span.zones) if span.zones else here
        return bad

    def _trial(self, release: int, indices: Indices, moments: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
        """From the activation on."""
        ours, first = self.rates[release], self.rates[0]
        cell = self.devices.cell[indices]
        start = moments[:, Moment.TRIED].astype(np.int64)

        def draw(stream: int) -> npt.NDArray[np.float64]:
            return uniform(indices, self.devices.seed, stream)

        bricks, would_brick = draw(_BRICKS) < ours.bricked[cell], draw(_BRICKS) < first.bricked[cell]
        fails = (draw(_FAILS) < ours.failures[cell]) & ~bricks
        would_fail = draw(_FAILS) < first.failures[cell]
        dies, would_die = draw(_DIES) < ours.dying[cell], draw(_DIES) < first.dying[cell]
        dies &= ~bricks & ~fails
        restarts = draw(_RESTARTS) < ours.restarted[cell]

        bricked_at = start + (draw(_BRICKS_AT) * self.window).astype(np.int64)
        failed_at = start + (draw(_FAILS_AT) * self.window).astype(np.int64)
        died_at = start + (ours.dies_after[cell] * (0.9 + 0.2 * draw(_DIES_AT))).astype(np.int64)
        silent = np.where(bricks, bricked_at, np.where(dies & ~restarts, died_at, NEVER))
        dark = self._dark(indices, silent, start)

        confirms = ~bricks & ~fails & ~(dies & (died_at <= start + self.window))
        moments[:, Moment.ROLLED_BACK] = self._reported(indices, fails, failed_at)
        confirmed = self._reported(indices, confirms, start + self.window)
        # Whoever fell silent before it could say that it confirmed never did, as far as anybody knows.
        confirmed[confirmed >= silent] = NEVER
        moments[:, Moment.CONFIRMED] = confirmed
        moments[:, Moment.CRASHED] = self._reported(indices, dies & restarts, died_at)
        moments[:, Moment.DARK_EARLY] = np.where(confirmed == NEVER, dark, NEVER)
        moments[:, Moment.DARK_LATE] = np.where(confirmed < NEVER, dark, NEVER)
        moments[:, Moment.SILENT] = silent

        growth = ours.slower[cell]
        slow = (growth >= HARMFUL_GROWTH) & (first.slower[cell] < HARMFUL_GROWTH)
        slow_at = start + (ours.within[cell] * HARMFUL_GROWTH / np.maximum(growth, HARMFUL_GROWTH)).astype(np.int64)
        harms = (
            np.where(bricks & ~would_brick, bricked_at, NEVER),
            np.where(fails & ~would_fail, failed_at, NEVER),
            np.where(dies & ~would_die, died_at, NEVER),
            np.where(slow & ~bricks & ~fails, slow_at, NEVER),
        )
        moments[:, Moment.HARMED] = np.minimum.reduce(harms)
        return moments

    def _reported(self, indices: Indices, which: npt.NDArray[np.bool_], times: Seconds) -> Seconds:
        found = np.full(len(indices), NEVER, np.int64)
        told = np.flatnonzero(which)
        found[told] = self.contact.report(indices[told], times[told])
        return found

    def _dark(self, indices: Indices, silent: Seconds, start: Seconds) -> Seconds:
        """When silence counts as dark, as `observe.habit` says: 20 of the device's own pauses, and a minute."""
        found = np.full(len(indices), NEVER, np.int64)
        gone = np.flatnonzero(silent < NEVER)
        allowed = int(FLOOR.total_seconds()) + HABITS * self.contact.habit_seconds(indices[gone])
        last_heard = np.maximum(start[gone], silent[gone] - self.contact.interval)
        dark = last_heard + allowed
        for span in self.deaf_until:
            # After a time in which nobody was heard, every device gets the whole of its time again.
            dark = np.where(dark >= span.begin, np.maximum(dark, span.end + allowed), dark)
        found[gone] = np.minimum(dark, NEVER)
        return found


def leave(batch: Batch, which: npt.NDArray[np.bool_], contact: Contact, at: int, download_seconds: int = 0) -> None:
    """These devices are told to leave the release: at their next poll, and after the download that it takes.

    What would have happened to them later does not; what was never begun is not.
    """
    rows = np.flatnonzero(which & (batch.moments[:, Moment.LEFT] == NEVER))
    m = batch.moments[rows].astype(np.int64)
    gone = contact.poll(batch.devices[rows], np.full(len(rows), at, np.int64))
    gone = np.minimum(gone + download_seconds, NEVER)
    gone[m[:, Moment.SILENT] < gone] = NEVER
    for moment in Moment:
        later = m[:, moment] > gone
        m[later, moment] = NEVER
    # An offer of which nothing came is forgotten.
    began = (m[:, Moment.TRIED] < NEVER) | (m[:, Moment.GAVE_UP] < NEVER)
    m[~began, Moment.SEEN] = NEVER
    runs = (m[:, Moment.TRIED] < NEVER) & (m[:, Moment.ROLLED_BACK] == NEVER)
    m[runs, Moment.LEFT] = gone[runs]
    m[:, Moment.LEFT_EARLY] = np.where(m[:, Moment.CONFIRMED] == NEVER, m[:, Moment.LEFT], NEVER)
    batch.moments[rows] = m
