"""Counts: honest denominators, from reports that arrive late, twice, or never."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, func, select

from muster.kinds.phases import Phase
from muster.kinds.telemetry import Report
from muster.observe.counts import first_failures, observed
from muster.observe.inventory import Enrolment, enrol
from muster.observe.reports import take_reports
from muster.observe.status import write_status
from muster.observe.storage import devices, open_storage, outcomes, writing

START = datetime(2026, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
KEY = ("meter-reader/1.1.0", "cam-day")


class Bench:
    """Devices that report what a test says, over one storage."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._sequence = 0
        write_status(connection, "releases", {"meter-reader/1.0.0": {}, "meter-reader/1.1.0": {}}, START)
        write_status(connection, "polls", {"cam-day": 60_000}, START)

    def report(
        self, device: str, phase: Phase, at: datetime, code: str | None = None, *, release: str = KEY[0], generation=1
    ) -> None:
        enrolment = Enrolment(
            device_id=device, device_class="cam-day", labels={}, models=["meter-reader"], token="t", secret="s" * 43
        )
        enrol(self.connection, enrolment, at)
        self._sequence += 1
        report = Report(
            device_id=device,
            sequence=self._sequence,
            model="meter-reader",
            device_class="cam-day",
            generation=generation,
            release=release,
            phase=phase,
            error_code=code,
            model_hash=None,
            config_version=None,
            runtime_version="1.31.1",
        )
        take_reports(self.connection, device, [report], at)

    def numbers(self, now: datetime | None = None, since: dict | None = None) -> tuple[int, int, int]:
        """(failures, tried, recalled) of 1.1.0."""
        exposure = observed(self.connection, now, since).exposure(*KEY)
        return exposure.failures, exposure.tried, exposure.recalled


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    engine = open_storage(tmp_path / "state")
    with writing(engine) as connection:
        yield Bench(connection)
    engine.dispose()


def test_only_devices_that_tried_it_count(bench: Bench) -> None:
    """Offered and downloaded devices are shown, not counted."""
    for name, phase in (("a", "offered"), ("b", "downloaded"), ("c", "activated"), ("d", "healthy")):
        bench.report(name, phase, START)
    bench.report("e", "failed", START, "load_failed")
    assert bench.numbers() == (1, 3, 0)
    assert first_failures(bench.connection) == {KEY[0]: START.isoformat(timespec="microseconds")}


def test_a_recall_takes_nothing_from_what_was_shown(bench: Bench) -> None:
    """A healthy device that is called back stays in the denominator; one that had shown nothing leaves it."""
    for name in "abcd":
        bench.report(name, "healthy", START)
    bench.report("e", "activated", START)
    bench.report("f", "rolled-back", START, "low_confidence")
    for name in "abcde":
        bench.report(name, "rolled-back", START + MINUTE, "recalled")
    assert bench.numbers() == (1, 5, 1)


def chatter(bench: Bench, start: datetime, minutes: int) -> datetime:
    """Another device goes on reporting every minute, so that the controller is known to hear; the last minute."""
    for minute in range(minutes):
        bench.report("other", "offered", start + minute * MINUTE)
    return start + (minutes - 1) * MINUTE


def test_silence_beyond_its_own_habit_is_dark(bench: Bench) -> None:
    """A device on the release that stops reporting is a failure, but not before twenty of its own pauses."""
    for minute in range(20):
        bench.report("quick", "healthy", START + minute * MINUTE)
        if minute % 10 == 0:
            bench.report("slow", "healthy", START + minute * MINUTE)
    now = chatter(bench, START + 20 * MINUTE, 20)
    assert bench.numbers(now) == (0, 2, 0)
    now = chatter(bench, now, 5)
    assert bench.numbers(now) == (1, 2, 0)
    now = chatter(bench, now, 220)
    assert bench.numbers(now) == (2, 2, 0)
    bench.report("quick", "healthy", now)
    assert bench.numbers(now) == (1, 2, 0)


def test_nobody_is_dark_while_nobody_is_heard(bench: Bench) -> None:
    """The controller was away for a day: that is not the devices' failure, and each gets its whole time again."""
    for minute in range(30):
        for device in ("a", "b"):
            bench.report(device, "healthy", START + minute * MINUTE)
    back = START + timedelta(days=1)
    assert bench.numbers(back) == (0, 2, 0)
    assert observed(bench.connection, START + 30 * MINUTE).heard
    assert not observed(bench.connection, back).heard
    bench.report("a", "healthy", back)
    assert bench.numbers(back) == (0, 2, 0)
    now = chatter(bench, back, 15)
    assert bench.numbers(now) == (0, 2, 0)
    now = chatter(bench, now, 30)
    assert bench.numbers(now) == (2, 2, 0)


def test_a_pause_in_which_nobody_was_heard_is_nobodys_habit(bench: Bench) -> None:
    """Not of the device that is heard first after it, and not of those behind it."""
    for number in range(3):
        bench.report("a", "healthy", START + number * MINUTE)
        bench.report("b", "healthy", START + number * MINUTE)
    back = START + timedelta(days=1)
    bench.report("a", "healthy", back)
    bench.report("b", "healthy", back + MINUTE / 2)
    habits = bench.connection.execute(select(devices.c.habit_ms).order_by(devices.c.device_id)).scalars()
    assert list(habits) == [60_000, 60_000]


def test_a_device_is_dark_on_its_newest_release_only(bench: Bench) -> None:
    """It left 1.0.0 in good health long before it fell silent on 1.1.0."""
    bench.report("a", "healthy", START, release="meter-reader/1.0.0")
    bench.report("a", "activated", START + MINUTE)
    now = chatter(bench, START, 60)
    later = observed(bench.connection, now)
    assert later.exposure("meter-reader/1.0.0", "cam-day").failures == 0
    assert later.exposure(*KEY).failures == 1


def test_another_attempt_is_judged_on_its_own_evidence(bench: Bench) -> None:
    """Named again on purpose at generation 5: what devices showed before says nothing."""
    bench.report("a", "rolled-back", START, "low_confidence", generation=2)
    bench.report("b", "healthy", START, generation=2)
    assert bench.numbers(since={KEY: 2}) == (1, 2, 0)
    assert bench.numbers(since={KEY: 5}) == (0, 0, 0)
    bench.report("b", "healthy", START + MINUTE, generation=5)
    assert bench.numbers(since={KEY: 5}) == (0, 1, 0)


def test_a_device_speaks_of_declared_releases_of_its_models_only(bench: Bench) -> None:
    """Made-up releases leave no row, however many are sent."""
    for number in range(50):
        bench.report("a", "failed", START, "load_failed", release=f"meter-reader/9.9.{number}")
    bench.report("a", "failed", START, "load_failed", release="other-model/1.0.0")
    assert bench.connection.execute(select(func.count()).select_from(outcomes)).scalar() == 0
