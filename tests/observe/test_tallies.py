"""Tallies: kept with every report, equal to a recount at any time, and cheap to judge by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, delete, event, text

from fleets import PUBLIC_KEY, make_fleet, make_release
from muster.kinds.phases import TIME_LIMITS, Phase
from muster.kinds.telemetry import Report
from muster.observe.counts import observed
from muster.observe.inventory import Enrolment, enrol
from muster.observe.reports import take_reports
from muster.observe.status import write_status
from muster.observe.storage import devices, open_storage, outcomes, running, tallies, writing
from muster.observe.tallies import declare_judging, keep_judging, keep_offers, read_tally, recount
from muster.plan.documents import desired_documents
from muster.plan.draws import samples
from muster.plan.exposures import never_offered
from muster.plan.judging import Judging
from muster.plan.metric_source import ArmCounts, Question, StepCounts, TallySource
from muster.plan.statistics.sample_ratio import Part
from muster.plan.world import World

START = datetime(2026, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
RELEASES = ("meter-reader/1.0.0", "meter-reader/1.1.0", "meter-reader/1.2.0")
PINS = {
    name: {"model_hash": f"sha256:{number}" + "0" * 63, "config_version": "sha256:" + "c" * 64}
    for number, name in enumerate(RELEASES)
}
PHASES = [phase for phase in get_args(Phase) if phase not in ("eligible", "dark")]
JUDGING = Judging(
    labels=("site",),
    versions={"cam-day": {"os": ("12.4", "12.5"), "runtime": ("1.31.1",)}},
    providers={name: {"cam-day": "CPUExecutionProvider"} for name in RELEASES},
    readings=("correction-share", "crash-share", "failure-share", "p95-latency", "value/queue-depth"),
    keys={"queue-depth": "amount"},
)
PLACE = (RELEASES[1], "cam-day")
STRATUM = "os=12.4 runtime=1.31.1 label.site=north"


def report(device: str, sequence: int, release: str, phase: str, generation: int = 1, **fields: Any) -> Report:
    """About a release that runs, if the phase says that it does."""
    return Report.model_validate(
        {
            "device_id": device,
            "sequence": sequence,
            "model": "meter-reader",
            "device_class": "cam-day",
            "generation": generation,
            "release": release,
            "phase": phase,
            "runtime_version": "1.31.1",
            "os_version": "12.4",
            **PINS[release],
            **fields,
        }
    )


class Bench:
    """One storage, and reports into it."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        for table in (devices, running, outcomes, tallies):
            connection.execute(delete(table))
        connection.execute(text("DELETE FROM status"))
        write_status(connection, "releases", PINS, START)
        write_status(connection, "polls", {"cam-day": 60_000}, START)
        declare_judging(connection, JUDGING, START)
        self._sequence = 0

    def enrol(self, device: str, site: str = "north") -> None:
        enrolment = Enrolment(
            device_id=device,
            device_class="cam-day",
            labels={"site": site},
            models=["meter-reader"],
            token="t",
            secret="s" * 43,
        )
        enrol(self.connection, enrolment, START)

    def take(self, *reports: Report, at: datetime = START) -> None:
        for one in reports:
            take_reports(self.connection, one.device_id, [one], at)

    def say(self, device: str, release: str, phase: str, at: datetime = START, **fields: Any) -> None:
        self.enrol(device)
        self._sequence += 1
        self.take(report(device, self._sequence, release, phase, **fields), at=at)

    def counts(self, question: Question, now: datetime | None = None) -> Any:
        return TallySource(read_tally(self.connection, now)).counts(question)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    engine = open_storage(tmp_path_factory.mktemp("tallies") / "state")
    yield engine
    engine.dispose()


@pytest.fixture
def bench(engine: Engine) -> Iterator[Bench]:
    with writing(engine) as connection:
        yield Bench(connection)


SAID = st.tuples(
    st.sampled_from(["a", "b", "c"]),
    st.integers(1, 12),
    st.sampled_from(RELEASES),
    st.sampled_from(PHASES),
    st.integers(1, 4),
    st.fixed_dictionaries(
        {
            "error_code": st.sampled_from([None, "recalled", "load_failed"]),
            "os_version": st.sampled_from([None, "12.4", "made-up"]),
            "p95_ms": st.sampled_from([None, 1.0, 40.0]),
            "crashes": st.sampled_from([None, 0, 2]),
            "values": st.sampled_from([{}, {"queue-depth": 12.0}, {"unknown": 1.0}]),
            "model_hash": st.sampled_from([PINS[RELEASES[0]]["model_hash"], PINS[RELEASES[1]]["model_hash"], None]),
        }
    ),
)


def kept(connection: Connection) -> dict[Any, int]:
    found = dict(read_tally(connection))
    assert all(count > 0 for count in found.values())
    return found


@settings(max_examples=20, deadline=None)
@given(st.lists(SAID, max_size=25))
def test_a_recount_finds_what_was_kept(engine: Engine, said: list[Any]) -> None:
    """Whatever is reported, twice, late or never: each device counts in the cells of its rows, and nowhere else."""
    with writing(engine) as connection:
        bench = Bench(connection)
        for device in "abcd":
            bench.enrol(device, "north" if device < "c" else "south")
        for number, (device, sequence, release, phase, generation, fields) in enumerate(said):
            one = report(device, sequence, release, phase, generation, **fields)
            bench.take(one, one, at=START + number * MINUTE)
        before = kept(connection)
        recount(connection)
        assert kept(connection) == before


@settings(max_examples=12, deadline=None)
@given(st.lists(SAID, max_size=20), st.randoms(use_true_random=False))
def test_the_order_of_arrival_changes_nothing(engine: Engine, said: list[Any], random: Any) -> None:
    """Each device's reports come in the order of its numbers; those of several devices in any."""
    by_device: dict[str, list[Report]] = {}
    for number, (device, _, release, phase, generation, fields) in enumerate(said):
        one = report(device, number + 1, release, phase, generation, **fields)
        by_device.setdefault(device, []).append(one)
    orders = [sorted(by_device), sorted(by_device, reverse=True), random.sample(sorted(by_device), len(by_device))]
    found = []
    for order in orders:
        with writing(engine) as connection:
            bench = Bench(connection)
            for device in order:
                bench.enrol(device)
                bench.take(*by_device[device])
            found.append(kept(connection))
    assert found[0] == found[1] == found[2]


def test_arms_are_of_one_time_and_one_stratum(bench: Bench) -> None:
    """Who is still on the superseded release, since the newer one came; elsewhere and before does not count."""
    for number in range(4):
        bench.say(f"old{number}", RELEASES[0], "healthy", generation=1)
    bench.say("old0", RELEASES[0], "healthy", generation=2)
    bench.say("old1", RELEASES[0], "rolled-back", generation=2, error_code="inference_failed")
    bench.say("old2", RELEASES[0], "healthy", generation=2)
    bench.say("old2", RELEASES[1], "offered", generation=2)
    bench.say("old2", RELEASES[1], "activated", generation=2)
    bench.say("new", RELEASES[1], "failed", generation=3, error_code="load_failed")
    bench.say("slow", RELEASES[1], "downloaded", generation=3)
    bench.enrol("elsewhere", "south")
    bench.take(report("elsewhere", 1, RELEASES[1], "failed", 3, error_code="load_failed"))

    asked = Question(RELEASES[1], (RELEASES[0],), "cam-day", STRATUM, "failure-share", since=2)
    found = bench.counts(asked)
    treated, control = found.treated, found.control

    assert treated == ArmCounts((StepCounts(2, tried=1), StepCounts(3, tried=1, concluded=1, events=1)), under_way=1)
    assert control == ArmCounts((StepCounts(2, tried=2, concluded=2, events=1),))
    assert never_offered(read_tally(bench.connection), [PLACE]) == {PLACE: 3}


def test_figures_count_for_the_release_that_they_are_of(bench: Bench) -> None:
    """A report that names one release while another runs says nothing of either's latency."""
    bench.say("a", RELEASES[1], "healthy", p95_ms=40.0, values={"queue-depth": 7.0})
    bench.say("b", RELEASES[1], "healthy", p95_ms=1.0, **PINS[RELEASES[0]])
    bench.say("c", RELEASES[1], "activated")
    latency = Question(RELEASES[1], (), "cam-day", STRATUM, "p95-latency", since=0)
    depth = Question(RELEASES[1], (), "cam-day", STRATUM, "value/queue-depth", since=0)

    found = bench.counts(latency).treated
    assert (sum(found.histogram.values()), found.all.missing) == (1, 1)
    assert sum(bench.counts(depth).treated.histogram.values()) == 1


def chatter(bench: Bench, start: datetime, end: datetime, step: timedelta = MINUTE) -> None:
    """Another device goes on reporting, so that the controller is known to hear."""
    at = start
    while at <= end:
        bench.say("other", RELEASES[0], "healthy", at)
        at += step


def test_silence_in_mid_update_is_a_failure_after_its_time(bench: Bench) -> None:
    """By the table: not before the limit and the device's own habit have passed, and not dark on what it leaves."""
    write_status(bench.connection, "polls", {"cam-day": 3_600_000}, START)
    bench.say("a", RELEASES[0], "healthy")
    bench.say("a", RELEASES[1], "downloaded")
    limit = timedelta(milliseconds=TIME_LIMITS["downloaded"].silent)
    due = START + limit + timedelta(hours=20)
    chatter(bench, START, due + timedelta(hours=4), timedelta(hours=1))

    def failures(now: datetime) -> list[tuple[int, int, int]]:
        seen = observed(bench.connection, now)
        found = [seen.exposure(release, "cam-day") for release in RELEASES[:2]]
        return [(one.failures, one.tried, one.silent) for one in found]

    assert failures(due - MINUTE) == [(0, 2, 0), (0, 0, 0)]
    assert failures(due + MINUTE) == [(0, 2, 0), (1, 1, 1)]
    bench.say("a", RELEASES[1], "verified", due + 2 * MINUTE)
    assert failures(due + 2 * MINUTE) == [(0, 2, 0), (0, 0, 0)]


def test_a_device_that_talks_but_never_arrives_is_a_failure_at_last(bench: Bench) -> None:
    """Its steady reports of what it runs do not stop the clock of the update; its progress does."""
    longest = timedelta(milliseconds=TIME_LIMITS["verified"].longest)
    bench.say("a", RELEASES[1], "verified")
    for hour in range(1, 51):
        bench.say("a", RELEASES[0], "healthy", START + hour * timedelta(hours=1))
        if hour % 10 == 0:
            chatter(bench, START + hour * timedelta(hours=1), START + hour * timedelta(hours=1))
    before = observed(bench.connection, START + longest - MINUTE).exposure(RELEASES[1], "cam-day")
    now = START + timedelta(hours=50)
    for minute in range(120):
        bench.say("a", RELEASES[0], "healthy", now + minute * MINUTE)
    after = observed(bench.connection, now + 119 * MINUTE).exposure(RELEASES[1], "cam-day")
    assert (before.failures, after.failures, after.silent) == (0, 1, 1)


def test_a_device_that_waits_for_its_window_is_no_failure(bench: Bench) -> None:
    """The limit of what is verified begins behind the longest wait of its class, silent or not; no other limit does."""
    hour, wait = timedelta(hours=1), timedelta(days=3)
    declare_judging(bench.connection, replace(JUDGING, waits={"cam-day": wait // timedelta(milliseconds=1)}), START)
    write_status(bench.connection, "polls", {"cam-day": hour // timedelta(milliseconds=1)}, START)
    for phase in ("downloaded", "verified"):
        bench.say(f"{phase}-silent", RELEASES[1], phase)
        bench.say(f"{phase}-talks", RELEASES[1], phase)
    failures = {}
    for hours in range(2, 121, 2):
        now = START + hours * hour
        for device in ("other", "downloaded-talks", "verified-talks"):
            bench.say(device, RELEASES[0], "healthy", now)
        if hours in (26, 28, 46, 48, 98, 100, 118, 120):
            failures[hours] = observed(bench.connection, now).exposure(RELEASES[1], "cam-day").failures
    # A habit of an hour explains 20; 6 of silence beyond, or 48 in all, are too many; three days later for some.
    assert failures == {26: 0, 28: 1, 46: 1, 48: 2, 98: 2, 100: 3, 118: 3, 120: 4}


def test_judging_reads_cells_and_not_devices(engine: Engine) -> None:
    """Ten times the devices in the same places: the same rows are read, whatever the clock says."""
    rows = []
    for size in (10, 100):
        with writing(engine) as connection:
            bench = Bench(connection)
            for number in range(size):
                bench.say(f"d{number}", RELEASES[number % 2], "healthy", p95_ms=10.0)
            rows.append(len(read_tally(connection, START)))
            steps = query_steps(connection)
            assert not [step for step in steps if step.startswith(("SCAN outcomes", "SCAN devices"))], steps
    assert rows[0] == rows[1]


def query_steps(connection: Connection) -> list[str]:
    """How the storage finds the silent devices."""
    found: list[str] = []

    def listen(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        found.append(statement)

    event.listen(connection, "before_cursor_execute", listen)
    observed(connection, START + MINUTE)
    event.remove(connection, "before_cursor_execute", listen)
    asked = [statement for statement in found if "GROUP BY" in statement]
    assert asked
    return [
        row[-1]
        for statement in asked
        for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", ("0",) * statement.count("?")).all()
    ]


def test_another_policy_counts_anew(engine: Engine) -> None:
    """A label that guardrails are told to look at divides what was counted before, too; the same policy does not."""
    with writing(engine) as connection:
        bench = Bench(connection)
        bench.say("a", RELEASES[0], "healthy", p95_ms=40.0)
        assert TallySource(read_tally(connection)).strata(RELEASES[0], "cam-day") == (STRATUM,)
    assert not keep_judging(engine, JUDGING, START)
    assert keep_judging(engine, Judging(readings=("p95-latency",)), START)
    with engine.connect() as connection:
        source = TallySource(read_tally(connection))
    assert source.strata(RELEASES[0], "cam-day") == ("os=other runtime=other",)


def test_an_older_database_is_counted_once(tmp_path: Path) -> None:
    """One that has rows, and knew neither tallies nor strata."""
    engine = open_storage(tmp_path / "state")
    with writing(engine) as connection:
        bench = Bench(connection)
        bench.say("a", RELEASES[0], "healthy")
        for column in ("stratum", "measures", "left"):
            connection.execute(text(f'ALTER TABLE outcomes DROP COLUMN "{column}"'))
        connection.execute(text("DROP TABLE tallies"))
    engine.dispose()

    engine = open_storage(tmp_path / "state")
    with engine.connect() as connection:
        assert observed(connection).exposure(RELEASES[0], "cam-day").phases == {"healthy": 1}
        assert never_offered(read_tally(connection), [PLACE]) == {PLACE: 1}
    engine.dispose()


def test_a_device_is_drawn_once_at_its_first_word(bench: Bench) -> None:
    """By the share of the generation that it read; whatever it says later, it stays where it was drawn."""
    old = make_release("1.0.0", {"canary": "100%", "fleet": "100%"})
    new = make_release("1.1.0", {"canary": "25%", "fleet": "25%"}, supersedes="1.0.0")
    fleet = make_fleet(new, old)
    world = World(signer=PUBLIC_KEY, prepared=frozenset({old.pins, new.pins}))
    keep_offers(bench.connection, desired_documents(fleet, world, {}, 5).values(), START)
    bench.say("early", RELEASES[0], "healthy", generation=4)
    bench.say("outside", RELEASES[0], "healthy", generation=5)
    bench.say("inside", RELEASES[0], "healthy", generation=4)
    bench.take(
        report("inside", 10, RELEASES[1], "offered", 5),
        report("outside", 11, RELEASES[1], "offered", 6),
        report("outside", 12, RELEASES[1], "activated", 6),
    )
    drawn = samples(read_tally(bench.connection), {}, START + 3 * timedelta(days=1))
    (strata,) = (found for place, found in drawn.items() if place == (RELEASES[1], "cam-day"))
    assert strata == {STRATUM: ((Part("candidate", 1, 250_000), Part("control", 1, 750_000)),)}
    kept = read_tally(bench.connection)
    recount(bench.connection)
    assert read_tally(bench.connection) == kept
