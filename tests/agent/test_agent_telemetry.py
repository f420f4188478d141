"""Reports: what is counted, what waits, and how it gets to the server."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from agent_simulator import Bench, build
from hypothesis import given
from hypothesis import strategies as st

from muster.agent.delivery import BATCH
from muster.agent.journal import Spooled
from muster.agent.statistics import RECENT, Statistics, quantile
from muster.agent.telemetry import SPOOL, spool
from muster.agent.vitals import peak_ram_mb, thermal_state
from muster.kinds.telemetry import Report


def _spooled(sequence: int, *, steady: bool) -> Spooled:
    report = Report(
        device_id="d",
        sequence=sequence,
        model="m",
        device_class="c",
        generation=1,
        release=None,
        phase=None,
        model_hash=None,
        config_version=None,
        runtime_version="1.0",
    )
    return Spooled(report=report, steady=steady)


@given(st.lists(st.booleans(), max_size=3 * SPOOL))
def test_a_spool_that_overflows_drops_what_tells_least(kinds: list[bool]) -> None:
    """Bounded, in order, the newest kept; a change of phase goes only when nothing steady is left."""
    new = [_spooled(number, steady=steady) for number, steady in enumerate(kinds, 1)]
    kept: tuple[Spooled, ...] = ()
    for one in new:
        kept = spool(kept, [one])
    sequences = [one.report.sequence for one in kept]
    assert len(kept) == min(len(new), SPOOL)
    assert sorted(sequences) == sequences
    changes = [one for one in new if not one.steady]
    if len(changes) < SPOOL:
        assert changes == [one for one in kept if not one.steady]


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=400), st.sampled_from([50, 95]))
def test_a_quantile_is_the_smallest_value_that_enough_do_not_exceed(values: list[float], percent: int) -> None:
    """By its definition, not by another library's interpolation."""
    found = quantile(values, percent)
    assert found in values
    assert sum(value <= found for value in values) * 100 >= percent * len(values)
    assert sum(value < found for value in values) * 100 < percent * len(values)


def test_recent_figures_forget_but_the_verdict_does_not() -> None:
    """Telemetry shows the last answers; the health window counts all since the switch."""
    statistics = Statistics()
    for number in range(2 * RECENT):
        statistics.count_answer(confident=number >= RECENT, confidence=0.95 if number >= RECENT else 0.1)
        statistics.count_latency(float(number))
    figures = statistics.figures()
    assert (figures.recent_confident_ppm, figures.confident_ppm) == (1_000_000, 500_000)
    assert figures.p50_ms == RECENT + RECENT / 2 - 1
    assert figures.confidence_histogram == (0,) * 9 + (RECENT,)


def test_what_the_application_tells_counts_for_the_model_that_it_speaks_of(bench: Bench) -> None:
    """Figures of another model, of another shape, or none: left out, and nothing else is held up by it."""
    first = build("1.0.0")
    bench.start()
    bench.confirm(first)
    told = {"fallbackPpm": 1_200, "accepted": 9, "corrected": 1, "values": {"queue-depth": 3}}

    def tell(text: str) -> Report:
        bench.folder.application.write_text(text)
        bench.tick()
        return bench.server.reports[-1]

    running = bench.server.reports[-1].model_hash
    model = bench.server.reports[-1].model
    found = tell(json.dumps({model: {"modelHash": running, **told}}))
    assert (found.fallback_ppm, found.accepted, found.corrected, found.values) == (1_200, 9, 1, {"queue-depth": 3})
    for text in (json.dumps({model: {"modelHash": "sha256:" + "0" * 64, **told}}), "{", "[]", " " * 70_000):
        found = tell(text)
        assert (found.fallback_ppm, found.accepted, found.values, found.phase) == (None, None, {}, "healthy")


def test_ends_that_nobody_asked_for_are_counted(bench: Bench) -> None:
    """Since the release was switched in; a planned end is none, and a newer release begins at zero."""
    bench.start()
    bench.confirm(build("1.0.0"))
    assert bench.server.reports[-1].crashes == 0
    bench.start()
    bench.tick()
    assert bench.server.reports[-1].crashes == 1
    bench.agent.stop(bench.now)
    bench.start()
    bench.tick()
    assert bench.server.reports[-1].crashes == 1
    bench.confirm(build("1.1.0"))
    assert bench.server.reports[-1].crashes == 0


def test_a_report_of_an_older_agent_reads_as_before() -> None:
    """New fields have defaults, and are left out while they say nothing."""
    old = _spooled(1, steady=True).report.model_dump_json()
    assert not {"os_version", "crashes", "values", "confidence_histogram"} & set(json.loads(old))
    assert Report.model_validate_json(old) == _spooled(1, steady=True).report


def test_waiting_reports_go_in_batches_and_in_order(bench: Bench) -> None:
    """A hundred at most in one request."""
    first = build("1.0.0")
    bench.start()
    bench.confirm(first)
    bench.server.away = True
    for _ in range(BATCH + 20):
        bench.tick()
    bench.server.away = False
    bench.server.batches.clear()
    assert bench.tick().waiting_reports == 0
    assert bench.server.batches == [BATCH, 21]
    sequences = [report.sequence for report in bench.server.reports]
    assert sorted(sequences) == sequences


def test_the_pause_that_the_server_asks_for_is_kept(bench: Bench) -> None:
    """No report is sent before it is over; none is lost."""
    bench.start()
    bench.confirm(build("1.0.0"))
    bench.server.reports_status, bench.server.retry_after = 503, "30"
    assert bench.tick().waiting_reports == 1
    bench.server.reports_status = 200
    bench.server.requests.clear()
    bench.tick(10)
    assert ("POST", "/v1/reports") not in bench.server.requests
    assert bench.tick(25).waiting_reports == 0


def test_a_server_that_does_not_take_reports_does_not_slow_the_polls(bench: Bench) -> None:
    """What is desired may come from elsewhere, and still does."""
    bench.start()
    bench.confirm(build("1.0.0"))
    bench.server.reports_status = 500
    assert not bench.tick().away


def test_an_unknown_device_says_that_it_must_be_enrolled_again(bench: Bench) -> None:
    """It keeps serving and keeps its reports meanwhile."""
    bench.start()
    bench.confirm(build("1.0.0"))
    bench.server.secrets["device-1"] = "another"
    outcome = bench.tick()
    assert outcome.problem == "not_enrolled"
    assert "enrol it again" in str(outcome.reason)
    assert outcome.waiting_reports == 1
    assert bench.running is not None


def test_waiting_reports_survive_a_restart(bench: Bench) -> None:
    """What could not be sent is on the disk."""
    bench.start()
    bench.confirm(build("1.0.0"))
    bench.server.away = True
    bench.tick()
    bench.tick()
    heard = bench.server.last_sequence
    bench.start()
    bench.server.away = False
    bench.tick()
    assert {heard + 1, heard + 2} <= {report.sequence for report in bench.server.reports}


def test_a_number_that_was_sent_is_never_used_again(bench: Bench) -> None:
    """Steady reports are sent without a write to the disk; a restart begins behind every number of its block."""
    bench.start()
    bench.confirm(build("1.0.0"))
    for _ in range(10):
        bench.tick()
    heard = bench.server.last_sequence
    bench.start()
    bench.tick()
    assert bench.server.last_sequence > heard


@pytest.mark.parametrize("kept", [(), ("tuf",)], ids=["only identity and secret", "a lost journal"])
def test_a_device_whose_numbers_began_again_is_heard(bench: Bench, kept: tuple[str, ...]) -> None:
    """It learns the server's last number, numbers what waits above it, and every report is taken once."""
    first = build("1.0.0")
    bench.start()
    bench.confirm(first)
    bench.server.last_sequence = 10**13
    before = len(bench.server.reports)
    for path in bench.folder.path.iterdir():
        if path.name not in {bench.folder.identity.name, bench.folder.secret.name, bench.folder.root.name, *kept}:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    bench.start()
    assert bench.tick().waiting_reports == 0
    taken = [report.sequence for report in bench.server.reports[before:]]
    assert taken == sorted(set(taken))
    assert taken[0] > 10**13
    assert bench.server.reports[-1].phase == "activated"
    assert bench.agent.device.state.reserved > taken[-1]
    bench.tick()
    assert bench.server.last_sequence > taken[-1]


def test_a_server_that_has_the_last_number_there_is_is_not_believed(bench: Bench) -> None:
    """Its reports count as sent; the device keeps numbers to count on."""
    bench.start()
    bench.server.last_sequence = 2**53 - 1
    bench.confirm(build("1.0.0"))
    assert bench.agent.device.sequence < 1_000


def test_one_report_that_the_server_cannot_read_does_not_hold_up_the_rest(bench: Bench) -> None:
    """It is dropped, by itself."""
    bench.start()
    bench.confirm(build("1.0.0"))
    state = bench.agent.device.state
    bad = state.outbox + tuple(_spooled(10_000 + number, steady=True) for number in range(3))
    bench.agent.device.journal.hold(state.model_copy(update={"outbox": bad}))
    take = bench.server._take

    def picky(values, headers):
        from agent_simulator import _json

        return _json(422, {}) if any(v["sequence"] == 10_001 for v in values) else take(values, headers)

    bench.server._take = picky
    assert bench.tick().problem == "reports_refused"
    assert bench.agent.device.state.outbox == ()
    assert {10_000, 10_002} <= {report.sequence for report in bench.server.reports}


@pytest.mark.parametrize(
    ("temperatures", "expected"),
    [([], "unknown"), (["35000"], "nominal"), (["35000", "72000"], "fair"), (["x", "86000"], "serious"),
     (["101000"], "critical")],
)  # fmt: skip
def test_the_hottest_zone_decides(tmp_path: Path, temperatures: list[str], expected: str) -> None:
    """A zone that cannot be read says nothing."""
    for number, text in enumerate(temperatures):
        zone = tmp_path / f"thermal_zone{number}"
        zone.mkdir()
        (zone / "temp").write_text(text)
    assert expected == thermal_state(tmp_path)


def test_memory_is_read_in_megabytes() -> None:
    """The process of the tests holds more than ten and less than a hundred thousand."""
    assert 10 < peak_ram_mb() < 100_000
