"""Answers with another CPU's instructions: an int8 model that saturates on AVX2 without VNNI is caught."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest

from fleets import make_cohort, make_policy
from meter_example import ROOT, changed
from muster.attest.evidence import evidence_path, read_evidence, sign_evidence
from muster.attest.keys import new_private_key, public_half
from muster.build.declarations import read_device_classes
from muster.build.emulation import emulator
from muster.build.measuring.answers import answer_results
from muster.build.measuring.emulated import EmulatedCpu
from muster.build.measuring.instructions import flags
from muster.build.measuring.machine import LEVELS, this_machine
from muster.build.measuring.measurement import measure_emulated, measurement
from muster.build.measuring.scoring import Job
from muster.build.measuring.speed import Place
from muster.build.measuring.subject import Subject
from muster.build.onnx_runtime import CPU
from muster.build.onnx_safety.safe_model import SafeModel
from muster.check.case import Case
from muster.check.change import difference
from muster.check.gates.decide import gate_verdicts
from muster.check.verdict import Verdict
from muster.kinds.errors import Refused, Unusable
from muster.kinds.evidence import MEASUREMENT, Measurement, Result
from muster.kinds.fleet import Fleet
from muster.kinds.policy import Gate
from muster.kinds.pull_request import PullRequest
from muster.kinds.signing_key import SigningKey
from saturating import PIXELS, VNNI, saturating_subject

NOW = datetime(2026, 3, 1, 10, tzinfo=UTC)
EDGE = read_device_classes(ROOT)["cam-edge"]
PLACE = Place("cam-edge", dict.fromkeys(("artifact", "source"), CPU))
pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        shutil.which("qemu-x86_64") is None or platform.machine() != "x86_64",
        reason="needs an x86-64 machine with qemu-x86_64 (`make peers`)",
    ),
]


@pytest.fixture(scope="module")
def subject() -> Subject:
    return saturating_subject()


@pytest.fixture(scope="module")
def haswell() -> EmulatedCpu:
    return EmulatedCpu.of("Haswell", this_machine())


@pytest.fixture(scope="module")
def measured(subject: Subject, haswell: EmulatedCpu) -> Measurement:
    """As a gateway: a class with AVX2."""
    return measure_emulated(subject, EDGE, None, haswell, NOW)


def accuracy(results: Iterable[Result]) -> list[tuple[Decimal, Decimal]]:
    """Of the artifact, and of its source."""
    found = [one for one in results if (one.metric, one.slice) == ("accuracy", None)]
    return [(one.value, one.baselines[0].value) for one in found]


@pytest.mark.skipif(not VNNI & this_machine().flags, reason="this machine has no VNNI: it saturates itself")
def test_saturation_shows_on_the_class(subject: Subject, measured: Measurement) -> None:
    """All right here, and half wrong with AVX2 alone, while the source is right in both."""
    assert accuracy(answer_results(subject)) == [(1, 1)]
    assert accuracy(measured.results) == [(Decimal("0.5"), 1)]


@pytest.mark.skipif(not VNNI & this_machine().flags, reason="this machine has no VNNI: it saturates itself")
def test_saturation_stops_the_gate(subject: Subject, measured: Measurement) -> None:
    """From the model to the verdict: what was measured here passes for the release, and stands for no class that
    declares its CPU; only the emulated answers do, and they fail the gate.
    """
    here = measurement(subject, list(answer_results(subject)), NOW, this_machine().described())
    vouched = measurement(
        subject, list(answer_results(subject, PLACE)), NOW + timedelta(hours=1), this_machine().described()
    ).model_copy(update={"where": "native"})
    verdicts = judged(subject, {"measurement": here})
    assert {(None, "pass"), ("cam-edge", "fail")} == {(one.device_class, one.outcome) for one in verdicts}
    # Newer, and by the key that is trusted: but not with the instructions of the class.
    (edge,) = [one for one in judged(subject, {"measurement": here, "vouched": vouched}) if one.device_class]
    assert (edge.outcome, "and cam-edge has Haswell" in edge.message) == ("fail", True)
    assert edge.hint == "muster measure releases/meter-reader/1.2.0.yaml --class cam-edge --key KEY"
    files = {"measurement": here, "measurement-cam-edge-emulated": measured, "vouched": vouched}
    (edge,) = [one for one in judged(subject, files) if one.device_class]
    assert (edge.outcome, edge.evidence.rpartition("/")[2]) == ("fail", "measurement-cam-edge-emulated.json")
    assert edge.measured.startswith("0.5 ")


def judged(subject: Subject, files: Mapping[str, Measurement]) -> list[Verdict]:
    """What the accuracy gate says of the release, which goes to a class that declares its CPU."""
    release, key = subject.release, new_private_key()
    runtimes = tuple(one for one in release.spec.runtimes if one.device_class == "cam-edge")
    release = changed(release, runtimes=runtimes)
    gate = Gate.model_validate(
        {"name": "kept", "metric": "accuracy", "comparator": ">=", "threshold": "0.9", "relativeTo": "source"}
    )
    policy = make_policy()
    tiers = tuple(tier.model_copy(update={"gates": (gate,), "name": release.spec.tier}) for tier in policy.spec.tiers)
    declaration = {"metadata": {"name": "lab"}, "spec": {"publicKey": public_half(key), "uses": ["evidence"]}}
    trusted = SigningKey.model_validate(declaration)
    around = [
        policy.model_copy(update={"spec": policy.spec.model_copy(update={"tiers": tiers})}),
        EDGE.model_copy(update={"spec": EDGE.spec.model_copy(update={"cpu": "Haswell"})}),
        make_cohort("canary", 1, ring="canary"),
        make_cohort("fleet", 2),
        trusted,
    ]
    evidence = []
    for name, found in files.items():
        path, predicate = (
            evidence_path(release.spec.artifact.digest, name),
            found.model_dump(mode="json", exclude_none=True),
        )
        data = sign_evidence({release.name: release.spec.artifact.digest}, MEASUREMENT, predicate, key)
        evidence.append(read_evidence(path, data, [trusted]))
    change = difference(Fleet.of(around), Fleet.of([release, *around]), ())
    case = Case(change, PullRequest("a" * 40, "b" * 40), NOW + timedelta(hours=2), tuple(evidence))
    return list(gate_verdicts(case))


def test_a_cpu_without_avx_does_not_saturate(subject: Subject) -> None:
    """So what shows is the instructions, and not the emulator; it is no device of a class that asks for more."""
    nehalem = EmulatedCpu.of("Nehalem", this_machine())
    assert accuracy(answer_results(subject, PLACE, nehalem.score)) == [(1, 1)]
    with pytest.raises(Refused, match=r"emulated/Nehalem\) lacks x86-64-v3, which cam-edge declares"):
        measure_emulated(subject, EDGE, None, nehalem, NOW)


def test_nothing_of_it_is_speed_and_it_says_where_it_ran(measured: Measurement) -> None:
    """Latency, load time and memory of an emulator are nobody's."""
    assert {one.metric for one in measured.results} == {"accuracy", "fairness-gap", "robustness"}
    assert {one.device_class for one in measured.results} == {"cam-edge"}
    environment = measured.environment
    assert (environment["cpu"], environment["emulatedOn"]) == ("x86_64/emulated/Haswell", this_machine().cpu)
    assert (environment["isa"], environment["speed"]) == ("avx avx2", "not measured: emulated")
    assert measured.where == "emulated"


def test_instructions_are_asked_for_where_the_process_runs(haswell: EmulatedCpu) -> None:
    """Not read from the real machine's list: what the class asks for must be there in truth."""
    assert LEVELS["x86-64-v3"] <= haswell.machine.flags
    assert not (VNNI | {"avx512f"}) & haswell.machine.flags
    assert flags() <= this_machine().flags


def test_a_model_that_does_not_run_there_is_refused(haswell: EmulatedCpu) -> None:
    """With the runtime's own words."""
    job = Job(SafeModel(b"no model"), CPU, "x", 2, {"clean": np.zeros((1, PIXELS), np.float32)})
    with pytest.raises(Refused, match=r"x86_64/emulated/Haswell: .*does not load"):
        replace(haswell, command=("/usr/bin/env",)).score({"artifact": job})


@pytest.mark.parametrize("cpu", ["", "nothing", "Haswell,+avx512f", "-version", "a" * 1_000, "help"])
def test_a_cpu_that_qemu_does_not_know(cpu: str) -> None:
    """Neither a feature nor an option comes in by the name."""
    with pytest.raises(Unusable, match="qemu knows no CPU"):
        emulator(cpu)


def test_a_process_that_is_not_emulated_gives_the_same_scores(subject: Subject) -> None:
    """The way there and back changes nothing."""
    plain = EmulatedCpu(("/usr/bin/env",), this_machine(), this_machine())
    assert list(answer_results(subject, PLACE)) == list(answer_results(subject, PLACE, plain.score))
