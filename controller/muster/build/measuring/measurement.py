"""The predicate of a measurement: every result, with what it was measured on and how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from muster import __version__
from muster.build.measure import labelled
from muster.build.measuring.answers import answer_results
from muster.build.measuring.costs import cost_results
from muster.build.measuring.delegate import delegate_result
from muster.build.measuring.emulated import EmulatedCpu
from muster.build.measuring.frames import DESCRIPTIONS
from muster.build.measuring.machine import Machine, refuse_other_class, software
from muster.build.measuring.memory import memory_result
from muster.build.measuring.soak import soak_result
from muster.build.measuring.speed import Clock, Effort, Place, speed_results
from muster.build.measuring.subject import Subject
from muster.kinds.device_class import DeviceClass
from muster.kinds.errors import Refused
from muster.kinds.evidence import Measurement, Result
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
    environment = {f"perturbation.{name}": text for name, text in DESCRIPTIONS.items()}
    environment["slices"] = "dim-half and bright-half: at the median of the frames' mean brightness; others: declared"
    return _measurement(subject, results, machine, now, environment)


def measure_on_device(subject: Subject, device: OnDevice, machine: Machine, now: datetime) -> Measurement:
    """What depends on the device, answers included.

    Raises `Refused`: this machine cannot be of that class, or the release does not go there; `Unusable`, `TryAgain`.
    """
    refuse_other_class(machine, device.declared)
    place = _place(subject, device.declared, device.superseded)
    if device.soak:
        results = [soak_result(subject, place, device.clock, device.soak)]
    else:
        frames, _ = labelled(subject.evaluation, subject.artifact.inference)
        results = [
            delegate_result(subject.artifact, place, frames),
            *answer_results(subject, place),
            *speed_results(subject, place, frames, device.clock, device.effort),
            memory_result(subject, place, frames, device.effort.processes),
        ]
    environment = {"deviceClass": place.device_class, "provider": place.providers["artifact"], "threads": "1"}
    return _measurement(subject, results, machine, now, environment)


def measure_emulated(
    subject: Subject, declared: DeviceClass, superseded: Release | None, cpu: EmulatedCpu, now: datetime
) -> Measurement:
    """How well the artifact answers with the instructions of a class's CPU: nothing that depends on time or memory.

    Raises `Refused`: that CPU cannot be of the class, or the release does not go there; `Unusable`, `TryAgain`.
    """
    refuse_other_class(cpu.machine, declared)
    place = _place(subject, declared, superseded)
    environment = {
        "deviceClass": place.device_class,
        "provider": place.providers["artifact"],
        "threads": "1",
        "emulatedOn": cpu.real.cpu,
        "speed": "not measured: emulated",
    }
    return _measurement(subject, list(answer_results(subject, place, cpu.score)), cpu.machine, now, environment)


def _place(subject: Subject, declared: DeviceClass, superseded: Release | None) -> Place:
    name = declared.metadata.name
    runtime = subject.release.runtime_for(name)
    if runtime is None:
        classes = ", ".join(item.device_class for item in subject.release.spec.runtimes)
        raise Refused(f"{subject.release.name} does not go to {name}", f"it goes to {classes}")
    older = superseded.runtime_for(name) if superseded else None
    providers = {"artifact": runtime.provider, "source": runtime.provider}
    return Place(name, {**providers, "superseded": older.provider if older else runtime.provider})


def _measurement(
    subject: Subject, results: Sequence[Result], machine: Machine, now: datetime, environment: Mapping[str, str]
) -> Measurement:
    pins = subject.release.spec.snapshots
    absent = {"superseded": f"not measured: {subject.note}"} if subject.note else {}
    return Measurement(
        release=subject.release.name,
        measured_at=utc_text(now),
        harness=HARNESS,
        environment={**machine.described(), **software(), **environment, **absent},
        snapshots={"calibration": pins.calibration, "evaluation": pins.evaluation, "golden": pins.golden.inputs},
        results=tuple(results),
    )
