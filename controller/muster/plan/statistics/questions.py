"""The six questions: a share of devices, a mean, a quantile; each against a fixed bound or against the control.

Every question has one *boundary*: beyond it is harm, within it is no worse. `at` moves it, so that the same evidence
gives the confidence sequence: the boundaries that neither test rejects.

| question         | boundary is                                   | counts   | evidence        |
|------------------|-----------------------------------------------|----------|-----------------|
| `ShareLimit`     | share of devices                              | `Shares` | `rates`         |
| `ShareMargin`    | candidate's risk over the control's           | `Shares` | `rates`         |
| `MeanLimit`      | mean in [0, 1]                                | `Values` | `means`         |
| `MeanMargin`     | how much worse than the control's mean        | `Values` | `means`         |
| `QuantileLimit`  | value that this share of devices stays within | `Values` | `quantiles`     |
| `QuantileMargin` | candidate's quantile over the control's       | `Values` | `quantiles`     |
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from muster.plan.buckets import HIGHEST_BUCKET, LEVELS, LOWEST_BUCKET, edge
from muster.plan.statistics import means, quantiles, rates
from muster.plan.statistics.counts import NO_VALUES, PPM, Arm, Histogram, Step


@dataclass(frozen=True)
class Shares:
    """Counts of an event, per step of the rollout. A device counts in the step in which its trial began."""

    steps: tuple[Step, ...] = ()

    @property
    def candidate(self) -> Arm:
        """All steps together."""
        return sum((step.candidate for step in self.steps), Arm())

    @property
    def control(self) -> Arm:
        """All steps together."""
        return sum((step.control for step in self.steps), Arm())


@dataclass(frozen=True)
class Values:
    """One value per device: in buckets (`bucket_of`) for quantiles, in levels (`level_of`) for means."""

    candidate: Histogram = NO_VALUES
    control: Histogram = NO_VALUES


@dataclass(frozen=True)
class ShareLimit:
    """Does at most this share of the devices show the event?"""

    limit: float

    against_control = False
    span = (0.0, 1.0)

    @property
    def boundary(self) -> float:
        return self.limit

    def at(self, boundary: float) -> ShareLimit:
        return ShareLimit(boundary)

    def harm(self, counts: Shares) -> float:
        return rates.harm_against_limit(counts.candidate, self.limit)

    def no_worse(self, counts: Shares) -> float:
        return rates.no_worse_than_limit(counts.candidate, self.limit)


@dataclass(frozen=True)
class ShareMargin:
    """Does the candidate show the event at most `ratio` times as often as the control, or in at most `floor`?"""

    ratio: float
    floor: float = 0.0

    against_control = True
    span = (1e-4, 1e4)

    @property
    def boundary(self) -> float:
        return self.ratio

    def at(self, boundary: float) -> ShareMargin:
        """At another ratio, and without the floor: what is known of the ratio alone."""
        return ShareMargin(boundary)

    def harm(self, counts: Shares) -> float:
        return rates.harm_against_control(counts.steps, self.ratio, self.floor)

    def no_worse(self, counts: Shares) -> float:
        return rates.no_worse_than_control(counts.steps, self.ratio, self.floor)


@dataclass(frozen=True)
class MeanLimit:
    """Is the mean at most (or, with `higher_is_worse=False`, at least) the limit?"""

    limit: float
    higher_is_worse: bool = True

    against_control = False
    span = (0.0, 1.0)

    @property
    def boundary(self) -> float:
        return self.limit

    def at(self, boundary: float) -> MeanLimit:
        return replace(self, limit=boundary)

    def harm(self, counts: Values) -> float:
        return means.harm_against_limit(counts.candidate, self.limit, higher_is_worse=self.higher_is_worse)

    def no_worse(self, counts: Values) -> float:
        return means.no_worse_than_limit(counts.candidate, self.limit, higher_is_worse=self.higher_is_worse)


@dataclass(frozen=True)
class MeanMargin:
    """Is the mean worse than the control's by at most the margin?"""

    margin: float
    higher_is_worse: bool = True

    against_control = True
    span = (-1.0, 1.0)

    @property
    def boundary(self) -> float:
        return self.margin

    def at(self, boundary: float) -> MeanMargin:
        return replace(self, margin=boundary)

    def harm(self, counts: Values) -> float:
        return means.harm_against_control(
            counts.candidate, counts.control, self.margin, higher_is_worse=self.higher_is_worse
        )

    def no_worse(self, counts: Values) -> float:
        return means.no_worse_than_control(
            counts.candidate, counts.control, self.margin, higher_is_worse=self.higher_is_worse
        )


@dataclass(frozen=True)
class QuantileLimit:
    """Do `share` of the devices stay at or below the limit?"""

    share: float
    limit: float

    against_control = False
    span = (edge(LOWEST_BUCKET), edge(HIGHEST_BUCKET + 1))

    @property
    def boundary(self) -> float:
        return self.limit

    def at(self, boundary: float) -> QuantileLimit:
        return replace(self, limit=boundary)

    def harm(self, counts: Values) -> float:
        return quantiles.harm_against_limit(counts.candidate, self.share, self.limit)

    def no_worse(self, counts: Values) -> float:
        return quantiles.no_worse_than_limit(counts.candidate, self.share, self.limit)


@dataclass(frozen=True)
class QuantileMargin:
    """Is the value that `share` of the candidate's devices stay within at most `ratio` times the control's?"""

    share: float
    ratio: float

    against_control = True
    span = (1e-4, 1e4)

    @property
    def boundary(self) -> float:
        return self.ratio

    def at(self, boundary: float) -> QuantileMargin:
        return replace(self, ratio=boundary)

    def harm(self, counts: Values) -> float:
        return quantiles.harm_against_control(counts.candidate, counts.control, self.share, self.ratio)

    def no_worse(self, counts: Values) -> float:
        return quantiles.no_worse_than_control(counts.candidate, counts.control, self.share, self.ratio)


ShareQuestion = ShareLimit | ShareMargin
ValueQuestion = MeanLimit | MeanMargin | QuantileLimit | QuantileMargin
Question = ShareQuestion | ValueQuestion
Counts = Shares | Values


def estimates(question: Question, counts: Counts) -> tuple[float | None, float | None]:
    """What the ended trials of candidate and control show, as a share, a mean or a quantile; None: nothing yet."""
    if isinstance(counts, Shares):
        return rates.share(counts.candidate), rates.share(counts.control)
    if isinstance(question, QuantileLimit | QuantileMargin):
        return (
            quantiles.quantile(counts.candidate, question.share),
            quantiles.quantile(counts.control, question.share),
        )
    return means.mean(counts.candidate), means.mean(counts.control)


def complaint(question: Question, counts: Counts) -> str | None:
    """What makes this question, or these counts, impossible; or that they do not belong together."""
    if isinstance(question, ShareLimit | ShareMargin) != isinstance(counts, Shares):
        return "a question about shares takes counts of an event, any other one value per device"
    numbers = (question.boundary, getattr(question, "share", 0.5), getattr(question, "floor", 0.0))
    lowest, highest = question.span
    # Written so that NaN is outside.
    if not (lowest <= numbers[0] <= highest and 0 < numbers[1] < 1 and 0 <= numbers[2] <= 1):
        return f"{question} asks for what cannot be"
    if isinstance(counts, Shares):
        arms = [arm for step in counts.steps for arm in (step.candidate, step.control)]
        return next((text for arm in arms if (text := arm.complaint())), None)
    of_mean = isinstance(question, MeanLimit | MeanMargin)
    lowest_bucket, highest_bucket = (0, LEVELS) if of_mean else (LOWEST_BUCKET, HIGHEST_BUCKET)
    both = (counts.candidate, counts.control)
    return next((text for one in both if (text := one.complaint(lowest_bucket, highest_bucket))), None)


def tried(counts: Counts) -> int:
    """Devices of the candidate, whether their trial is over or not."""
    if isinstance(counts, Shares):
        return counts.candidate.tried
    return counts.candidate.devices + counts.candidate.missing + counts.candidate.pending


def exposure_ppm(counts: Counts) -> int:
    """The candidate's part of all devices that are watched."""
    if isinstance(counts, Shares):
        return rates.exposure_ppm(counts.steps)
    ours, theirs = counts.candidate.devices, counts.control.devices
    return ours * PPM // (ours + theirs) if ours + theirs else 0
