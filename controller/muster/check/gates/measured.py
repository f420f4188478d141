"""Answers from `muster:measurement/v1`: numbers that somebody measured, alone or against a baseline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel

from muster.check.gates.baselines import baseline_reading
from muster.check.gates.compare import compared
from muster.check.gates.places import elsewhere
from muster.check.gates.question import Answer, Question, undeclared_class
from muster.check.gates.reading import Reading, shown
from muster.check.gates.results import count_of, problem_of, reading_of
from muster.check.gates.shares import independent_ratio_interval
from muster.check.gates.statements import Unfit, statements, unanswered
from muster.kinds.evidence import MEASUREMENT, Evidence, Measurement, Result

_Predicate = TypeVar("_Predicate", bound=BaseModel)


@dataclass(frozen=True)
class Measured:
    """A believed measurement, and its file."""

    path: str
    measurement: Measurement

    def result(self, question: Question, metric: str) -> tuple[Result, ...]:
        """Results of that metric on the class and slice that are asked about."""
        # A size is the same on every class; only the budget that it is held to is the class's.
        place = None if question.kind.scope == "budget" else question.device_class
        return tuple(
            result
            for result in self.measurement.results
            if (result.metric, result.device_class, result.slice) == (metric, place, question.gate.slice)
        )


def measured(question: Question) -> Answer:
    """The newest believed measurement that holds the gate's metric, measured where it counts, answers."""
    found, unfit = measurements(question)
    for one in found:
        results = one.result(question, question.gate.metric)
        if results and (problem := elsewhere(question, one.measurement, results[0])):
            unfit = (*unfit, Unfit("fail", problem, one.path))
        elif results:
            return _answer(question, one, results)
    return unanswered(question, unfit, _missing(question))


def measurements(question: Question) -> tuple[tuple[Measured, ...], tuple[Unfit, ...]]:
    """Believed measurements of the pinned snapshots, newest first; and what does not count."""
    found = statements(question, MEASUREMENT)
    good, unfit = [], list(found.unfit)
    for evidence in found.good:
        measurement = parsed(question, Measurement, evidence)
        if isinstance(measurement, Unfit):
            unfit.append(measurement)
        elif problem := _other_snapshot(question, measurement.snapshots):
            unfit.append(Unfit("fail", problem, evidence.path))
        else:
            good.append(Measured(evidence.path, measurement))
    return tuple(good), tuple(unfit)


def parsed(question: Question, model: type[_Predicate], evidence: Evidence) -> _Predicate | Unfit:
    """The predicate as that kind; or why it is none."""
    found = question.ground.read(model, evidence)
    return Unfit("error", found, evidence.path) if isinstance(found, str) else found


def _other_snapshot(question: Question, snapshots: Mapping[str, str]) -> str | None:
    pinned = question.release.spec.snapshots
    for name in question.kind.snapshots:
        if snapshots.get(name) != getattr(pinned, name):
            return f"measured on another {name} snapshot than {getattr(pinned, name)}, which the release pins"
    return None


def _answer(question: Question, one: Measured, results: tuple[Result, ...]) -> Answer:
    if len(results) > 1:
        return Answer("error", f"{one.path} gives {question.gate.metric} twice", question.command, evidence=one.path)
    result = results[0]
    if problem := problem_of(result, question.kind):
        return Answer("error", f"{one.path}: {problem}", question.command, evidence=one.path)
    if result.samples == 0:
        return Answer("inconclusive", f"{one.path}: it rests on no sample", question.command, evidence=one.path)
    if problem := _other_setup(question, one.measurement):
        return Answer("fail", f"{one.path}: {problem}", question.command, evidence=one.path)
    reading = _reading(question, one, result)
    return reading if isinstance(reading, Answer) else compared(question, reading)


def _reading(question: Question, one: Measured, result: Result) -> Reading | Answer:
    match question.gate.relative_to:
        case "absolute":
            return reading_of(result, question.kind, one.path)
        case "budget":
            return _over_budget(question, reading_of(result, question.kind, one.path))
        case "clean":
            return _over_clean(question, one, result)
        case "source" | "superseded" as of:
            return baseline_reading(question, of, result, one.path)


def _over_budget(question: Question, reading: Reading) -> Reading | Answer:
    budget = question.budget()
    if budget is None:
        return undeclared_class(question)
    return reading.over(budget, f"the budget of {shown(budget, reading.dimension)}")


def _over_clean(question: Question, one: Measured, result: Result) -> Reading | Answer:
    clean = [
        found
        for found in one.measurement.results
        if found.metric == "accuracy" and found.slice is None and found.device_class == question.device_class
    ]
    if len(clean) != 1 or problem_of(clean[0], question.kind) or not clean[0].value or not clean[0].samples:
        return Answer(
            "error",
            f"{one.path} gives no usable accuracy on clean inputs to compare with",
            question.command,
            evidence=one.path,
        )
    this, baseline = count_of(result), count_of(clean[0])
    bounds = independent_ratio_interval(this, baseline) if this and baseline else None
    found = reading_of(clean[0], question.kind, one.path)
    return reading_of(result, question.kind, one.path).ratio(
        found.value, bounds, f"{shown(found.value, found.dimension)}{found.about} on clean inputs"
    )


def _other_setup(question: Question, measurement: Measurement) -> str | None:
    """Whether it ran on another provider or runtime version than the release declares for the class."""
    runtime = question.release.runtime_for(question.device_class or "")
    if runtime is None:
        return None
    environment = measurement.environment
    provider = environment.get("provider")
    # Which provider ran is what delegate-active is about; elsewhere the harness may leave it open.
    if provider != runtime.provider and (provider is not None or question.gate.metric == "delegate-active"):
        return f"measured on another provider than {runtime.provider}, which the release declares"
    if environment.get(runtime.name, runtime.version) != runtime.version:
        return f"measured on another {runtime.name} than {runtime.version}, which the release declares"
    return None


def _missing(question: Question) -> str:
    on = f" on {question.device_class}" if question.device_class else ""
    of = f" of slice {question.gate.slice}" if question.gate.slice else ""
    return f"no evidence: nobody measured {question.gate.metric}{of} of {question.release.name}{on}"
