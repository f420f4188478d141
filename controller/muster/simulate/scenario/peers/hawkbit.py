"""A fixed share of errors over all members of a group, as Eclipse hawkBit computes it.

Sources: hawkBit's `ThresholdRolloutGroupErrorCondition` and `ThresholdRolloutGroupSuccessCondition`: errors / total >
percent, finished / total >= percent, integer percents, total = every member of the group, seen or not; members are the
first of the filter's answer, which is the order of their registration; the error action PAUSE starts no further group,
takes nothing back, and lets the actions that run go on. `withDefaults()` has 50 % and 50 %; the error threshold here is
5 %, which is far stricter, and in its favour.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from muster.kinds.policy import Tier
from muster.kinds.ppm import PPM
from muster.simulate.scenario.field import Field, Offered
from muster.simulate.scenario.population import MICROSECONDS
from muster.simulate.scenario.record import Record
from muster.simulate.scenario.steps import steps_of
from muster.simulate.scenario.trials import Moment

ERRORS_PERCENT: Final = 5
FINISHED_PERCENT: Final = 50


@dataclass
class _Group:
    offered: Offered
    total: int


@dataclass
class FixedErrorShare:
    """One rollout a release, in groups as wide as Muster's steps."""

    tier: Tier
    place: Field
    record: Record = field(default_factory=lambda: Record("fixed error share (hawkBit)"))

    def __post_init__(self) -> None:
        self._ends = [self.place.devices.count * one.share // PPM for one in steps_of(self.place.spec, self.tier)]
        self._groups: dict[int, list[_Group]] = {}

    def play(self, tick: int) -> None:
        """Look at the last group of every rollout."""
        for number, release in enumerate(self.place.spec.releases[1:], 1):
            if number not in self.record.offered and release.at // MICROSECONDS <= tick * self.place.tick:
                self.record.offered[number] = tick
                self._groups[number] = []
                self._start(number, tick)
            elif number in self._groups and number not in self.record.halted:
                self._look(number, tick)

    def _look(self, number: int, tick: int) -> None:
        last = self._groups[number][-1]
        sums = last.offered.timeline.at(tick).sum(axis=0)
        errors = int(sums[Moment.ROLLED_BACK] + sums[Moment.GAVE_UP])
        if errors / last.total > ERRORS_PERCENT / 100:
            self.record.halted[number] = tick
            self.record.lines.append(f"tick {tick}: paused, {errors} errors of {last.total} members")
        elif int(sums[Moment.CONFIRMED]) / last.total >= FINISHED_PERCENT / 100:
            self._start(number, tick)

    def _start(self, number: int, tick: int) -> None:
        step = len(self._groups[number])
        if step >= len(self._ends):
            return
        begin = self._ends[step - 1] if step else 0
        desired = self.place.runs.copy()
        desired[begin : self._ends[step]] = number
        self.place.move(desired, tick, tick + 1)
        self._groups[number].append(_Group(self.place.offered[-1], self._ends[step] - begin))
        self.record.widen(number, step, self._ends[step] * PPM // self.place.devices.count)
