"""What is measured on a machine that stands for a device class: fair turns, honest providers, no borrowed memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from meter_example import ROOT, changed, release
from muster.artifacts.tensors import load_tensors
from muster.artifacts.timing import NANOSECONDS, Effort, in_turns
from muster.build.declarations import read_device_classes
from muster.build.measuring.delegate import coverage_of, delegate_result, worth_naming
from muster.build.measuring.machine import Machine, machine_of, refuse_other_class, this_machine
from muster.build.measuring.measurement import OnDevice, measure_on_device
from muster.build.measuring.memory import memory_result
from muster.build.measuring.soak import soak_result
from muster.build.measuring.speed import Place, speed_results
from muster.build.measuring.subject import Subject
from muster.kinds.device_class import DeviceClass
from muster.kinds.errors import Refused, Unusable
from muster.kinds.evidence import Measurement

NOW = datetime(2026, 3, 1, 10, tzinfo=UTC)
CPU = "CPUExecutionProvider"
PLACE = Place("cam-day", {"artifact": CPU, "source": CPU, "superseded": CPU})
SMALL = Effort(rounds=30, loads=6, fewest=30, seconds=0, processes=1)
X86 = "vendor_id : GenuineIntel\ncpu family : 6\nmodel : 85\nflags : {}\n\nvendor_id : Other\n"
LEVEL_2 = "cx16 lahf_lm popcnt pni sse4_1 sse4_2 ssse3"


class Watch:
    """A clock that moves by `step` ns whenever it is read."""

    def __init__(self, step: int) -> None:
        self.now, self.step = 0, step

    def __call__(self) -> int:
        self.now += self.step
        return self.now


@pytest.fixture(scope="module")
def day() -> DeviceClass:
    return read_device_classes(ROOT)["cam-day"]


def frames(subject: Subject):
    """The raw frames of the evaluation."""
    return load_tensors(subject.evaluation)["frames"]


def test_candidates_take_turns() -> None:
    """Each round runs all of them, and each of them comes first as often as the others."""
    order: list[str] = []
    actions = [lambda _n, name=name: order.append(name) or 5 for name in "abc"]
    times = in_turns(actions, Watch(5), Effort(rounds=6, loads=0, fewest=6, seconds=0))
    rounds = ["".join(order[start : start + 3]) for start in range(0, 18, 3)]
    assert rounds == ["abc", "bca", "cab"] * 2
    assert times == [[5] * 6] * 3


def test_a_slow_model_is_measured_for_a_bounded_time() -> None:
    """After the time is up no round begins, once there are enough."""
    watch = Watch(NANOSECONDS)
    times = in_turns([lambda _n: watch() and watch()], watch, Effort(rounds=1_000, loads=0, fewest=10, seconds=20))
    assert len(times[0]) == 10


def test_speed_says_what_the_clock_says(subject: Subject) -> None:
    """With a clock that moves by 2,000 ns at each look, everything takes 2 µs."""
    results = list(speed_results(subject, PLACE, frames(subject), Watch(2_000), SMALL))
    assert [result.metric for result in results] == [
        "load-time",
        "cold-latency",
        "p50-latency",
        "p95-latency",
        "p99-latency",
    ]
    for result in results:
        assert (result.value, result.device_class) == (2, "cam-day")
        assert [(one.of, one.value) for one in result.baselines] == [("source", 2), ("superseded", 2)]
        assert [one.ratio.value for one in result.baselines] == [1, 1]
        assert result.noise in (None, 0)
    assert [result.samples for result in results] == [6, 6, 30, 30, 30]


def test_memory_is_that_of_the_child(subject: Subject) -> None:
    """A parent that holds much more does not show in it: some kernels hand a parent's peak on."""
    ballast = bytearray(400 * 2**20)
    result = memory_result(subject, PLACE, frames(subject), 2)
    assert len(ballast) > 300 * 2**20 > result.value > 20 * 2**20
    assert result.samples == 2
    assert [one.of for one in result.baselines] == ["source", "superseded"]


def test_every_node_runs_on_the_declared_provider(subject: Subject) -> None:
    """On the CPU that is all of them, counted by name."""
    nodes = coverage_of(subject.artifact, CPU, frames(subject))
    result = delegate_result(nodes, PLACE)
    assert (result.metric, result.value) == ("delegate-active", 1)
    assert {node.provider for node in nodes} == {CPU}
    assert result.samples == result.successes == len({node.node for node in nodes}) > 3
    assert "QLinearConv" in {node.operator for node in nodes}


def test_a_silent_fallback_shows(subject: Subject) -> None:
    """A provider that takes no node of the graph, while the CPU does all the work, is not active."""
    available = "AzureExecutionProvider"
    nodes = coverage_of(subject.artifact, available, frames(subject))
    result = delegate_result(nodes, Place("cam-day", {"artifact": available}))
    assert (result.value, result.successes) == (0, 0)
    assert result.samples > 3
    mixed = (nodes[0].model_copy(update={"provider": available}), *nodes[1:])
    assert [node.provider for node in worth_naming(mixed, available)][-1] == available


def test_a_provider_that_is_not_there_cannot_be_measured(subject: Subject) -> None:
    """Nothing stands in for it."""
    with pytest.raises(Unusable, match="no QNNExecutionProvider"):
        coverage_of(subject.artifact, "QNNExecutionProvider", frames(subject))


def test_a_soak_ends_when_its_time_is_up(subject: Subject) -> None:
    """And every answer held: 16 golden frames a round."""
    result = soak_result(subject, PLACE, Watch(1_000_000), 5_000)
    assert (result.metric, result.value) == ("soak", 5_000)
    assert result.samples == result.successes == 5 * 16


def test_a_soak_ends_at_the_first_wrong_answer(subject: Subject) -> None:
    """The value is how long answers held: not at all."""
    inputs, _ = subject.golden
    other = release("1.1.0").spec.snapshots.golden
    wrong = Subject(**{**vars(subject), "golden": (inputs, _other_answers(subject))})
    assert other.expected != release("1.2.0").spec.snapshots.golden.expected
    result = soak_result(wrong, PLACE, Watch(1_000_000), 5_000)
    assert (result.value, result.samples, result.successes) == (0, 16, 0)


def _other_answers(subject: Subject) -> bytes:
    from muster.artifacts.tensors import dump_tensors

    scores = load_tensors(subject.golden[1])["scores_ppm"]
    return dump_tensors({"scores_ppm": scores[:, ::-1].copy()})


def test_the_predicate_of_a_device(subject: Subject, day: DeviceClass) -> None:
    """All in one, as gates read it; the environment names class and provider."""
    device = OnDevice(day, release("1.1.0"), Watch(1_000), SMALL)
    measured = measure_on_device(subject, device, this_machine(), NOW)
    assert {result.metric for result in measured.results} == {
        "accuracy",
        "delegate-active",
        "fairness-gap",
        "load-time",
        "p50-latency",
        "p95-latency",
        "p99-latency",
        "cold-latency",
        "peak-ram",
        "robustness",
    }
    assert {result.device_class for result in measured.results} == {"cam-day"}
    assert measured.where == "native"
    assert {node.provider for node in measured.coverage} == {CPU}
    assert (measured.environment["deviceClass"], measured.environment["provider"]) == ("cam-day", CPU)
    assert measured == Measurement.model_validate_json(measured.model_dump_json(exclude_none=True))
    # A class with a CPU of its own: how this one answers says nothing about it.
    own = day.model_copy(update={"spec": day.spec.model_copy(update={"cpu": "Nehalem"})})
    elsewhere = measure_on_device(subject, replace(device, declared=own), this_machine(), NOW)
    assert not {result.metric for result in elsewhere.results} & {"accuracy", "fairness-gap", "robustness"}
    soaked = measure_on_device(subject, replace(device, soak=3), this_machine(), NOW)
    assert [(result.metric, result.value) for result in soaked.results] == [("soak", 3)]


def test_a_release_that_does_not_go_there_is_not_measured_there(subject: Subject, day: DeviceClass) -> None:
    """Its numbers would be about nothing."""
    elsewhere = changed(release("1.2.0"), runtimes=release("1.2.0").spec.runtimes[1:2])
    with pytest.raises(Refused, match="does not go to cam-day"):
        measure_on_device(
            Subject(**{**vars(subject), "release": elsewhere}),
            OnDevice(day, None, Watch(1), SMALL),
            this_machine(),
            NOW,
        )


def machines() -> Iterator[tuple[Machine, bool]]:
    """Machines, and whether each can be a device of cam-day (x86-64-v2)."""
    yield machine_of(X86.format(LEVEL_2), "x86_64"), True
    yield machine_of(X86.format(f"{LEVEL_2} avx avx2"), "x86_64"), True
    yield machine_of(X86.format(LEVEL_2.replace("popcnt", "")), "x86_64"), False
    yield machine_of("CPU implementer : 0x41\nCPU part : 0xd08\nFeatures : asimd\n", "aarch64"), False
    yield machine_of("", "x86_64"), False


@pytest.mark.parametrize(("machine", "fits"), list(machines()), ids=["v2", "more", "less", "arm", "unknown"])
def test_a_machine_of_another_kind_is_refused(machine: Machine, fits: bool, day: DeviceClass) -> None:
    """What the class declares of the instruction set must be there."""
    if fits:
        refuse_other_class(machine, day)
    else:
        with pytest.raises(Refused, match="lacks x86-64-v2"):
            refuse_other_class(machine, day)


def test_another_runtime_is_refused(day: DeviceClass) -> None:
    """Numbers of one version say nothing about another."""
    runtime = day.spec.runtime.model_copy(update={"version": "1.30.0"})
    other = day.model_copy(update={"spec": day.spec.model_copy(update={"runtime": runtime})})
    with pytest.raises(Refused, match=r"declares 1\.30\.0"):
        refuse_other_class(this_machine(), other)


def test_a_cpu_is_told_by_maker_family_and_model() -> None:
    """The first processor counts; ARM says it in other fields."""
    assert machine_of(X86.format(""), "x86_64").cpu == "x86_64/GenuineIntel/6/85"
    arm = machine_of("CPU implementer : 0x41\nCPU architecture: 8\nCPU part : 0xd08\nFeatures : asimd\n", "aarch64")
    assert arm.cpu == "aarch64/0x41/8/0xd08"
    assert arm.described()["isa"] == "asimd"
