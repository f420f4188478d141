"""What a policy did in a scenario, as events in virtual time; and what became of the devices, as figures."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from muster.kinds.ppm import PPM
from muster.simulate.scenario.field import Field
from muster.simulate.scenario.trials import Moment


@dataclass
class Record:
    """Ticks in which a policy did things, by release."""

    policy: str
    offered: dict[int, int] = field(default_factory=dict)
    halted: dict[int, int] = field(default_factory=dict)
    reverted: dict[int, int] = field(default_factory=dict)
    steps: dict[int, int] = field(default_factory=dict)
    shares: dict[int, int] = field(default_factory=dict)
    """The widest step of each release, and its share of the fleet in ppm."""
    lines: list[str] = field(default_factory=list)

    def widen(self, release: int, step: int, share: int) -> None:
        """The release goes to more devices."""
        self.steps[release] = max(step, self.steps.get(release, 0))
        self.shares[release] = max(share, self.shares.get(release, 0))


@dataclass(frozen=True)
class Outcome:
    """Figures of one policy in one scenario. Times in seconds; None: it did not happen before the end.

    detection    from the first offer of a release whose halt is called for to its halt; of several, the longest
    exposed      devices that activated a release whose halt is called for; without one, any new release
    harmed       devices to which a release did what the first release would not have done
    false_halts  halts of releases that do no harm
    back         from the halt until the last recoverable device had left the release
    left_behind  recoverable devices that still ran the harmful release at the end
    """

    policy: str
    detection: int | None
    revert_ticks: int | None
    exposed: int
    harmed: int
    false_halts: int
    back: int | None
    left_behind: int
    steps: int
    share: float
    requests_mean: float
    requests_peak: float
    gigabytes: float


def outcome(record: Record, place: Field, traffic: tuple[float, float, float]) -> Outcome:
    """Count what became of every device."""
    releases = place.spec.releases
    called_for = place.spec.halts_called_for
    harmful = [number for number, release in enumerate(releases) if release.harmful]
    watched = list(called_for) or list(range(1, len(releases)))
    first = next((number for number in watched if number in record.halted), None)
    return Outcome(
        policy=record.policy,
        detection=_detection(record, place, called_for),
        revert_ticks=record.reverted[first] - record.halted[first] if first in record.reverted and first else None,
        exposed=sum(len(place.moments(number, Moment.TRIED)) for number in watched),
        harmed=sum(len(place.moments(number, Moment.HARMED)) for number in range(1, len(releases))),
        false_halts=sum(number not in called_for for number in record.halted),
        back=_back(record, place, watched),
        left_behind=_left_behind(place, harmful),
        steps=max((record.steps.get(number, 0) for number in watched), default=0),
        share=max((record.shares.get(number, 0) for number in watched), default=0) / PPM,
        requests_mean=traffic[0],
        requests_peak=traffic[1],
        gigabytes=traffic[2],
    )


def _detection(record: Record, place: Field, called_for: tuple[int, ...]) -> int | None:
    """The longest of all halts that were called for; None if one of them never came."""
    offered = [number for number in called_for if number in record.offered]
    if not offered or any(number not in record.halted for number in offered):
        return None
    return max(record.halted[number] - record.offered[number] for number in offered) * place.tick


def _back(record: Record, place: Field, watched: list[int]) -> int | None:
    times = []
    for number in watched:
        left = place.moments(number, Moment.LEFT)
        if number in record.halted and len(left):
            times.append(int(left.max()) - record.halted[number] * place.tick)
    return max(times, default=None)


def _left_behind(place: Field, harmful: list[int]) -> int:
    """Those that still run a harmful release, and could be told not to."""
    end = place.ticks * place.tick
    count = 0
    for one in place.offered:
        if one.batch.release in harmful:
            m = one.batch.moments
            runs = (m[:, Moment.TRIED] < end) & (m[:, Moment.ROLLED_BACK] >= end) & (m[:, Moment.LEFT] >= end)
            count += int(np.count_nonzero(runs & (m[:, Moment.SILENT] >= end)))
    return count
