"""Answers with another CPU's instructions: an int8 model that saturates on AVX2 without VNNI is caught."""

from __future__ import annotations

import platform
import shutil
from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
import pytest

from meter_example import ROOT
from muster.build.declarations import read_device_classes
from muster.build.emulation import emulator
from muster.build.measuring.answers import answer_results
from muster.build.measuring.emulated import EmulatedCpu
from muster.build.measuring.instructions import flags
from muster.build.measuring.machine import LEVELS, this_machine
from muster.build.measuring.measurement import measure_emulated
from muster.build.measuring.scoring import Job
from muster.build.measuring.speed import Place
from muster.build.measuring.subject import Subject
from muster.build.onnx_runtime import CPU
from muster.build.onnx_safety.safe_model import SafeModel
from muster.kinds.errors import Refused, Unusable
from muster.kinds.evidence import Measurement
from saturating import PIXELS, VNNI, saturating_subject

NOW = datetime(2026, 3, 1, 10, tzinfo=UTC)
pytestmark = pytest.mark.skipif(
    shutil.which("qemu-x86_64") is None or platform.machine() != "x86_64",
    reason="needs an x86-64 machine with qemu-x86_64 (`make peers`)",
)


@pytest.fixture(scope="module")
def subject() -> Subject:
    return saturating_subject()


@pytest.fixture(scope="module")
def haswell() -> EmulatedCpu:
    return EmulatedCpu.of("Haswell", this_machine())


def measured_as(subject: Subject, cpu: EmulatedCpu) -> Measurement:
    """As a gateway: a class with AVX2."""
    return measure_emulated(subject, read_device_classes(ROOT)["cam-edge"], None, cpu, NOW)


def accuracy(measured: Measurement) -> tuple[Decimal, Decimal]:
    """Of the artifact, and of its source."""
    (found,) = [one for one in measured.results if (one.metric, one.slice) == ("accuracy", None)]
    return found.value, found.baselines[0].value


@pytest.mark.skipif(not VNNI & this_machine().flags, reason="this machine has no VNNI: it saturates itself")
def test_saturation_shows_on_the_class(subject: Subject, haswell: EmulatedCpu) -> None:
    """All right here, and half wrong with AVX2 alone, while the source is right in both."""
    here = [one for one in answer_results(subject) if (one.metric, one.slice) == ("accuracy", None)]
    assert [(one.value, one.baselines[0].value) for one in here] == [(1, 1)]
    measured = measured_as(subject, haswell)
    assert accuracy(measured) == (Decimal("0.5"), 1)


def test_a_cpu_without_avx_does_not_saturate(subject: Subject) -> None:
    """So what shows is the instructions, and not the emulator; it is a device of the classes that ask for no more."""
    nehalem = EmulatedCpu.of("Nehalem", this_machine())
    place = Place("cam-day", dict.fromkeys(("artifact", "source"), CPU))
    found = [one for one in answer_results(subject, place, nehalem.score) if one.metric == "accuracy"]
    assert {(one.value, one.device_class) for one in found} == {(1, "cam-day")}
    with pytest.raises(Refused, match=r"emulated/Nehalem\) lacks x86-64-v3, which cam-edge declares"):
        measured_as(subject, nehalem)


def test_nothing_of_it_is_speed_and_it_says_where_it_ran(subject: Subject, haswell: EmulatedCpu) -> None:
    """Latency, load time and memory of an emulator are nobody's."""
    measured = measured_as(subject, haswell)
    assert {one.metric for one in measured.results} == {"accuracy", "fairness-gap", "robustness"}
    assert {one.device_class for one in measured.results} == {"cam-edge"}
    environment = measured.environment
    assert (environment["cpu"], environment["emulatedOn"]) == ("x86_64/emulated/Haswell", this_machine().cpu)
    assert (environment["isa"], environment["speed"]) == ("avx avx2", "not measured: emulated")


def test_instructions_are_asked_for_where_the_process_runs(haswell: EmulatedCpu) -> None:
    """Not read from the real machine's list: what the class asks for must be there in truth."""
    assert LEVELS["x86-64-v3"] <= haswell.machine.flags
    assert not (VNNI | {"avx512f"}) & haswell.machine.flags
    assert flags() <= this_machine().flags


def test_a_model_that_does_not_run_there_is_refused(haswell: EmulatedCpu) -> None:
    """With the runtime's own words."""
    job = Job(SafeModel(b"no model"), CPU, "x", np.zeros((1, PIXELS), np.float32))
    with pytest.raises(Refused, match=r"x86_64/emulated/Haswell: .*does not load"):
        haswell.score({"artifact": job})


@pytest.mark.parametrize("cpu", ["", "nothing", "Haswell,+avx512f", "-version", "a" * 1_000, "help"])
def test_a_cpu_that_qemu_does_not_know(cpu: str) -> None:
    """Neither a feature nor an option comes in by the name."""
    with pytest.raises(Unusable, match="qemu knows no CPU"):
        emulator(cpu)


def test_a_process_that_is_not_emulated_gives_the_same_scores(subject: Subject) -> None:
    """The way there and back changes nothing."""
    plain = EmulatedCpu(("/usr/bin/env",), this_machine(), this_machine())
    place = Place("cam-edge", dict.fromkeys(("artifact", "source"), CPU))
    assert list(answer_results(subject, place)) == list(answer_results(subject, place, plain.score))
