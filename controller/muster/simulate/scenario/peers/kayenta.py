"""Mann-Whitney on windows of time series, as Netflix's Kayenta judges a canary.

Source: Kayenta's `NetflixACAJudge`, `MannWhitneyClassifier` and `IQRDetector`: NaNs are removed, and outliers (beyond
three times the interquartile range and beyond the 1st or 99th percentile); a metric is High if the lower end of the
98 % confidence interval of the Hodges-Lehmann estimate lies above a quarter of that estimate's size; equal series pass.
The interval is that of order statistics of the differences (M. Hollander, D. Wolfe, E. Chicken, *Nonparametric
Statistical Methods*, 2014, section 4.3). In its favour, a metric must also be a tenth higher in the mean: without such
an effect size, which later versions offer, any lasting difference between two groups of devices fails a healthy canary.

Beside the canary runs a baseline of the same size, installed anew with the old release at the same time, as Kayenta
asks for. Points are one tick each; every hour, all points since the step began are judged. Every metric is critical:
one that is High fails the canary, which is rolled back by a deployment of the old release, with its download.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from muster.kinds.policy import Tier
from muster.kinds.ppm import PPM
from muster.simulate.scenario.declared import CANARY, MODEL, REST
from muster.simulate.scenario.field import Field, Offered
from muster.simulate.scenario.latency import level_values
from muster.simulate.scenario.population import MICROSECONDS
from muster.simulate.scenario.record import Record
from muster.simulate.scenario.steps import steps_of
from muster.simulate.scenario.trials import Moment

CONFIDENCE: Final = 0.98
TOLERANCE: Final = 0.25
JUDGED_EVERY: Final = 3_600
FEWEST_POINTS: Final = 12
DOWNLOAD_SECONDS: Final = 60
LEAST_INCREASE: Final = 1.1

Series = npt.NDArray[np.float64]


@dataclass
class _Canary:
    """The arms of one release, and the tick in which the step began."""

    since: int
    ours: list[Offered] = field(default_factory=list)
    baseline: list[Offered] = field(default_factory=list)
    step: int = 0


@dataclass
class WindowedMannWhitney:
    """One canary a release, widened by Muster's steps while it passes."""

    tier: Tier
    place: Field
    record: Record = field(default_factory=lambda: Record("Mann-Whitney on windows (Kayenta)"))

    def __post_init__(self) -> None:
        self._steps = steps_of(self.place.spec, self.tier)
        self._canaries: dict[int, _Canary] = {}
        self._means: dict[tuple[int, int], float] = {}

    def play(self, tick: int) -> None:
        """Judge every hour; widen after the soak; roll back what fails."""
        soak = self.tier.soak // MICROSECONDS // self.place.tick
        for number, release in enumerate(self.place.spec.releases[1:], 1):
            canary = self._canaries.get(number)
            if canary is None:
                if release.at // MICROSECONDS <= tick * self.place.tick:
                    self.record.offered[number] = tick
                    self._canaries[number] = _Canary(tick)
                    self._widen(number, 0, tick)
            elif number not in self.record.halted:
                self._note_latency(canary, number, tick)
                due = (tick - canary.since) * self.place.tick % JUDGED_EVERY == 0
                if due and self._fails(canary, number, tick):
                    self.record.halted[number] = tick
                    self._roll_back(number, tick)
                elif tick - canary.since >= soak and canary.step + 1 < len(self._steps):
                    self._widen(number, canary.step + 1, tick)

    def _widen(self, number: int, step: int, tick: int) -> None:
        canary = self._canaries[number]
        # The very devices that Muster begins with.
        buckets = self.place.devices.buckets(f"{MODEL}/{self.place.spec.releases[number].version}")
        reached = self._reached(step)
        desired = self.place.runs.copy()
        desired[(buckets < reached) & (self.place.runs < number)] = number
        self.place.move(desired, tick, tick + 1)
        new = [
            one
            for one in self.place.offered
            if one.batch.release == number and all(one is not known for known in canary.ours)
        ]
        canary.ours += new
        # A baseline is as large as its canary, for as long as there are devices for it.
        before = self._reached(canary.step) if canary.baseline else 0
        other = (buckets >= PPM - reached) & (buckets < PPM - before)
        indices = np.flatnonzero(other & (2 * reached <= PPM) & (self.place.runs == 0))
        if len(indices):
            self.place.offer(0, indices, tick, tick + 1)
            canary.baseline.append(self.place.offered[-1])
        canary.since, canary.step = tick, step
        self.record.widen(number, step, self._steps[step].share)

    def _reached(self, step: int) -> npt.NDArray[np.uint32]:
        """How much of its cohort has the release at this step, in ppm, for each device."""
        cohorts = self._steps[step].cohorts
        return np.where(self.place.devices.canary, cohorts[CANARY], cohorts[REST]).astype(np.uint32)

    def _roll_back(self, number: int, tick: int) -> None:
        desired = self.place.runs.copy()
        desired[desired == number] = 0
        self.place.move(desired, tick, tick + 1, DOWNLOAD_SECONDS)
        self.record.lines.append(f"tick {tick}: the canary fails")

    def _fails(self, canary: _Canary, number: int, tick: int) -> bool:
        if tick - canary.since < FEWEST_POINTS:
            return False
        ticks = np.arange(canary.since + 1, tick + 1)
        for moments in ((Moment.ROLLED_BACK, Moment.GAVE_UP), (Moment.CRASHED,)):
            if is_high(_rate(canary.ours, moments, ticks), _rate(canary.baseline, moments, ticks)):
                return True
        ours = np.array([self._means.get((number, int(one)), np.nan) for one in ticks])
        theirs = np.array([self._means.get((-number, int(one)), np.nan) for one in ticks])
        return is_high(ours, theirs)

    def _note_latency(self, canary: _Canary, number: int, tick: int) -> None:
        """The mean of what the devices of both arms report, as a dashboard would show it."""
        for sign, arm, release in ((1, canary.ours, number), (-1, canary.baseline, 0)):
            rates = self.place.trials.rates[release]
            counted = sum((self.place.latencies_of(one).now(rates, tick).sum(axis=0) for one in arm), np.zeros(1))
            total = float(counted.sum())
            if total:
                self._means[sign * number, tick] = float((counted * level_values()).sum()) / total


def _rate(arm: list[Offered], moments: tuple[Moment, ...], ticks: npt.NDArray[np.int64]) -> Series:
    """Events in each tick over the devices that have tried the release until then; NaN before there is one."""
    if not arm:
        return np.full(len(ticks), np.nan)
    sums = np.sum([one.timeline.sums.sum(axis=1, dtype=np.int64) for one in arm], axis=0)
    events = sums[:, list(moments)].sum(axis=1)
    tried = sums[ticks, Moment.TRIED]
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Series = np.where(tried > 0, (events[ticks] - events[ticks - 1]) / tried, np.nan)
    return found


def is_high(canary: Series, baseline: Series) -> bool:
    """True if the metric is classified High. No data on either side is no verdict: Kayenta calls it Nodata."""
    from scipy.special import ndtri

    ours, theirs = _without_outliers(canary), _without_outliers(baseline)
    if not len(ours) or not len(theirs) or np.array_equal(ours, theirs):
        return False
    differences = np.sort(np.subtract.outer(ours, theirs), axis=None)
    estimate = float(np.median(differences))
    pairs = len(differences)
    deviation = float(np.sqrt(pairs * (len(ours) + len(theirs) + 1) / 12))
    rank = int(np.floor(pairs / 2 - ndtri((1 + CONFIDENCE) / 2) * deviation))
    lower = float(differences[max(rank - 1, 0)])
    higher = float(ours.mean()) >= LEAST_INCREASE * float(theirs.mean())
    return higher and lower > TOLERANCE * abs(estimate)


def _without_outliers(values: Series) -> Series:
    kept = values[~np.isnan(values)]
    if not len(kept):
        return kept
    first, low, high, last = np.percentile(kept, [1, 25, 75, 99], method="weibull")
    reach = 3.0 * (high - low)
    within: Series = kept[(kept >= min(low - reach, first)) & (kept <= max(high + reach, last))]
    return within
