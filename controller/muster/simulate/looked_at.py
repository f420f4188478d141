"""Simulated rollouts that are looked at after every batch of reports: how often is a healthy one halted, and how soon
a bad one?

Trials begin batch by batch, fail at some time within their window or hold to its end, and report their value when they
are over. What the statistics get are counts, made of these trials anew at every look.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from muster.plan.buckets import LEVELS, SCALE
from muster.plan.statistics.counts import Arm, Histogram, Step
from muster.plan.statistics.family import Terms
from muster.plan.statistics.questions import (
    MeanLimit,
    QuantileLimit,
    QuantileMargin,
    Question,
    ShareLimit,
    ShareMargin,
    Shares,
    Values,
)
from muster.plan.statistics.tilting import log_sum

Ints = NDArray[np.int64]

SHARES = (0.05, 0.25, 0.5)
"""Steps of the rollout; a last one for everybody leaves no control."""
WINDOW = 4
LATENCY_MS, SPREAD = 20.0, 0.15
"""Median and log-spread between devices of one class."""


@dataclass(frozen=True)
class Habits:
    """What a device shows: chance to fail, factor on its latency, mean of its confidence."""

    failing: float = 0.01
    latency: float = 1.0
    confidence: float = 0.8


@dataclass(frozen=True)
class Trials:
    """One arm in one step: per device the batch in which its trial begins, in which it ends, and what it shows."""

    begins: Ints
    ends: Ints
    fails: NDArray[np.bool_]
    buckets: Ints
    levels: Ints

    def arm(self, batch: int) -> Arm:
        """Counts of trials as they stand after a batch."""
        over = self.ends <= batch
        return Arm(int((self.begins <= batch).sum()), int(over.sum()), int((over & self.fails).sum()))

    def values(self, which: Ints, batch: int) -> Histogram:
        """Values of trials that are over; a device that failed reports none."""
        over = self.ends <= batch
        buckets, counts = np.unique(which[over & ~self.fails], return_counts=True)
        missing, pending = int((over & self.fails).sum()), int(((self.begins <= batch) & ~over).sum())
        return Histogram(tuple(zip(buckets.tolist(), counts.tolist(), strict=True)), missing, pending)


def trials(rng: np.random.Generator, devices: int, batches: int, habits: Habits) -> Trials:
    """Devices that begin at any time before the last window of a step; two of three that fail do so at once."""
    begins = rng.integers(0, max(1, batches - WINDOW), devices)
    fails = rng.random(devices) < habits.failing
    soon = np.where(rng.random(devices) < 2 / 3, 0, rng.integers(0, WINDOW, devices))
    latency = LATENCY_MS * habits.latency * np.exp(rng.normal(0, SPREAD, devices))
    buckets = np.ceil(np.log2(latency) * SCALE).astype(np.int64) - 1
    confidence = rng.beta(habits.confidence * 20, (1 - habits.confidence) * 20, devices)
    levels = np.rint(confidence * LEVELS).astype(np.int64)
    return Trials(begins, begins + np.where(fails, soon, WINDOW), fails, buckets, levels)


def at_the_boundary(habits: Habits) -> tuple[Question, ...]:
    """Guardrails that a release with these habits does not break, by nothing: the most false halts there can be."""
    return (
        ShareLimit(habits.failing),
        ShareMargin(1.0),
        QuantileMargin(0.95, 1.0),
        MeanLimit(habits.confidence, higher_is_worse=False),
    )


@dataclass(frozen=True)
class Rollout:
    """A release for some strata of so many devices each, and how often each step is looked at."""

    strata: int = 2
    devices: int = 3_000
    batches: int = 8
    control: Habits = Habits()
    candidate: Habits = Habits()
    questions: tuple[Question, ...] = at_the_boundary(Habits())

    @property
    def terms(self) -> Terms:
        """Every question of every stratum is part of the family."""
        return Terms(tests=self.strata * len(self.questions))


Stratum = list[tuple[Trials, Trials]]


def _stratum(rng: np.random.Generator, rollout: Rollout) -> Stratum:
    """Candidate and control of each step. Who is new in a step is a candidate; who is left is control again."""
    steps, before = [], 0.0
    for share in SHARES:
        new, left = round(rollout.devices * (share - before)), round(rollout.devices * (1 - share))
        steps.append(
            (
                trials(rng, new, rollout.batches, rollout.candidate),
                trials(rng, left, rollout.batches, rollout.control),
            )
        )
        before = share
    return steps


def _counts(stratum: Stratum, step: int, batch: int, batches: int) -> tuple[Shares, Values, Values]:
    """What is counted after a batch of a step; earlier steps are complete. Shares, latencies, confidences."""
    shares: list[Step] = []
    latencies, confidences = Values(), Values()
    for index, (ours, theirs) in enumerate(stratum[: step + 1]):
        at = batch if index == step else batches
        shares.append(Step(ours.arm(at), theirs.arm(at)))
        latencies = Values(
            latencies.candidate + ours.values(ours.buckets, at), latencies.control + theirs.values(theirs.buckets, at)
        )
        confidences = Values(
            confidences.candidate + ours.values(ours.levels, at), confidences.control + theirs.values(theirs.levels, at)
        )
    return Shares(tuple(shares)), latencies, confidences


def looks(rng: np.random.Generator, rollout: Rollout) -> Iterator[list[float]]:
    """Log evidence of harm of every question in every stratum, after every batch."""
    strata = [_stratum(rng, rollout) for _ in range(rollout.strata)]
    for step in range(len(SHARES)):
        for batch in range(rollout.batches + 1):
            evidence = []
            for stratum in strata:
                shares, latencies, confidences = _counts(stratum, step, batch, rollout.batches)
                evidence += [_harm(question, shares, latencies, confidences) for question in rollout.questions]
            yield evidence


def _harm(question: Question, shares: Shares, latencies: Values, confidences: Values) -> float:
    if isinstance(question, ShareLimit | ShareMargin):
        return question.harm(shares)
    return question.harm(latencies if isinstance(question, QuantileLimit | QuantileMargin) else confidences)


@dataclass(frozen=True)
class Peaks:
    """The most evidence of harm (ln E) at any look: the mean over all questions, and each question by itself."""

    together: float
    alone: tuple[float, ...]


def peaks(rng: np.random.Generator, rollout: Rollout) -> Peaks:
    """Look at a rollout after every batch, to its end."""
    together, alone = -math.inf, tuple(-math.inf for _ in range(rollout.terms.tests))
    for evidence in looks(rng, rollout):
        together = max(together, log_sum(evidence) - math.log(len(evidence)))
        alone = tuple(max(pair) for pair in zip(alone, evidence, strict=True))
    return Peaks(together, alone)


def exposed_until_harm(
    rng: np.random.Generator, question: Question, habits: tuple[Habits, Habits], share: float, most: int
) -> dict[int, int | None]:
    """How many devices tried a bad release before it was halted, by the number of tests it shares its error with.

    `habits` are candidate's and control's; `share` is the candidate's part of the devices that report. Looked at
    after every 25 of them. None: not found among `most`.
    """
    found: dict[int, int | None] = {1: None, 10: None}
    controls = round(most * (1 - share) / share)
    ours, theirs = trials(rng, most, 1, habits[0]), trials(rng, controls, 1, habits[1])
    for exposed in range(25, most + 1, 25):
        both = _first(ours, exposed), _first(theirs, round(exposed * (1 - share) / share))
        harm = _harm(question, Shares((Step(both[0].arm(WINDOW), both[1].arm(WINDOW)),)), *_values(both))
        for tests, first in found.items():
            if first is None and harm >= Terms(tests=tests).harm_needed:
                found[tests] = exposed
        if None not in found.values():
            break
    return found


def _values(both: tuple[Trials, Trials]) -> tuple[Values, Values]:
    ours, theirs = both
    return (
        Values(ours.values(ours.buckets, WINDOW), theirs.values(theirs.buckets, WINDOW)),
        Values(ours.values(ours.levels, WINDOW), theirs.values(theirs.levels, WINDOW)),
    )


def _first(which: Trials, devices: int) -> Trials:
    return Trials(
        which.begins[:devices],
        which.ends[:devices],
        which.fails[:devices],
        which.buckets[:devices],
        which.levels[:devices],
    )


def spread(found: Sequence[int | None], most: int) -> tuple[float, float, float]:
    """Share that was found; median and 90th percentile of devices exposed, not found counting as `most` at least."""
    values = sorted(math.inf if one is None else one for one in found)
    part = sum(one is not None for one in found) / len(found)
    middle, late = values[len(values) // 2], values[math.ceil(len(values) * 0.9) - 1]
    return part, min(middle, most), min(late, most)
