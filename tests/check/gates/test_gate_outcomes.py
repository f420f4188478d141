"""Every gate kind passes, fails, errs and is inconclusive, each for its own reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, get_args

import pytest
from gate_situations import (
    CLASS,
    NEW,
    OLD,
    against,
    case_of,
    edited,
    measurement,
    policy_with,
    rebuild,
    share,
    slsa,
    statement,
    verdict_of,
)

from fleets import make_class, make_release, pin
from muster.check.gates.decide import gate_verdicts
from muster.check.gates.table import GATE_KINDS
from muster.check.verdict import Outcome, Verdict
from muster.kinds.policy import GateMetric

SOURCE = NEW.spec.source.digest
OF_OLD = OLD.spec.artifact.digest
HERE = {"deviceClass": CLASS}


def times(metric: str, value: str, lower: str, upper: str, samples: int = 500) -> dict[str, Any]:
    return {**HERE, "metric": metric, "value": value, "lower": lower, "upper": upper, "confidence": "0.95"} | {
        "samples": samples
    }


def accuracy(both: int, this: int, baseline: int, total: int = 400) -> dict[str, Any]:
    paired = against("source", SOURCE, both, this, baseline, total)
    return share("accuracy", both + this, total, baselines=[paired])


def on_class(**fields: Any) -> dict[str, Any]:
    found = make_class(CLASS)
    runtime = found.spec.runtime.model_copy(update=fields)
    return {"classes": [found.model_copy(update={"spec": found.spec.model_copy(update={"runtime": runtime})})]}


def bounded(metric: str, inside: str, outside: str, straddling: tuple[str, str, str]) -> dict[Outcome, Any]:
    """The four outcomes of a metric that is measured on a device, against the budget of its class."""
    gate = {"metric": metric, "comparator": "<=", "threshold": "1", "relativeTo": "budget", "bound": "upper"}
    return {
        "pass": (gate, [measurement(times(metric, inside, inside, inside))]),
        "fail": (gate, [measurement(times(metric, outside, outside, outside))]),
        "error": (gate, [measurement({**HERE, "metric": metric, "value": "-1"})]),
        "inconclusive": (gate, [measurement(times(metric, *straddling))]),
    }


KEPT = {"metric": "accuracy", "comparator": ">=", "threshold": "0.98", "relativeTo": "source", "bound": "lower"}
SMALL = {"metric": "artifact-size", "comparator": "<=", "threshold": "1", "relativeTo": "budget"}
PACKAGE = {"metric": "package-size", "comparator": "<=", "threshold": "4KiB", "minSamples": 1}
GAP = {"metric": "fairness-gap", "comparator": "<=", "threshold": "0.1", "minSamples": 50}
NOISE = {"metric": "robustness", "comparator": ">=", "threshold": "0.9", "relativeTo": "clean", "bound": "lower"}
ENOUGH = {"metric": "calibration-samples", "comparator": ">=", "threshold": "100"}
DISJOINT = {"metric": "calibration-overlap", "comparator": "==", "threshold": "0"}
SOAK = {"metric": "soak", "comparator": ">=", "threshold": "24h", "minSamples": 100}
RUNS = {"metric": "compatibility", "comparator": "==", "threshold": "1"}
ACTIVE = {"metric": "delegate-active", "comparator": "==", "threshold": "1"}
REBUILT = {"metric": "reproducibility", "comparator": ">=", "threshold": "3"}
SIGNED = {"metric": "signature", "comparator": ">=", "threshold": "1"}
ORIGIN = {"metric": "provenance", "comparator": ">=", "threshold": "1"}
COST = {"metric": "inference-cost", "comparator": "<=", "threshold": "1.1", "relativeTo": "superseded"}
DAY = 86_400_000_000


def slices(*counts: tuple[int, int]) -> Any:
    return measurement(*(share("accuracy", *count, slice=f"s{number}") for number, count in enumerate(counts)))


def noisy(hits: int, total: int, clean: int) -> Any:
    return measurement(share("robustness", hits, total), share("accuracy", clean, total))


def soaked(value: int, samples: int = 200) -> Any:
    return measurement({**HERE, "metric": "soak", "value": str(value), "samples": samples})


def cost(value: int, digest: str = OF_OLD, **fields: Any) -> Any:
    baseline = {"of": "superseded", "digest": digest, "value": "1000"}
    return measurement({"metric": "inference-cost", "value": str(value), "baselines": [baseline]}, **fields)


# metric → outcome → (gate, evidence[, what else differs])
SITUATIONS: Mapping[GateMetric, Mapping[Outcome, Any]] = {
    "accuracy": {
        "pass": (KEPT, [measurement(accuracy(380, 3, 2))]),
        "fail": (KEPT, [measurement(accuracy(340, 0, 45))]),
        "error": (
            KEPT,
            [measurement(share("accuracy", 380, 400, baselines=[against("source", OF_OLD, 380, 0, 0, 400)]))],
        ),
        "inconclusive": (KEPT, [measurement(accuracy(375, 3, 8))]),
    },
    "p50-latency": bounded("p50-latency", "5000", "11000", ("9900", "9000", "10500")),
    "p95-latency": bounded("p95-latency", "9000", "12000", ("9900", "9000", "10500")),
    "p99-latency": bounded("p99-latency", "9000", "12000", ("9900", "9000", "10500")),
    "cold-latency": bounded("cold-latency", "900000", "1200000", ("990000", "900000", "1050000")),
    "peak-ram": bounded("peak-ram", "1048576", "99999999", ("67000000", "60000000", "70000000")),
    "load-time": bounded("load-time", "5000", "2000000", ("990000", "900000", "1050000")),
    "artifact-size": {
        "pass": (SMALL, []),
        "fail": (SMALL | {"threshold": "0.0009"}, []),
        "error": (SMALL | {"threshold": "1KiB"}, []),
        "inconclusive": (SMALL, [], {"classes": []}),
    },
    "package-size": {
        "pass": (PACKAGE, [measurement({"metric": "package-size", "value": "4096", "samples": 1})]),
        "fail": (PACKAGE, [measurement({"metric": "package-size", "value": "4097", "samples": 1})]),
        "error": (PACKAGE, [measurement({"metric": "package-size", "value": 4096.5})]),
        "inconclusive": (PACKAGE, [measurement({"metric": "package-size", "value": "4096"})]),
    },
    "fairness-gap": {
        "pass": (GAP, [slices((95, 100), (90, 100))]),
        "fail": (GAP, [slices((95, 100), (80, 100))]),
        "error": (GAP, [measurement(share("accuracy", 9, 10, slice="a"), share("accuracy", 9, 10, slice="a"))]),
        "inconclusive": (GAP, [slices((95, 100), (93, 100), (9, 10))]),
    },
    "robustness": {
        "pass": (NOISE, [noisy(380, 400, 385)]),
        "fail": (NOISE, [noisy(200, 400, 385)]),
        "error": (NOISE, [measurement(share("robustness", 380, 400))]),
        "inconclusive": (NOISE, [noisy(36, 40, 39)]),
    },
    "calibration-samples": {
        "pass": (ENOUGH, [measurement({"metric": "calibration-samples", "value": "100"})]),
        "fail": (ENOUGH, [measurement({"metric": "calibration-samples", "value": "99"})]),
        "error": (ENOUGH, [measurement({"metric": "calibration-samples", "value": "many"})]),
        "inconclusive": (ENOUGH, [measurement({"metric": "calibration-samples", "value": "100"}, made_at=None)]),
    },
    "calibration-overlap": {
        "pass": (DISJOINT, [measurement(share("calibration-overlap", 0, 400))]),
        "fail": (DISJOINT, [measurement(share("calibration-overlap", 1, 400))]),
        "error": (DISJOINT, [measurement(share("calibration-overlap", 401, 400))]),
        "inconclusive": (DISJOINT, [measurement({"metric": "calibration-overlap", "value": "0", "samples": 0})]),
    },
    "soak": {
        "pass": (SOAK, [soaked(DAY)]),
        "fail": (SOAK, [soaked(DAY - 1)]),
        "error": (SOAK, [measurement({**HERE, "metric": "soak", "value": "1d"})]),
        "inconclusive": (SOAK, [soaked(DAY, 99)]),
    },
    "compatibility": {
        "pass": (RUNS, []),
        "fail": (RUNS, [], on_class(version="1.30.0")),
        "error": (RUNS, [], on_class(version="9.0.0")),
        "inconclusive": (RUNS, [], {"classes": []}),
    },
    "delegate-active": {
        "pass": (ACTIVE, [measurement(share("delegate-active", 12, 12, **HERE))]),
        "fail": (ACTIVE, [measurement(share("delegate-active", 11, 12, **HERE))]),
        "error": (ACTIVE, [measurement(share("delegate-active", 12, 12, **HERE), predicate={"environment": "cpu"})]),
        "inconclusive": (ACTIVE, [measurement({**HERE, "metric": "delegate-active", "value": "1", "samples": 0})]),
    },
    "reproducibility": {
        "pass": (REBUILT, [rebuild(), rebuild(cpu="arm/8/1", signer="other", name="again"), slsa(signer="ci")]),
        "fail": (REBUILT, [rebuild(), rebuild("BAD", cpu="arm/8/1", signer="other", name="again")]),
        "error": (REBUILT, [rebuild("PERHAPS")]),
        "inconclusive": (REBUILT, [rebuild(level="L2")]),
    },
    "signature": {
        "pass": (SIGNED, [measurement({"metric": "soak", "value": "1"})]),
        "fail": (SIGNED, []),
        "error": (SIGNED, [statement("", None, problem="no JSON", problem_kind="broken", signer=None, subjects=())]),
        "inconclusive": (SIGNED, [], {"keys": []}),
    },
    "provenance": {
        "pass": (ORIGIN, [slsa(pin("table"), SOURCE)]),
        "fail": (ORIGIN, [slsa(pin("table"))]),
        "error": (ORIGIN, [statement("https://slsa.dev/provenance/v1", {"buildDefinition": {}})]),
        "inconclusive": (ORIGIN, [slsa()]),
    },
    "inference-cost": {
        "pass": (COST, [cost(1_100)]),
        "fail": (COST, [cost(1_101)]),
        "error": (COST, [cost(1_000, SOURCE)]),
        "inconclusive": (COST | {"bound": "upper"}, [cost(1_000)]),
    },
}


def judged(gate: Mapping[str, Any], evidence: Any, fields: Mapping[str, Any] | None = None) -> Verdict:
    return verdict_of(gate, evidence, **(fields or {}))


@pytest.mark.parametrize("metric", get_args(GateMetric))
@pytest.mark.parametrize("outcome", get_args(Outcome))
def test_every_kind_has_every_outcome(metric: GateMetric, outcome: Outcome) -> None:
    """Each metric of the table comes to each outcome; what does not pass has a hint, what was measured is shown."""
    verdict = judged(*SITUATIONS[metric][outcome])
    assert outcome == verdict.outcome, verdict.message
    assert verdict.rule == f"gate/{metric}"
    assert verdict.tier == "production"
    assert verdict.threshold
    assert bool(verdict.hint) == (outcome != "pass"), verdict
    assert outcome != "pass" or verdict.measured
    assert (verdict.device_class == CLASS) == (GATE_KINDS[metric].scope == "class" or metric == "artifact-size")
    assert verdict.message.isascii()


EVIDENCED = [metric for metric, kind in GATE_KINDS.items() if kind.command]


@pytest.mark.parametrize("metric", EVIDENCED)
def test_a_missing_statement_fails_with_the_command_that_makes_it(metric: GateMetric) -> None:
    """Without any evidence the gate fails, and the hint is a command about this release."""
    verdict = judged(SITUATIONS[metric]["pass"][0], [])
    assert verdict.outcome == "fail"
    assert verdict.hint.startswith(("muster evidence ", "muster measure "))
    assert NEW.path in verdict.hint
    assert "{" not in verdict.hint


@pytest.mark.parametrize("metric", sorted(set(GATE_KINDS) - set(EVIDENCED)))
def test_declarations_need_no_evidence(metric: GateMetric) -> None:
    """What the release declares answers without any file."""
    assert judged(SITUATIONS[metric]["pass"][0], []).outcome == "pass"


def test_a_release_without_reduced_range_does_not_run_where_8_bit_weights_saturate() -> None:
    """The same artifact fits a class with 8-bit dot products, and not one without."""
    recipe = NEW.spec.recipe
    wide = recipe.model_copy(update={"quantize": recipe.quantize.model_copy(update={"reduce_range": False})})
    release = edited(NEW, recipe=wide)
    found = make_class(CLASS)
    newer = found.model_copy(update={"spec": found.spec.model_copy(update={"isa": ("x86-64-v4", "avx512-vnni")})})
    assert verdict_of(RUNS, release=release).outcome == "fail"
    assert verdict_of(RUNS, release=release, classes=[newer]).outcome == "pass"


def other_onnx(**fields: int) -> Callable[[], Verdict]:
    return lambda: verdict_of(RUNS, release=edited(NEW, onnx=NEW.spec.onnx.model_copy(update=fields)))


INCOMPATIBLE: Mapping[str, Callable[[], Verdict]] = {
    "opset too new": other_onnx(opset=27),
    "IR too new": other_onnx(ir=14),
    "provider that the class lacks": lambda: verdict_of(RUNS, **on_class(providers=("XnnpackExecutionProvider",))),
}


@pytest.mark.parametrize("name", INCOMPATIBLE)
def test_what_a_class_cannot_run_fails(name: str) -> None:
    """Each row of the compatibility matrix is looked at."""
    assert INCOMPATIBLE[name]().outcome == "fail"


def test_an_unknown_instruction_set_is_an_error() -> None:
    """Nobody guesses what an instruction set can do."""
    found = make_class(CLASS)
    odd = found.model_copy(update={"spec": found.spec.model_copy(update={"isa": ("z80",)})})
    assert verdict_of(RUNS, classes=[odd]).outcome == "error"


def test_the_release_must_be_declared_for_the_class_of_the_evidence() -> None:
    """A latency from another class is no latency of this one."""
    result = {**times("p95-latency", "100", "90", "110"), "deviceClass": "cam-edge"}
    gate = {"metric": "p95-latency", "comparator": "<=", "threshold": "20ms"}
    assert verdict_of(gate, [measurement(result)]).outcome == "fail"
    here = {**result, "deviceClass": CLASS}
    assert verdict_of(gate, [measurement(here)]).outcome == "pass"
    assert verdict_of(gate, [measurement(here, provider="XnnpackExecutionProvider")]).outcome == "fail"


def test_one_verdict_per_class() -> None:
    """A gate that is per class is asked once for each class of the release."""
    release = make_release("1.1.0", {"canary": "5%"}, classes=(CLASS, "cam-edge"), supersedes="1.0.0")
    found = list(gate_verdicts(case_of(policy_with(RUNS, ENOUGH), release=release)))
    assert [verdict.device_class for verdict in found] == [CLASS, "cam-edge", None]
