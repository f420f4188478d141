"""Latency and load time on this machine: artifact and baselines in turns, in one run, so that what disturbs the
machine disturbs them alike.

One frame: normalise, run, pick the answer, as a device does it. One load: from the model's bytes to a session.
Times are taken in ns and told in µs; bounds come from order statistics.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from muster.artifacts.inference import answer, normalize
from muster.artifacts.tensors import Tensor
from muster.build.measuring.numbers import CONFIDENCE, Estimate, quantile_of, scaled
from muster.build.measuring.subject import Candidate, Subject
from muster.build.onnx_runtime import Session
from muster.kinds.evidence import Result
from muster.kinds.policy import GateMetric

Clock = Callable[[], int]
"""Steady, in ns."""

WARM_UP: Final = 50
NANOSECONDS: Final = 1_000_000_000


@dataclass(frozen=True)
class Effort:
    """So many rounds at most, and no new round after so many seconds once `fewest` are done."""

    rounds: int = 1_000
    loads: int = 25
    fewest: int = 100
    seconds: int = 60
    processes: int = 7
    """How often the peak of memory is looked at."""


@dataclass(frozen=True)
class Place:
    """Where it runs: a device class, and the provider that each candidate is declared to use there, by role."""

    device_class: str
    providers: Mapping[str, str]


def speed_results(subject: Subject, place: Place, frames: Tensor, clock: Clock, effort: Effort) -> Iterator[Result]:
    """p50 and p95 latency of one of `frames`, and load time. Raises `Refused`, `Unusable`."""
    loads = _in_turns(
        [_loader(item, place) for item in subject.candidates], clock, Effort(effort.loads, 0, effort.loads, 0)
    )
    yield device_result(subject, place, "load-time", [_microseconds(times, Fraction(1, 2)) for times in loads])
    runners = [_runner(item, place, frames) for item in subject.candidates]
    for number in range(WARM_UP):
        for run in runners:
            run(number)
    times = _in_turns(runners, clock, effort)
    yield device_result(subject, place, "p50-latency", [_microseconds(one, Fraction(1, 2)) for one in times])
    yield device_result(subject, place, "p95-latency", [_microseconds(one, Fraction(95, 100)) for one in times])


def _in_turns(actions: Sequence[Callable[[int], None]], clock: Clock, effort: Effort) -> list[list[int]]:
    """Nanoseconds that each action took, round by round; who comes first changes from round to round."""
    times: list[list[int]] = [[] for _ in actions]
    end = clock() + effort.seconds * NANOSECONDS
    for number in range(effort.rounds):
        if number >= effort.fewest and clock() > end:
            break
        for turn in range(len(actions)):
            which = (number + turn) % len(actions)
            began = clock()
            actions[which](number)
            times[which].append(clock() - began)
    return times


def _loader(candidate: Candidate, place: Place) -> Callable[[int], None]:
    def load(_number: int) -> None:
        Session(candidate.model, place.providers[candidate.role])

    return load


def _runner(candidate: Candidate, place: Place, frames: Tensor) -> Callable[[int], None]:
    session, config = Session(candidate.model, place.providers[candidate.role]), candidate.inference

    def run(number: int) -> None:
        row = number % len(frames)
        answer(session.run(config.input.name, normalize(frames[row : row + 1], config.input)))

    return run


def _microseconds(samples: Sequence[int], share: Fraction) -> Estimate:
    return scaled(quantile_of(samples, share), 1_000)


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
