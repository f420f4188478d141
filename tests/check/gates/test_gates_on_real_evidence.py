"""The example's release 1.2.0, built, measured, signed and read back, meets the gates that a fleet would declare."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from gate_situations import policy_with

from builder_environments import lend
from fleets import make_cohort
from meter_example import LOCK, ROOT, changed, filled_store, release
from muster.artifacts.timing import Effort
from muster.attest.evidence import evidence_path, read_evidence, sign_evidence
from muster.attest.keys import new_private_key, public_half
from muster.attest.provenance import LOCAL_BUILDER, provenance_of
from muster.build.declarations import read_device_classes
from muster.build.hermetic.run import hermetic_run
from muster.build.measuring.machine import this_machine
from muster.build.measuring.measurement import OnDevice, measure_anywhere, measure_on_device
from muster.build.measuring.subject import load_subject
from muster.build.pipeline import build_release
from muster.build.rebuild import rebuild_release
from muster.check.case import Case
from muster.check.change import difference
from muster.check.gates.decide import gate_verdicts
from muster.check.gates.table import GATE_KINDS
from muster.check.verdict import Verdict
from muster.kinds.evidence import MEASUREMENT, PROVENANCE, REBUILD, Evidence, Result
from muster.kinds.fleet import Fleet
from muster.kinds.pull_request import PullRequest
from muster.kinds.resource import Metadata
from muster.kinds.signing_key import SigningKey, SigningKeySpec

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
CLASS = "cam-day"
KEY = new_private_key()
TRUSTED = SigningKey(
    metadata=Metadata(name="lab"), spec=SigningKeySpec(public_key=public_half(KEY), uses=("evidence",))
)
OLD = release("1.1.0")
DECLARED = release("1.2.0")
ONE_CLASS = {"runtimes": tuple(runtime for runtime in DECLARED.spec.runtimes if runtime.device_class == CLASS)}
NEW = changed(DECLARED, **ONE_CLASS, rollout=DECLARED.spec.rollout.model_copy(update={"cohorts": {"canary": 50_000}}))

MOST = "<="
BUDGET = {"comparator": MOST, "threshold": "1", "relativeTo": "budget"}
PAIRED = {"comparator": MOST, "threshold": "50", "relativeTo": "superseded"}
"""What any machine can tell of times, within what a busy one may do to them."""
GATES: tuple[dict[str, Any], ...] = (
    {"metric": "accuracy", "comparator": ">=", "threshold": "0.98", "relativeTo": "source", "bound": "lower"},
    {
        "name": "not-worse",
        "metric": "accuracy",
        "comparator": ">=",
        "threshold": "1",
        "relativeTo": "superseded",
        "bound": "upper",
        "minSamples": 250,
    },
    {"metric": "fairness-gap", "comparator": MOST, "threshold": "0.1", "minSamples": 40},
    {"metric": "robustness", "comparator": ">=", "threshold": "0.5", "relativeTo": "clean", "minSamples": 250},
    {"metric": "calibration-samples", "comparator": ">=", "threshold": "100"},
    {"metric": "calibration-overlap", "comparator": "==", "threshold": "0"},
    {"metric": "artifact-size", **BUDGET},
    {"metric": "package-size", **BUDGET},
    {"metric": "inference-cost", "comparator": MOST, "threshold": "3", "relativeTo": "superseded"},
    {"metric": "compatibility", "comparator": "==", "threshold": "1"},
    {"metric": "p50-latency", **PAIRED, "bound": "upper"},
    {"metric": "p95-latency", **PAIRED},
    # One answer in a hundred shows what else the machine does, and that may be anything.
    {"metric": "p99-latency", **PAIRED, "threshold": "5000"},
    {"metric": "cold-latency", **PAIRED},
    {"metric": "peak-ram", **BUDGET},
    {"metric": "load-time", **PAIRED},
    {"metric": "delegate-active", "comparator": "==", "threshold": "1", "deviceClass": CLASS},
    {"metric": "soak", "comparator": ">=", "threshold": "1us", "deviceClass": CLASS},
    {"metric": "signature", "comparator": ">=", "threshold": "1"},
    {"metric": "provenance", "comparator": ">=", "threshold": "1"},
    {"metric": "reproducibility", "comparator": ">=", "threshold": "1"},
)


def signed(predicate_type: str, predicate: dict[str, Any], name: str) -> Evidence:
    """Written to a file's bytes, and read back as a gate would."""
    path = evidence_path(NEW.spec.artifact.digest, name)
    data = sign_evidence({NEW.name: NEW.spec.artifact.digest}, predicate_type, predicate, KEY)
    return read_evidence(path, data, [TRUSTED])


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> tuple[Evidence, ...]:
    """All that can be made on one machine that stands for the class."""
    folder: Path = tmp_path_factory.mktemp("evidenced")
    store, machine = filled_store(folder), this_machine()
    build_release(OLD, store, LOCK)
    built = build_release(NEW, store, LOCK)
    subject = load_subject(NEW, OLD, store, LOCK)
    package = Result(metric="package-size", value=Decimal(len(subject.bundle)))
    effort = Effort(rounds=60, loads=12, fewest=60, seconds=0, processes=1)
    place = OnDevice(read_device_classes(ROOT)[CLASS], OLD, time.perf_counter_ns, effort)
    made = NOW - timedelta(hours=1)
    anywhere = measure_anywhere(subject, package, machine, made)
    here = measure_on_device(subject, place, machine, made)
    soaked = measure_on_device(subject, replace(place, soak=1_000), machine, made)
    run = hermetic_run(LOCK, "the lock", lend(tmp_path_factory.mktemp("state")))
    rebuilt = rebuild_release(NEW, store, LOCK, (machine, made), run=run).rebuild
    return (
        signed(MEASUREMENT, anywhere.model_dump(mode="json", exclude_none=True), "measurement"),
        signed(MEASUREMENT, here.model_dump(mode="json", exclude_none=True), f"measurement-{CLASS}"),
        signed(MEASUREMENT, soaked.model_dump(mode="json", exclude_none=True), f"soak-{CLASS}"),
        signed(REBUILD, rebuilt.model_dump(mode="json"), "rebuild"),
        signed(PROVENANCE, provenance_of(NEW, built, (made, made), LOCAL_BUILDER, machine), "provenance"),
    )


def verdicts(evidence: tuple[Evidence, ...]) -> dict[tuple[str | None, str | None], Verdict]:
    """By gate and class, for 1.2.0 going from nowhere to the canary on one class."""
    around = [make_cohort("canary", 1, ring="canary"), make_cohort("fleet", 2), TRUSTED]
    around += [read_device_classes(ROOT)[CLASS], policy_with(*GATES)]
    change = difference(Fleet.of([OLD, *around]), Fleet.of([OLD, NEW, *around]), ())
    case = Case(change, PullRequest("a" * 40, "b" * 40), NOW, evidence)
    return {(one.gate, one.device_class): one for one in gate_verdicts(case)}


def test_what_is_really_measured_passes(evidence: tuple[Evidence, ...]) -> None:
    """Every gate kind reads what the program itself writes."""
    found = verdicts(evidence)
    assert len(found) == len(GATES)
    assert {gate["metric"] for gate in GATES} == set(GATE_KINDS)
    assert [one.message for one in found.values() if one.outcome != "pass"] == []


def test_without_evidence_only_declarations_pass(evidence: tuple[Evidence, ...]) -> None:
    """And with evidence of a stranger's key nothing more does."""
    foreign = [read_evidence(one.path, b"{}", [TRUSTED]) for one in evidence]
    for given in ((), tuple(foreign)):
        passed = {gate for (gate, _), one in verdicts(given).items() if one.outcome == "pass"}
        assert {"artifact-size", "compatibility"} == passed
