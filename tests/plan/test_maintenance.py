"""A device switches iff its wall clock is in a window and its turn has come, and it never waits for ever."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fleets import MODEL, PUBLIC_KEY, make_fleet, make_release
from muster.kinds.desired import DesiredDocument
from muster.kinds.maintenance import MINUTE, WEEK, WEEKDAYS, Disruption, MaintenanceWindow, never_in_turn, spans_of
from muster.plan.documents import desired_documents
from muster.plan.judging import Judging, judging_of
from muster.plan.maintenance import is_open, longest_wait, next_opening, next_switch, next_turn, turn_of
from muster.plan.world import World

VECTORS = json.loads((Path(__file__).resolve().parents[1] / "vectors/turn.json").read_text())["vectors"]
BERLIN, LORD_HOWE = ZoneInfo("Europe/Berlin"), ZoneInfo("Australia/Lord_Howe")
ZONES = st.sampled_from(
    [BERLIN, LORD_HOWE, ZoneInfo("UTC"), ZoneInfo("America/New_York"), ZoneInfo("Africa/Casablanca"),
     ZoneInfo("Antarctica/Troll"), ZoneInfo("Asia/Kathmandu"), ZoneInfo("Pacific/Chatham")]
)  # fmt: skip
# Days of a shift, by chance and on purpose.
MOMENTS = st.one_of(
    st.timedeltas(timedelta(0), timedelta(days=3_000)).map(lambda by: datetime(2024, 1, 1, tzinfo=UTC) + by),
    st.sampled_from([
        datetime(2026, 3, 29, 1, tzinfo=UTC), datetime(2026, 10, 25, 1, tzinfo=UTC),
        datetime(2026, 4, 4, 15, tzinfo=UTC), datetime(2026, 10, 3, 15, 30, tzinfo=UTC),
    ]).flatmap(lambda shift: st.timedeltas(timedelta(days=-3), timedelta(days=3)).map(lambda by: shift + by)),
)  # fmt: skip
CLOCK = st.builds("{:02d}:{:02d}".format, st.integers(0, 23), st.integers(0, 59))
WINDOW = st.builds(
    lambda days, times: MaintenanceWindow(days=tuple(days), begins=times[0], ends=times[1]),
    st.lists(st.sampled_from(WEEKDAYS), unique=True),
    st.tuples(CLOCK, CLOCK).filter(lambda times: times[0] != times[1]),
)
WINDOWS = st.lists(WINDOW, min_size=1, max_size=3).map(tuple)
DISRUPTION = st.builds(
    lambda share, turn: Disruption(label="site", share=share * 10_000, turn=turn * MINUTE),
    st.integers(10, 100),
    st.integers(1, 30),
)


def window(begins: str, ends: str, *days: str) -> tuple[MaintenanceWindow]:
    return (MaintenanceWindow(days=days, begins=begins, ends=ends),)


def by_hand(windows: tuple[MaintenanceWindow, ...], local: datetime) -> bool:
    """The declaration read as a person reads it: today's window, or what is left of yesterday's."""
    clock, today = f"{local:%H:%M}", WEEKDAYS[local.weekday()]
    yesterday = WEEKDAYS[local.weekday() - 1]
    for one in windows:
        days = one.days or WEEKDAYS
        if one.begins < one.ends and today in days and one.begins <= clock < one.ends:
            return True
        if one.begins > one.ends and (
            (today in days and clock >= one.begins) or (yesterday in days and clock < one.ends)
        ):
            return True
    return False


@given(windows=WINDOWS, now=MOMENTS, zone=ZONES)
def test_a_window_is_open_iff_the_wall_clock_is_within_it(
    windows: tuple[MaintenanceWindow, ...], now: datetime, zone: ZoneInfo
) -> None:
    """By the text of the declaration; and what is said to be the next opening is one."""
    local = now.astimezone(zone).replace(tzinfo=None)
    assert by_hand(windows, local) == is_open(windows, local) == (next_opening(windows, now, zone) == now)


@given(windows=WINDOWS, now=MOMENTS, zone=ZONES)
def test_the_next_opening_is_open_ahead_and_not_beyond_the_longest_wait(
    windows: tuple[MaintenanceWindow, ...], now: datetime, zone: ZoneInfo
) -> None:
    """Never in the past; a week and a shift away at most, or two where a shift swallowed the only window."""
    opening = next_opening(windows, now, zone)
    assert now <= opening <= now + timedelta(microseconds=longest_wait(windows, None))
    assert is_open(windows, opening.astimezone(zone).replace(tzinfo=None))
    lengths = [end - begin for begin, end in spans_of(windows)]
    if min(lengths) > 120:
        assert opening - now <= timedelta(days=7, hours=2)
    assert opening - now < timedelta(days=14, hours=2)


@given(windows=WINDOWS, now=MOMENTS, zone=ZONES, ahead=st.floats(0, 1))
def test_no_window_is_open_before_the_next_opening(
    windows: tuple[MaintenanceWindow, ...], now: datetime, zone: ZoneInfo, ahead: float
) -> None:
    """Nothing is skipped."""
    opening = next_opening(windows, now, zone)
    between = now + (opening - now) * ahead
    assume(between < opening)
    assert not is_open(windows, between.astimezone(zone).replace(tzinfo=None))


@given(windows=WINDOWS | st.just(()), disruption=DISRUPTION, now=MOMENTS, zone=ZONES, device=st.integers(0, 10**9))
def test_every_device_has_a_whole_turn_in_a_window_within_the_longest_wait(
    windows: tuple[MaintenanceWindow, ...], disruption: Disruption, now: datetime, zone: ZoneInfo, device: int
) -> None:
    """Also one that asks only at the end of its turns: what the declaration allows starves nobody."""
    assume(never_in_turn(windows, disruption) is None)
    mine = turn_of(disruption, str(device), {"site": "north"})
    at, limit = now, now + timedelta(microseconds=longest_wait(windows, disruption))
    while at <= limit:
        begins = next_switch(windows, disruption, mine, at, zone)
        ends = begins + timedelta(microseconds=disruption.turn - 1)
        if next_switch(windows, disruption, mine, ends, zone) == ends or disruption.turns == 1:
            break
        at = ends
    assert now <= begins <= limit
    assert is_open(windows, begins.astimezone(zone).replace(tzinfo=None))
    assert next_turn(disruption, mine, begins) == begins


@pytest.mark.parametrize(
    ("windows", "zone", "now", "opens"),
    [
        (window("02:00", "05:00", "Mon"), BERLIN, "2026-01-05T00:30", "2026-01-05T01:00"),
        (window("22:00", "01:00", "Sun"), BERLIN, "2026-01-04T23:30", "2026-01-04T23:30"),
        # 2026-03-29: from 02:00 to 03:00 there is no time in Berlin.
        (window("02:00", "05:00"), BERLIN, "2026-03-29T00:30", "2026-03-29T01:00"),
        (window("02:15", "02:45"), BERLIN, "2026-03-29T00:30", "2026-03-30T00:15"),
        (window("02:15", "02:45", "Sun"), BERLIN, "2026-03-29T00:30", "2026-04-05T00:15"),
        # 2026-10-25: from 02:00 to 03:00 comes twice.
        (window("02:15", "02:45"), BERLIN, "2026-10-25T00:00", "2026-10-25T00:15"),
        (window("02:15", "02:45"), BERLIN, "2026-10-25T00:50", "2026-10-25T01:15"),
        (window("01:00", "02:30"), BERLIN, "2026-10-25T00:40", "2026-10-25T01:00"),
        # Half an hour: 2026-10-04 skips 02:00 to 02:30, 2026-04-05 repeats 01:30 to 02:00.
        (window("02:00", "02:30"), LORD_HOWE, "2026-10-03T15:00", "2026-10-04T15:00"),
        (window("02:15", "03:00"), LORD_HOWE, "2026-10-03T15:00", "2026-10-03T15:30"),
        (window("01:40", "01:50"), LORD_HOWE, "2026-04-04T14:55", "2026-04-04T15:10"),
    ],
    ids=["later", "over midnight", "skipped start", "swallowed", "swallowed, weekly", "first", "second", "back into it",
         "swallowed half hour", "skipped half hour", "second half hour"],
)  # fmt: skip
def test_clocks_that_are_put_forward_and_back(
    windows: tuple[MaintenanceWindow], zone: ZoneInfo, now: str, opens: str
) -> None:
    """What a person in that place would read off the clock on the wall. Times here are UTC."""
    found = next_opening(windows, datetime.fromisoformat(now).replace(tzinfo=UTC), zone)
    assert datetime.fromisoformat(opens).replace(tzinfo=UTC) == found


@pytest.mark.parametrize(
    ("windows", "hours"),
    [
        ((), 0),
        (window("00:00", "24:00"), 0),
        # A shift of two hours leaves one of three.
        (window("02:00", "05:00"), 21 + 2),
        # It may swallow one of an hour: the night after is the next.
        (window("02:00", "03:00"), 47 + 2),
        (window("02:00", "03:00", "Sun"), 14 * 24 - 1 + 2),
        (window("02:00", "06:00", "Sat", "Sun"), 7 * 24 - 28 + 2),
    ],
    ids=["any time", "always", "nightly", "an hour a night", "an hour a week", "two nights"],
)
def test_the_longest_wait_is_worked_out_by_hand(windows: tuple[MaintenanceWindow, ...], hours: int) -> None:
    """The longest pause between two windows, and two hours that clocks may be put back by."""
    assert hours * 60 * MINUTE == longest_wait(windows, None)


def test_turns_lengthen_the_wait_by_a_sweep_on_either_side() -> None:
    """By hand, and seen on a device whose turn is over at 08:00 and comes again at 03:30, not 24 hours later."""
    windows, disruption = window("00:00", "12:00"), Disruption(label="site", share="10%", turn="30m")
    assert longest_wait(windows, disruption) == (12 + 2 + 2 * 5.5) * 60 * MINUTE
    assert longest_wait((), disruption) == 5.5 * 60 * MINUTE
    now = datetime(2026, 1, 5, 7, 30, tzinfo=UTC)
    mine = next(turn for turn in range(10) if next_turn(disruption, turn, now) == now)
    again = next_switch(windows, disruption, mine, now + timedelta(minutes=30), ZoneInfo("UTC"))
    assert datetime(2026, 1, 6, 3, 30, tzinfo=UTC) == again


@given(windows=WINDOWS, now=MOMENTS, zone=ZONES, wrong=st.timedeltas(timedelta(days=-9_000), timedelta(days=9_000)))
def test_a_clock_that_is_wrong_delays_no_longer_than_one_that_is_right(
    windows: tuple[MaintenanceWindow, ...], now: datetime, zone: ZoneInfo, wrong: timedelta
) -> None:
    """It opens the window at another time, but within the same longest wait, as long as it goes on."""
    shown = now + wrong
    assert next_opening(windows, shown, zone) - shown <= timedelta(microseconds=longest_wait(windows, None))


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: f"{vector['site']}-{vector['deviceId']}")
def test_published_vectors(vector: dict[str, object]) -> None:
    """Any language gives the same turn."""
    disruption = Disruption(label="site", share=str(vector["share"]), turn="15m")
    labels = {"site": str(vector["site"])} if vector["site"] else {}
    expected = (vector["turns"], vector["turn"])
    assert expected == (disruption.turns, turn_of(disruption, str(vector["deviceId"]), labels))


def test_turns_follow_each_other_round_and_round() -> None:
    """At any moment it is the turn of one number, and a device waits for less than a round."""
    disruption = Disruption(label="site", share="30%", turn="10m")
    now = datetime(2026, 11, 21, 12, 3, tzinfo=UTC)
    begins = [next_turn(disruption, mine, now) for mine in range(4)]
    assert begins.count(now) == 1
    waits = sorted(begin - now for begin in begins)
    assert [timedelta(minutes=minutes) for minutes in (0, 7, 17, 27)] == waits


def test_what_a_class_declares_travels_and_lengthens_its_time_limit() -> None:
    """In every document of the class, and of no other: a class that declares neither has the fields not at all."""
    fleet = make_fleet(make_release("1.0.0", {"canary": 1_000_000}))
    windows, disruption = window("02:00", "05:00"), Disruption(label="site", share="20%", turn="15m")
    classes = tuple(
        found.model_copy(
            update={"spec": found.spec.model_copy(update={"maintenance": windows, "disruption": disruption})}
        )
        if found.metadata.name == "cam-day"
        else found
        for found in fleet.device_classes
    )
    documents = desired_documents(replace(fleet, device_classes=classes), World(signer=PUBLIC_KEY), {}, 1)
    told = DesiredDocument.model_validate_json(documents[MODEL, "cam-day"].model_dump_json())
    assert (windows, disruption) == (told.maintenance, told.disruption)
    assert not {"maintenance", "disruption"} & set(documents[MODEL, "cam-lowlight"].model_dump(mode="json"))
    judging = judging_of(replace(fleet, device_classes=classes))
    assert judging.waits == {"cam-day": longest_wait(windows, disruption) // 1_000}
    assert Judging.of_json(judging.as_json()) == judging


def test_a_zone_without_rules_is_a_zone() -> None:
    """Fixed offsets, as a system without zone data has."""

    class Ahead(tzinfo):
        def utcoffset(self, _moment: datetime | None, /) -> timedelta:
            return timedelta(hours=3)

        def fromutc(self, moment: datetime) -> datetime:
            return moment + timedelta(hours=3)

    opening = next_opening(window("02:00", "03:00"), datetime(2026, 1, 1, tzinfo=UTC), Ahead())
    assert datetime(2026, 1, 1, 23, tzinfo=UTC) == opening
    assert longest_wait(window("02:00", "03:00"), None) < WEEK * MINUTE
