"""A device fetches at any time, and switches in its window and its turn; what goes back never waits."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from agent_simulator import WINDOW_SECONDS, Bench, Built, build, hash_of

from muster.agent.identity import read_identity, write_identity
from muster.agent.waiting import SystemTime, zone_of
from muster.cli import exit_code_of
from muster.kinds.desired import Halt
from muster.kinds.errors import Unusable
from muster.kinds.maintenance import Disruption, MaintenanceWindow
from muster.kinds.moment import utc_text
from muster.plan.maintenance import next_opening, turn_of

HOUR = 3_600
ZONE = ZoneInfo("Asia/Kathmandu")
"""A quarter to six hours ahead: whoever reads UTC, or the clock of this machine, is found out."""

OLD, NEW = build("1.0.0"), build("1.1.0", sharpness=9.0)


@pytest.fixture
def device(bench: Bench) -> Bench:
    """A device with a time zone of its own."""
    identity = read_identity(bench.folder)
    write_identity(bench.folder, identity.model_copy(update={"time_zone": ZONE.key}))
    bench.start()
    return bench


def opening(bench: Bench, hours: int) -> datetime:
    """The whole minute that begins so many hours from now."""
    return (bench.now.wall + timedelta(hours=hours)).replace(second=0, microsecond=0)


def window(begins: datetime, hours: int = 2) -> tuple[MaintenanceWindow, ...]:
    """Open from this moment on, in the words of the device's place."""
    local = begins.astimezone(ZONE)
    return (MaintenanceWindow(begins=f"{local:%H:%M}", ends=f"{local + timedelta(hours=hours):%H:%M}"),)


def offer(bench: Bench, generation: int, *entries: Built, since: int = 0, **declared: object) -> None:
    """Offer releases, newest first. The first is new at `since`, or at this generation."""
    named = [built.entry(1 if place else since or generation) for place, built in enumerate(entries)]
    bench.repository.publish(generation, named, artifacts=entries, **declared)


def test_a_verified_release_waits_for_its_window(device: Bench) -> None:
    """It is fetched and verified at once, runs when the window opens, and is fetched no second time."""
    device.confirm(OLD)
    opens = opening(device, 5)
    offer(device, 2, NEW, OLD, maintenance=window(opens))
    told = device.tick()
    device.tick(60)
    assert (hash_of(OLD), utc_text(opens)) == (device.running, device.state.waits_until)
    assert device.story(NEW) == [("offered", None), ("downloaded", None), ("verified", None)]
    assert device.server.reports[-1].waits_until == utc_text(opens)
    assert told.waits == (
        f"{NEW.release} is verified; it waits for its maintenance window and its turn until {utc_text(opens)}"
    )
    assert told.problem is None

    device.tick((opens - device.now.wall).total_seconds() - 30)
    assert device.running == hash_of(OLD)
    told = device.tick(60)
    assert (hash_of(NEW), None, None) == (device.running, device.state.waits_until, told.waits)
    assert device.story(NEW)[3:] == [("loaded", None), ("activated", None)]
    assert all(report.waits_until is None for report in device.server.reports if report.phase == "activated")
    device.tick(WINDOW_SECONDS)
    assert device.state.confirmed is not None
    assert (NEW.release, 2) == (device.state.confirmed.entry.release, device.agent.device.state.downloads)


def test_a_restart_goes_on_waiting(device: Bench) -> None:
    """The journal says until when; the files stay, and nothing is fetched anew."""
    device.confirm(OLD)
    opens = opening(device, 5)
    offer(device, 2, NEW, OLD, maintenance=window(opens))
    device.tick()
    device.start()
    assert device.state.waits_until == utc_text(opens)
    device.tick()
    assert (hash_of(OLD), 2) == (device.running, device.agent.device.state.downloads)
    device.tick(5 * HOUR)
    assert (hash_of(NEW), 2) == (device.running, device.agent.device.state.downloads)


def test_a_newcomer_does_not_wait(device: Bench) -> None:
    """A device without any model has nothing to disturb."""
    offer(device, 1, OLD, maintenance=window(opening(device, 5)))
    device.tick()
    assert (hash_of(OLD), None) == (device.running, device.state.waits_until)


def test_what_is_halted_is_left_at_once(device: Bench) -> None:
    """To the kept slot, or to what must be fetched for it, outside of every window."""
    device.confirm(OLD, NEW)
    halted = (Halt(release=NEW.release, artifact=NEW.artifact, reason="harm"),)
    offer(device, 3, OLD, halted=halted, maintenance=window(opening(device, 5)))
    device.tick()
    assert (hash_of(OLD), None) == (device.running, device.state.waits_until)


def test_an_older_release_that_must_be_fetched_is_fetched_and_run_at_once(device: Bench) -> None:
    """A rollback does not wait for the night, kept slot or none."""
    device.confirm(NEW)
    offer(device, 2, OLD, maintenance=window(opening(device, 5)))
    device.tick()
    assert (hash_of(OLD), None) == (device.running, device.state.waits_until)


def test_what_was_kept_and_is_named_again_waits_as_well(device: Bench) -> None:
    """It goes on trial again, which is a switch like any other."""
    device.confirm(OLD, NEW)
    offer(device, 3, OLD, halted=(Halt(release=NEW.release, artifact=NEW.artifact, reason="harm"),))
    device.tick()
    opens = opening(device, 5)
    offer(device, 4, NEW, OLD, maintenance=window(opens))
    told = device.tick()
    assert (hash_of(OLD), utc_text(opens)) == (device.running, device.state.waits_until)
    assert told.waits is not None
    device.tick(5 * HOUR)
    assert hash_of(NEW) == device.running


def test_what_is_withdrawn_waits_no_longer(device: Bench) -> None:
    """Neither in the journal nor in reports."""
    device.confirm(OLD)
    maintenance = window(opening(device, 5))
    offer(device, 2, NEW, OLD, maintenance=maintenance)
    device.tick()
    offer(device, 3, OLD, since=1, maintenance=maintenance)
    told = device.tick()
    assert (device.state.waits_until, device.state.staging, told.waits) == (None, None, None)
    assert device.server.reports[-1].waits_until is None


def test_a_release_that_does_not_verify_fails_before_the_window(device: Bench) -> None:
    """Nobody waits all day to learn that a signature is wrong."""
    device.confirm(OLD)
    offer(device, 2, build("1.1.0", sharpness=9.0, unsigned=True), OLD, maintenance=window(opening(device, 5)))
    device.tick()
    assert device.story(NEW)[-1] == ("failed", "bad_signature")
    assert (hash_of(OLD), None) == (device.running, device.state.waits_until)


def test_a_device_waits_for_its_turn(device: Bench) -> None:
    """By UTC, and for less than a round."""
    device.confirm(OLD)
    disruption = Disruption(label="site", share="25%", turn="1h")
    mine = turn_of(disruption, "device-1", {"site": "north"})
    wait = (mine - int(device.now.wall.timestamp() // HOUR)) % 4 or 4
    # From the end of an hour in which it is not the device's turn.
    device.seconds += (wait - 1) * HOUR + (HOUR - device.now.wall.timestamp() % HOUR) - 600
    offer(device, 2, NEW, OLD, disruption=disruption)
    device.tick()
    assert hash_of(OLD) == device.running
    device.tick(600)
    assert hash_of(NEW) == device.running


def test_a_document_that_declares_nothing_reads_as_before() -> None:
    """Agents of before know neither field, so a fleet that declares none publishes the same bytes."""
    from agent_simulator import Repository

    document = Repository().publish(1, [OLD.entry(1)]).model_dump(mode="json")
    assert not {"maintenance", "disruption"} & set(document)


@pytest.fixture
def _central_europe(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # The rules of 2026 as POSIX writes them: needs no zone data.
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("_central_europe")
@pytest.mark.parametrize(
    "now", ["2026-01-05T23:30", "2026-03-29T00:30", "2026-07-01T12:00", "2026-10-25T00:50", "2026-10-25T01:50"]
)
def test_without_a_zone_of_its_own_a_device_goes_by_the_systems(now: str) -> None:
    """Its rules for the whole year, the hour that comes twice included."""
    windows, at = (MaintenanceWindow(begins="02:10", ends="02:40"),), datetime.fromisoformat(now).replace(tzinfo=UTC)
    berlin = ZoneInfo("Europe/Berlin")
    system = zone_of(None)
    assert isinstance(system, SystemTime)
    assert at.astimezone(system).replace(tzinfo=None) == at.astimezone(berlin).replace(tzinfo=None)
    assert at.astimezone(system).utcoffset() == at.astimezone(berlin).utcoffset()
    assert next_opening(windows, at, system) == next_opening(windows, at, berlin)


@pytest.mark.parametrize("name", ["Europe/Nowhere", "../../etc/passwd", ""])
def test_a_zone_that_nobody_knows_is_refused(name: str) -> None:
    """With what would be right, and before the device is enrolled."""
    with pytest.raises(Unusable, match="knows no time zone"):
        zone_of(name)


def test_a_device_with_such_a_zone_is_not_enrolled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Said before anybody is asked, and nothing is left behind."""
    folder = tmp_path / "device"
    given = {
        "folder": folder, "server": "http://127.0.0.1:9", "token": "t", "device-id": "a", "device-class": "cam-day",
        "model": "meter-reader", "root": tmp_path / "root.json", "time-zone": "Europe/Nowhere",
    }  # fmt: skip
    assert exit_code_of(["agent", "enrol", *(f"--{name}={value}" for name, value in given.items())]) == 2
    assert "knows no time zone 'Europe/Nowhere'" in capsys.readouterr().err
    assert not folder.exists()
