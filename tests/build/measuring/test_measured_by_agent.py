"""A reference device runs the job that it is given, and its record comes to the same answers as here."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from meter_example import ROOT, release
from muster.agent.identity import Identity
from muster.agent.job import Job, read_job
from muster.agent.measuring import Reference, record
from muster.agent.runtime import OnnxRuntime
from muster.artifacts.tensors import dump_tensors, load_tensors
from muster.artifacts.timing import Effort
from muster.build.declarations import read_device_classes
from muster.build.measuring.answers import answer_results
from muster.build.measuring.from_device import job_of, measure_from_record, read_record
from muster.build.measuring.machine import this_machine
from muster.build.measuring.speed import Place
from muster.build.measuring.subject import Subject
from muster.kinds.device_class import DeviceClass
from muster.kinds.device_record import DeviceRecord
from muster.kinds.digest import digest_of
from muster.kinds.errors import Refused, Unusable

NOW = datetime(2026, 3, 1, 10, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
CPU = "CPUExecutionProvider"
OLDER = release("1.1.0")
PLACE = Place("cam-day", {"artifact": CPU, "source": CPU, "superseded": CPU})
SMALL = Effort(rounds=30, loads=6, fewest=30, seconds=0, processes=1)


@pytest.fixture(scope="module")
def day() -> DeviceClass:
    """With a reference device, and a CPU of its own: what a device of it says needs no emulation."""
    found = read_device_classes(ROOT)["cam-day"]
    update = {"reference_devices": ("bench-7",), "cpu": "Nehalem"}
    return found.model_copy(update={"spec": found.spec.model_copy(update=update)})


@pytest.fixture(scope="module")
def made(subject: Subject, day: DeviceClass) -> bytes:
    return job_of(subject, day, OLDER)


@pytest.fixture(scope="module")
def job(made: bytes, tmp_path_factory: pytest.TempPathFactory) -> Job:
    path = tmp_path_factory.mktemp("job") / "cam-day.job"
    path.write_bytes(made)
    return read_job(path, digest_of(made))


def reference(*, soak: int = 0, device_class: str = "cam-day") -> Reference:
    """As if this machine were one."""
    fields = {"device_id": "bench-7", "device_class": device_class, "labels": {}, "models": ("meter-reader",)}
    identity = Identity(**fields, server="https://127.0.0.1")
    return Reference(identity, OnnxRuntime(), time.perf_counter_ns, SMALL, NOW, soak)


@pytest.fixture(scope="module")
def recorded(job: Job) -> DeviceRecord:
    return record(job, reference())


def test_a_record_comes_to_a_measurement(subject: Subject, day: DeviceClass, recorded: DeviceRecord) -> None:
    """All that a gate may ask of a class, of a device that is named; answers and nodes are those found here."""
    there = measure_from_record(subject, day, OLDER, read_record(recorded.model_dump_json().encode()), LATER)
    assert (there.where, there.measured_at) == ("reference-device", "2026-03-01T10:00:00Z")
    assert (there.environment["device"], there.environment["cpu"]) == ("bench-7", this_machine().cpu)
    here = list(answer_results(subject, PLACE))
    assert [one for one in there.results if one.metric in {"accuracy", "fairness-gap", "robustness"}] == here
    of = {one.metric: one for one in there.results}
    timed = ("load-time", "cold-latency", "p50-latency", "p95-latency", "p99-latency")
    assert [of[metric].samples for metric in timed] == [6, 6, 30, 30, 30]
    for metric in timed:
        assert of[metric].value > 0
        assert [one.of for one in of[metric].baselines if one.ratio] == ["source", "superseded"]
    assert 20 * 2**20 < of["peak-ram"].value < 400 * 2**20
    assert (of["delegate-active"].value, {node.provider for node in there.coverage}) == (1, {CPU})


def test_the_job_is_a_function_of_what_is_declared(subject: Subject, day: DeviceClass, made: bytes) -> None:
    """Whoever makes it again gets the same bytes, and another class or baseline makes other ones."""
    assert job_of(subject, day, OLDER) == made
    assert job_of(subject, read_device_classes(ROOT)["cam-edge"], OLDER) != made
    assert job_of(Subject(**{**vars(subject), "candidates": subject.candidates[:2]}), day, None) != made


def test_a_soak_is_recorded_alone(subject: Subject, day: DeviceClass, job: Job) -> None:
    """For how long answers held, and nothing else."""
    found = record(job, reference(soak=1_000_000))
    assert (found.candidates, found.coverage) == ({}, ())
    measured = measure_from_record(subject, day, OLDER, found, LATER)
    assert [(one.metric, one.value >= 1_000, one.samples) for one in measured.results] == [
        ("soak", True, found.soak.good)
    ]


def changed_best(recorded: DeviceRecord, best: Any) -> dict[str, Any]:
    mine = recorded.candidates["artifact"]
    return {
        "candidates": {
            **recorded.candidates,
            "artifact": mine.model_copy(update={"best": {**mine.best, "glare": best}}),
        }
    }


ODD = {
    "another job": (lambda _: {"job": "sha256:" + "0" * 64}, "of another job"),
    "another device": (lambda _: {"device_id": "bench-8"}, "bench-8 is no reference device of cam-day"),
    "another class": (lambda _: {"device_class": "cam-edge"}, "not of cam-day"),
    "another runtime": (lambda _: {"runtime_version": "1.30.0"}, r"has onnxruntime 1\.30\.0"),
    "other instructions": (lambda _: {"processor": "flags : fpu"}, "lacks x86-64-v2"),
    "no baseline": (lambda one: {"candidates": {"artifact": one.candidates["artifact"]}}, "says nothing of the source"),
    "too few answers": (lambda one: changed_best(one, (1,)), "does not answer each glare frame"),
    "no such label": (lambda one: changed_best(one, (10,) * 280), "does not answer each glare frame"),
    "no nodes": (lambda _: {"coverage": ()}, "traced no node"),
    "made in the future": (lambda _: {"recorded_at": "2027-01-01T00:00:00Z"}, "in the future"),
    "made at no time": (lambda _: {"recorded_at": "yesterday"}, "made at 'yesterday'"),
}


@pytest.mark.parametrize("name", ODD)
def test_a_record_of_something_else_is_refused(
    subject: Subject, day: DeviceClass, recorded: DeviceRecord, name: str
) -> None:
    """Each with its reason; nothing is measured from a part of it."""
    change, words = ODD[name]
    with pytest.raises((Refused, Unusable), match=words):
        measure_from_record(subject, day, OLDER, recorded.model_copy(update=change(recorded)), LATER)


@pytest.mark.parametrize("data", [b"", b"{}", b"[" * 100_000, b'{"format": "muster:device-record/v1", "job": 1}'])
def test_what_is_no_record(data: bytes) -> None:
    """Of any size and depth."""
    with pytest.raises(Unusable, match="no record of a device"):
        read_record(data)


def test_a_job_is_what_its_digest_says(made: bytes, tmp_path: Path) -> None:
    """Nothing of another file is loaded; a file with the digest that is no job is told so."""
    path = tmp_path / "x.job"
    path.write_bytes(made[:-1] + b"\xff")
    with pytest.raises(Refused, match="has the digest"):
        read_job(path, digest_of(made))
    for tensors in ({}, {"plan": load_tensors(made)["golden_inputs"]}):
        data = dump_tensors(tensors)
        path.write_bytes(data)
        with pytest.raises(Unusable, match=r"no job|cannot be read"):
            read_job(path, digest_of(data))
    tensors = {name: one for name, one in load_tensors(made).items() if name != "model_artifact"}
    path.write_bytes(dump_tensors(tensors))
    with pytest.raises(Unusable, match="the job has no model_artifact"):
        record(read_job(path, digest_of(path.read_bytes())), reference())


def test_a_job_for_another_device_is_refused(job: Job) -> None:
    """By its class, and by its runtime."""
    with pytest.raises(Refused, match="this is a cam-edge"):
        record(job, reference(device_class="cam-edge"))
    other = Job(job.digest, job.plan.model_copy(update={"runtime_version": "1.30.0"}), job.tensors)
    with pytest.raises(Refused, match=r"the job is for 1\.30\.0"):
        record(other, reference())
