"""Times count on a reference device, or in pairs; answers of a class that declares its CPU count with that CPU's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from gate_situations import CLASS, NEW, OLD, case_of, measurement, policy_with, share, verdict_of

from fleets import make_class
from muster.check.gates.decide import gate_verdicts
from muster.kinds.device_class import DeviceClass

OF_OLD = OLD.spec.artifact.digest
FAST = {"metric": "p95-latency", "comparator": "<=", "threshold": "1", "relativeTo": "budget"}
NO_SLOWER = {
    "metric": "p95-latency",
    "comparator": "<=",
    "threshold": "1.1",
    "relativeTo": "superseded",
    "bound": "upper",
}
RIGHT = {"metric": "accuracy", "comparator": ">=", "threshold": "0.9"}


def latency(value: str, ratio: Mapping[str, str] | None = None) -> dict[str, Any]:
    """A time on the class, beside a superseded artifact that took 5 ms."""
    baseline = {"of": "superseded", "digest": OF_OLD, "value": "5000", **({"ratio": dict(ratio)} if ratio else {})}
    return {"metric": "p95-latency", "value": value, "deviceClass": CLASS, "samples": 500, "baselines": [baseline]}


def ran(where: str | None, *results: dict[str, Any], cpu: str = "x86_64/A/1/1", name: str = "measurement") -> Any:
    """A measurement that says where it ran; None: it does not."""
    environment = {"provider": "CPUExecutionProvider", "cpu": cpu}
    fields = {"environment": environment, **({"where": where} if where else {})}
    made = measurement(*results, predicate=fields, name=name)
    if where is None:
        made.predicate.pop("where")
    return made


def class_with(cpu: str | None) -> DeviceClass:
    found = make_class(CLASS)
    return found.model_copy(update={"spec": found.spec.model_copy(update={"cpu": cpu})})


@pytest.mark.parametrize(
    ("where", "outcome", "words"),
    [
        ("reference-device", "pass", "0.8"),
        ("native", "fail", "not measured on a reference device"),
        ("emulated", "fail", "emulated CPU, whose time is nobody's"),
        (None, "fail", "not measured on a reference device"),
    ],
)
def test_an_absolute_time_counts_on_a_reference_device_alone(where: str | None, outcome: str, words: str) -> None:
    """And the hint says how to get one there."""
    verdict = verdict_of(FAST, [ran(where, latency("8000"))])
    assert (outcome, True) == (verdict.outcome, words in verdict.message), verdict.message
    if outcome == "fail":
        assert verdict.hint == f"muster measure {NEW.path} --class {CLASS} --from RECORD --key KEY"


@pytest.mark.parametrize(
    ("where", "ratio", "outcome"),
    [
        ("native", {"value": "1.05", "lower": "1.04", "upper": "1.06", "confidence": "0.95"}, "pass"),
        ("native", {"value": "1.2", "lower": "1.15", "upper": "1.25", "confidence": "0.95"}, "fail"),
        ("native", {"value": "1.05", "lower": "1", "upper": "1.2", "confidence": "0.95"}, "inconclusive"),
        ("native", {"value": "1.05"}, "inconclusive"),
        ("native", {"value": "1.05", "lower": "1.06", "upper": "1.2", "confidence": "0.95"}, "error"),
        ("native", {}, "fail"),
        ("emulated", {"value": "1.05", "lower": "1.04", "upper": "1.06", "confidence": "0.95"}, "fail"),
    ],
    ids=["faster", "slower", "between", "no-bounds", "contradicts-itself", "no-pairs", "emulated"],
)
def test_elsewhere_the_ratio_of_pairs_counts(where: str, ratio: dict[str, str], outcome: str) -> None:
    """Not the ratio of two values: here that would be 4, whatever the pairs say."""
    verdict = verdict_of(NO_SLOWER, [ran(where, latency("20000", ratio))])
    assert outcome == verdict.outcome, verdict.message


def test_a_newer_measurement_elsewhere_does_not_hide_the_reference_device() -> None:
    """What does not count is passed over."""
    evidence = [ran("native", latency("99000"), name="z"), ran("reference-device", latency("8000"), name="a")]
    assert verdict_of(FAST, evidence).outcome == "pass"


def answers(outcome_of: str, *, cpu: str | None, evidence: Any = ()) -> str:
    """The outcome for the class, or for the release as a whole ("")."""
    case = case_of(policy_with(RIGHT), evidence, classes=[class_with(cpu)])
    found = {one.device_class or "": one.outcome for one in gate_verdicts(case)}
    return found.get(outcome_of, "not asked")


def test_a_class_with_a_cpu_is_asked_about_its_answers() -> None:
    """One that declares none is not: then the release's answers are everybody's."""
    whole = ran("native", share("accuracy", 99, 100))
    assert answers("", cpu=None, evidence=[whole]) == "pass"
    assert answers(CLASS, cpu=None, evidence=[whole]) == "not asked"
    assert answers("", cpu="Haswell", evidence=[whole]) == "pass"
    assert answers(CLASS, cpu="Haswell", evidence=[whole]) == "fail"


@pytest.mark.parametrize(
    ("where", "cpu", "outcome"),
    [
        ("emulated", "x86_64/emulated/Haswell", "pass"),
        ("reference-device", "x86_64/GenuineIntel/6/60", "pass"),
        ("emulated", "x86_64/emulated/Nehalem", "fail"),
        ("native", "x86_64/emulated/Haswell", "fail"),
        ("native", "x86_64/GenuineIntel/6/60", "fail"),
        (None, "x86_64/emulated/Haswell", "fail"),
    ],
)
def test_answers_count_with_the_instructions_of_the_class(where: str | None, cpu: str, outcome: str) -> None:
    """Of the CPU that it declares, or on a device that has it."""
    found = ran(where, share("accuracy", 99, 100, deviceClass=CLASS), cpu=cpu)
    assert answers(CLASS, cpu="Haswell", evidence=[found]) == outcome
