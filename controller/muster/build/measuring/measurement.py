"""The predicate of a measurement: every result, with what it was measured on and how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from muster import __version__
from muster.artifacts.timing import Clock, Effort
from muster.build.measure import labelled
from muster.build.measuring.answers import answer_results
from muster.build.measuring.costs import cost_results
from muster.build.measuring.delegate import coverage_of, delegate_result, worth_naming
from muster.build.measuring.emulated import EmulatedCpu
from muster.build.measuring.frames import DESCRIPTIONS
from muster.build.measuring.machine import Machine, refuse_other_class, software
from muster.build.measuring.memory import memory_result
from muster.build.measuring.soak import soak_result
from muster.build.measuring.speed import Place, speed_results
from muster.build.measuring.subject import Subject
from muster.kinds.device_class import DeviceClass
from muster.kinds.errors import Refused
from muster.kinds.evidence import Covered, Measurement, Result
from muster.kinds.moment import utc_text
from muster.kinds.release import Release

HARNESS: Final = f"muster {__version__}, measuring/v1"


@dataclass(frozen=True)
class OnDevice:
    """How to measure on a machine that stands for a class. `superseded` names the provider of the baseline there."""

    declared: DeviceClass
    superseded: Release | None
    clock: Clock
    effort: Effort
    soak: int = 0
    """Microseconds; if there are any, only the soak is measured: it has a file of its own."""


def measure_anywhere(subject: Subject, package_size: Result, machine: Machine, now: datetime) -> Measurement:
    """What does not depend on the kind of device: answers, sizes, costs. Raises `Refused`, `Unusable`."""
    results = [*answer_results(subject), *cost_results(subject), package_size]
    environment = {**machine.described(), **software()}
    environment |= {f"perturbation.{name}": text for name, text in DESCRIPTIONS.items()}
    environment["slices"] = "dim-half and bright-half: at the median of the frames' mean brightness; others: declared"
    return measurement(subject, results, now, environment).model_copy(update={"where": "native"})


def measure_on_device(subject: Subject, device: OnDevice, machine: Machine, now: datetime) -> Measurement:
    """What depends on the device; answers too, unless the class has a CPU of its own: this one's are not its.

    Raises `Refused`: this machine cannot be of that class, or the release does not go there; `Unusable`, `TryAgain`.
    """
    refuse_other_class(machine, device.declared)
    place = place_of(subject, device.declared, device.superseded)
    coverage: tuple[Covered, ...] = ()
    if device.soak:
        results = [soak_result(subject, place, device.clock, device.soak)]
    else:
        frames, _ = labelled(subject.evaluation, subject.artifact.inference)
        nodes = coverage_of(subject.artifact, place.providers["artifact"], frames)
        coverage = worth_naming(nodes, place.providers["artifact"])
        results = [
            delegate_result(nodes, place),
            *(() if device.declared.spec.cpu else answer_results(subject, place)),
            *speed_results(subject, place, frames, device.clock, device.effort),
            memory_result(subject, place, frames, device.effort.processes),
        ]
    described = {**machine.described(), **software(), **environment_of(place)}
    measured = measurement(subject, results, now, described)
    return measured.model_copy(update={"where": "native", "coverage": coverage})


def measure_emulated(
    subject: Subject, declared: DeviceClass, superseded: Release | None, cpu: EmulatedCpu, now: datetime
) -> Measurement:
    """How well the artifact answers with the instructions of a class's CPU: nothing that depends on time or memory.

    Raises `Refused`: that CPU cannot be of the class, or the release does not go there; `Unusable`, `TryAgain`.
    """
    refuse_other_class(cpu.machine, declared)
    place = place_of(subject, declared, superseded)
    environment = {
        **cpu.machine.described(),
        **software(),
        **environment_of(place),
        "emulatedOn": cpu.real.cpu,
        "speed": "not measured: emulated",
    }
    measured = measurement(subject, list(answer_results(subject, place, cpu.score)), now, environment)
    return measured.model_copy(update={"where": "emulated"})


def environment_of(place: Place) -> dict[str, str]:
    """How a class runs an artifact."""
    return {"deviceClass": place.device_class, "provider": place.providers["artifact"], "threads": "1"}


def place_of(subject: Subject, declared: DeviceClass, superseded: Release | None) -> Place:
    """Where each candidate runs on that class. Raises `Refused` if the release does not go there."""
    name = declared.metadata.name
    runtime = subject.release.runtime_for(name)
    if runtime is None:
        classes = ", ".join(item.device_class for item in subject.release.spec.runtimes)
        raise Refused(f"{subject.release.name} does not go to {name}", f"it goes to {classes}")
    older = superseded.runtime_for(name) if superseded else None
    providers = {"artifact": runtime.provider, "source": runtime.provider}
    return Place(name, {**providers, "superseded": older.provider if older else runtime.provider})


def measurement(
    subject: Subject, results: Sequence[Result], now: datetime, environment: Mapping[str, str]
) -> Measurement:
    """The predicate, which says for what is not there why."""
    pins = subject.release.spec.snapshots
    absent = {"superseded": f"not measured: {subject.note}"} if subject.note else {}
    return Measurement(
        release=subject.release.name,
        measured_at=utc_text(now),
        harness=HARNESS,
        environment={**environment, **absent},
        snapshots={"calibration": pins.calibration, "evaluation": pins.evaluation, "golden": pins.golden.inputs},
        results=tuple(results),
    )
