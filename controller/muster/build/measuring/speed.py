"""Latency and load time: of the artifact and its baselines, which take turns in one run.

One frame: normalise, run, pick the answer, as a device does it. One load: from the model's bytes to a session; cold is
the first answer of a session. Times are taken in ns and told in µs; bounds come from order statistics. Beside each
baseline stands the ratio to it: that of a median is the median of the rounds' ratios, so that it does not move with the
machine; that of a tail is bounded by the bounds of both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from muster.artifacts.inference import answer, normalize
from muster.artifacts.tensors import Tensor
from muster.artifacts.timing import Answer, Clock, Effort, Times, take_times
from muster.build.measuring.numbers import (
    CONFIDENCE,
    Estimate,
    noise_of,
    paired_ratio,
    quantile_of,
    quantile_ratio,
    scaled,
)
from muster.build.measuring.subject import Candidate, Subject
from muster.build.onnx_runtime import Session
from muster.kinds.evidence import Ratio, Result
from muster.kinds.policy import GateMetric

_HALF: Final = Fraction(1, 2)
_QUANTILES: Final[Mapping[GateMetric, Fraction]] = {
    "p50-latency": _HALF,
    "p95-latency": Fraction(95, 100),
    "p99-latency": Fraction(99, 100),
}


@dataclass(frozen=True)
class Place:
    """Where it runs: a device class, and the provider that each candidate is declared to use there, by role."""

    device_class: str
    providers: Mapping[str, str]


def speed_results(subject: Subject, place: Place, frames: Tensor, clock: Clock, effort: Effort) -> Iterator[Result]:
    """Load time, cold and warm latency of one of `frames`, on this machine. Raises `Refused`, `Unusable`."""
    openers = [_opener(item, place, frames) for item in subject.candidates]
    yield from times_results(subject, place, take_times(openers, clock, effort))


def times_results(subject: Subject, place: Place, times: Sequence[Times]) -> Iterator[Result]:
    """What the times of all candidates say, in their order, wherever they were taken."""
    yield _result(subject, place, "load-time", [one.loads for one in times])
    yield _result(subject, place, "cold-latency", [one.cold for one in times])
    for metric in _QUANTILES:
        yield _result(subject, place, metric, [one.warm for one in times])


def _opener(candidate: Candidate, place: Place, frames: Tensor) -> Callable[[], Answer]:
    config = candidate.inference

    def opened() -> Answer:
        session = Session(candidate.model, place.providers[candidate.role])

        def run(number: int) -> None:
            row = number % len(frames)
            answer(session.run(config.input.name, normalize(frames[row : row + 1], config.input)))

        return run

    return opened


def _result(subject: Subject, place: Place, metric: GateMetric, taken: Sequence[Sequence[int]]) -> Result:
    share = _QUANTILES.get(metric, _HALF)
    found = device_result(subject, place, metric, [scaled(quantile_of(one, share), 1_000) for one in taken])
    mine, *others = taken
    baselines = tuple(
        baseline.model_copy(update={"ratio": _ratio(mine, other, share)})
        for baseline, other in zip(found.baselines, others, strict=True)
    )
    return found.model_copy(update={"baselines": baselines, "noise": noise_of(mine)})


def _ratio(mine: Sequence[int], other: Sequence[int], share: Fraction) -> Ratio | None:
    found = paired_ratio(mine, other) if share == _HALF else quantile_ratio(mine, other, share)
    if found is None:
        return None
    bounded = found.lower is not None and found.upper is not None
    return Ratio(value=found.value, lower=found.lower, upper=found.upper, confidence=CONFIDENCE if bounded else None)


def device_result(subject: Subject, place: Place, metric: GateMetric, estimates: Sequence[Estimate]) -> Result:
    """A result of that class from the estimates of all candidates, in their order."""
    mine, *others = estimates
    return Result(
        metric=metric,
        value=mine.value,
        device_class=place.device_class,
        samples=mine.samples,
        lower=mine.lower,
        upper=mine.upper,
        confidence=None if mine.lower is None and mine.upper is None else CONFIDENCE,
        baselines=tuple(item.baseline(other.value) for item, other in zip(subject.others, others, strict=True)),
    )
