"""On a reference device by its agent: what it is given, and what its record comes to.

The job is a function of the release and the class. So whoever takes a record makes the job again, and a record of
anything else is refused. That a device told the truth, whoever signs says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
from pydantic import ValidationError

from muster.artifacts.inference import Float32
from muster.artifacts.tensors import Tensor, dump_tensors
from muster.artifacts.timing import Soaked, Times
from muster.build.measure import labelled
from muster.build.measuring.answers import answer_results
from muster.build.measuring.delegate import delegate_result, worth_naming
from muster.build.measuring.frames import variants
from muster.build.measuring.machine import Machine, machine_of, refuse_other_instructions
from muster.build.measuring.measurement import environment_of, measurement, place_of
from muster.build.measuring.memory import peaks_result
from muster.build.measuring.scoring import Job, Scores
from muster.build.measuring.soak import soaked_result
from muster.build.measuring.speed import Place, times_results
from muster.build.measuring.subject import Subject
from muster.kinds.canonical import canonical_json
from muster.kinds.device_class import DeviceClass
from muster.kinds.device_record import (
    FRAMES,
    GOLDEN_EXPECTED,
    GOLDEN_INPUTS,
    MODEL,
    PLAN,
    Candidate,
    DeviceRecord,
    Plan,
    Recorded,
)
from muster.kinds.digest import digest_of
from muster.kinds.errors import Refused, Unusable
from muster.kinds.evidence import Measurement, Result
from muster.kinds.release import Release


def job_of(subject: Subject, declared: DeviceClass, superseded: Release | None) -> bytes:
    """What a reference device of the class is to run. Raises `Refused` if the release does not go there."""
    place = place_of(subject, declared, superseded)
    candidates = {item.role: item for item in subject.candidates}
    plan = Plan(
        release=subject.release.name,
        artifact=subject.artifact.digest,
        device_class=place.device_class,
        runtime_version=declared.spec.runtime.version,
        tolerance=subject.release.spec.snapshots.golden.tolerance,
        candidates={
            role: Candidate.model_validate({"provider": place.providers[role], "inference": item.inference})
            for role, item in candidates.items()
        },
    )
    frames, _ = labelled(subject.evaluation, subject.artifact.inference)
    files = {PLAN: canonical_json(plan.model_dump(mode="json")), GOLDEN_INPUTS: subject.golden[0]}
    files |= {GOLDEN_EXPECTED: subject.golden[1]}
    files |= {f"{MODEL}{role}": bytes(item.model) for role, item in candidates.items()}
    tensors: dict[str, Tensor] = {name: np.frombuffer(data, np.uint8) for name, data in files.items()}
    return dump_tensors(tensors | {f"{FRAMES}{name}": shown for name, shown in variants(frames).items()})


def read_record(data: bytes) -> DeviceRecord:
    """Raises `Unusable`."""
    try:
        return DeviceRecord.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(step)[:40] for step in first["loc"]) or "the file"
        raise Unusable(
            f"this is no record of a device: {where!a}: {first['msg']}", "take what `muster agent measure` wrote"
        ) from error


def measure_from_record(
    subject: Subject, declared: DeviceClass, superseded: Release | None, record: DeviceRecord, now: datetime
) -> Measurement:
    """What a reference device's record comes to. Raises `Refused` if it is of another job, device or class."""
    machine, place = _device(record, declared), place_of(subject, declared, superseded)
    if record.job != digest_of(job_of(subject, declared, superseded)):
        raise Refused(
            f"the record is of another job, {record.job}",
            "write the job again with --job, and run that: release, snapshots, baselines or class changed",
        )
    environment = {
        **machine.described(),
        **environment_of(place),
        "onnxruntime": record.runtime_version,
        "muster": record.agent_version,
        "device": record.device_id,
    }
    results = (
        [soaked_result(Soaked(**dict(record.soak)), place)] if record.soak else list(_results(subject, place, record))
    )
    measured = measurement(subject, results, _recorded_at(record, now), environment)
    coverage = worth_naming(record.coverage, place.providers["artifact"])
    return measured.model_copy(update={"where": "reference-device", "coverage": coverage})


def _device(record: DeviceRecord, declared: DeviceClass) -> Machine:
    name = declared.metadata.name
    if record.device_class != name:
        raise Refused(f"{record.device_id} is a device of {record.device_class}, not of {name}", "name its class")
    if record.device_id not in declared.spec.reference_devices:
        raise Refused(
            f"{record.device_id} is no reference device of {name}",
            f"declare it in devices/classes/{name}.yaml: spec.referenceDevices",
        )
    runtime = declared.spec.runtime
    if record.runtime_version != runtime.version:
        raise Refused(
            f"{record.device_id} has {runtime.name} {record.runtime_version}, {name} declares {runtime.version}",
            "measure with the runtime that the class has",
        )
    found = machine_of(record.processor, record.architecture)
    machine = replace(found, processors=record.processors, system=record.system)
    refuse_other_instructions(machine, declared)
    return machine


def _recorded_at(record: DeviceRecord, now: datetime) -> datetime:
    try:
        found = datetime.fromisoformat(record.recorded_at).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise Unusable(f"the record says that it was made at {record.recorded_at[:64]!a}", "record again") from error
    if found > now:
        raise Refused(f"the record was made in the future, at {record.recorded_at}", "correct the device's clock")
    return found


def _results(subject: Subject, place: Place, record: DeviceRecord) -> Iterator[Result]:
    recorded = [_of(record, item.role) for item in subject.candidates]
    yield delegate_result(record.coverage, place)
    yield from answer_results(subject, place, _ScoresThere(record))
    yield from times_results(subject, place, [Times(one.loads, one.cold, one.warm) for one in recorded])
    yield peaks_result(subject, place, [one.peaks for one in recorded])


def _of(record: DeviceRecord, role: str) -> Recorded:
    found = next((one for name, one in record.candidates.items() if name == role), None)
    if found is None or not (found.loads and found.cold and found.warm and found.peaks):
        raise Refused(f"the record says nothing of the {role}", "record again: muster agent measure")
    return found


@dataclass(frozen=True)
class _ScoresThere:
    """A `Score`: one for the label that the device found best, and nothing for the others."""

    record: DeviceRecord

    def __call__(self, jobs: Mapping[str, Job]) -> Mapping[str, Scores]:
        """Raises `Refused` if the record does not answer each frame with a label."""
        return {role: {name: self._scores(role, name, job) for name in job.inputs} for role, job in jobs.items()}

    def _scores(self, role: str, variant: str, job: Job) -> Float32:
        best = next((one for name, one in _of(self.record, role).best.items() if name == variant), ())
        if len(best) != len(job.inputs[variant]) or max(best, default=0) >= job.labels:
            raise Refused(
                f"the record does not answer each {variant} frame with a label of the {role}'s",
                "record again: muster agent measure",
            )
        return np.eye(job.labels, dtype=np.float32)[np.asarray(best, dtype=np.int64)]
