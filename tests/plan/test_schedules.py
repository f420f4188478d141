"""Windows of freezes: cron and RRULE on local clocks, also where the clocks change; hostile schedules stay cheap."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from muster.kinds.freeze import FreezeSpec
from muster.plan.schedules import FORESEEN, check_schedule, timeline

HOUR = 3_600_000_000
FRIDAYS = {"rrule": "FREQ=WEEKLY;BYDAY=FR", "start": "2026-01-02T18:00"}


def spec(**fields: Any) -> FreezeSpec:
    """A freeze of an hour, for a reason."""
    return FreezeSpec.model_validate({"effect": "deny", "duration": HOUR, "reason": "holidays", **fields})


def moment(text: str, zone: str = "UTC") -> datetime:
    """A local time as a moment."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


def window(freeze: FreezeSpec, at: datetime) -> tuple[datetime, datetime] | None:
    """The open window in UTC."""
    found = timeline(freeze, at).at(at)
    return (found.begins, found.ends) if found else None


@pytest.mark.parametrize(
    ("name", "fields", "opens", "closes"),
    [
        ("cron", {"cron": "0 18 * * FRI"}, "2026-03-06T18:00", "2026-03-06T19:00"),
        ("rrule", FRIDAYS, "2026-03-06T18:00", "2026-03-06T19:00"),
        ("cron far away", {"cron": "0 0 24 12 *", "duration": 240 * HOUR}, "2026-12-24T00:00", "2027-01-03T00:00"),
        (
            "last working day",
            {"rrule": "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1", "start": "2026-01-01T09:00"},
            "2026-02-27T09:00",
            "2026-02-27T10:00",
        ),
        (
            "counted",
            {"rrule": "FREQ=DAILY;COUNT=3", "start": "2026-03-01T10:00"},
            "2026-03-03T10:00",
            "2026-03-03T11:00",
        ),
        (
            "until, in UTC",
            {"rrule": "FREQ=DAILY;UNTIL=20260303T090000Z", "start": "2026-03-01T10:00", "timeZone": "Europe/Berlin"},
            "2026-03-03T10:00",
            "2026-03-03T11:00",
        ),
    ],
)
def test_a_window_opens_and_closes_to_the_second(name: str, fields: dict[str, Any], opens: str, closes: str) -> None:
    """Open from its first moment until just before its last; the moment before and the one after are outside."""
    freeze = spec(**fields)
    begins, ends = moment(opens, freeze.time_zone), moment(closes, freeze.time_zone)

    assert window(freeze, begins) == (begins, ends), name
    assert window(freeze, ends - timedelta(microseconds=1)) == (begins, ends)
    assert window(freeze, begins - timedelta(microseconds=1)) is None
    assert window(freeze, ends) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"rrule": "FREQ=DAILY;COUNT=3", "start": "2026-03-01T10:00"},
        {"rrule": "FREQ=DAILY;UNTIL=20260303T235959", "start": "2026-03-01T10:00"},
    ],
    ids=["count", "until"],
)
def test_a_rule_that_ended_begins_no_more(fields: dict[str, Any]) -> None:
    """After the last one nothing is open, and nothing follows."""
    line = timeline(spec(**fields), moment("2026-03-04T10:30"))

    assert line.windows == ()


@pytest.mark.parametrize(
    ("name", "zone", "local", "begins"),
    [
        # Clocks go from 02:00 to 03:00.
        ("skipped, Berlin", "Europe/Berlin", "2026-03-29T02:30", "2026-03-29T01:30+00:00"),
        ("skipped, New York", "America/New_York", "2026-03-08T02:30", "2026-03-08T07:30+00:00"),
        # 02:30 (01:30) comes twice: the first one counts.
        ("twice, Berlin", "Europe/Berlin", "2026-10-25T02:30", "2026-10-25T00:30+00:00"),
        ("twice, New York", "America/New_York", "2026-11-01T01:30", "2026-11-01T05:30+00:00"),
    ],
)
@pytest.mark.parametrize("kind", ["cron", "rrule"])
def test_a_window_begins_once_where_clocks_change(kind: str, name: str, zone: str, local: str, begins: str) -> None:
    """As RFC 5545 has it, for both kinds; and it lasts its duration, whatever clocks show."""
    at = datetime.fromisoformat(local)
    when = (
        {"cron": f"{at.minute} {at.hour} * * *"}
        if kind == "cron"
        else {"rrule": "FREQ=DAILY", "start": f"2026-01-01T{at:%H:%M}"}
    )
    line = timeline(spec(timeZone=zone, **when), datetime.fromisoformat(begins) - timedelta(hours=6))
    first = datetime.fromisoformat(begins)
    of_the_day = [found for found in line.windows if abs(found.begins - first) < timedelta(hours=12)]

    assert [(found.begins, found.ends) for found in of_the_day] == [(first, first + timedelta(hours=1))], name


@pytest.mark.parametrize(
    ("zone", "evening", "elapsed"),
    [
        ("Europe/Berlin", "2026-03-28T22:00", "2026-03-29T09:00"),
        ("Europe/Berlin", "2026-10-24T22:00", "2026-10-25T07:00"),
        ("America/New_York", "2026-03-07T22:00", "2026-03-08T09:00"),
        ("America/New_York", "2026-10-31T22:00", "2026-11-01T07:00"),
    ],
)
def test_a_night_of_ten_hours_lasts_ten_hours(zone: str, evening: str, elapsed: str) -> None:
    """Over a change of clocks a window ends an hour later, or earlier, by the clocks."""
    begins = moment(evening, zone).astimezone(UTC)

    found = window(spec(cron="0 22 * * *", timeZone=zone, duration=10 * HOUR), begins)

    assert found == (begins, begins + timedelta(hours=10))
    assert found[1] == moment(elapsed, zone)


def test_an_hourly_cron_leaves_no_hole_where_an_hour_comes_twice() -> None:
    """Half-hour windows every half hour are one window over the whole change of clocks."""
    freeze = spec(cron="*/30 * * * *", timeZone="Europe/Berlin", duration=HOUR // 2)
    line = timeline(freeze, datetime(2026, 10, 24, 22, tzinfo=UTC))

    assert len(line.windows) == 1
    assert line.windows[0].ends > datetime(2026, 10, 25, 6, tzinfo=UTC)


def test_what_never_ends_is_known_only_so_far() -> None:
    """A window every minute joins into one; what is known ends where counting ended."""
    now = moment("2026-03-02T12:00")
    line = timeline(spec(cron="* * * * *", duration=120_000_000), now)

    assert len(line.windows) == 1
    assert timedelta(minutes=FORESEEN - 400) < line.until - now < timedelta(minutes=FORESEEN)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"cron": "61 * * * *"}, "cron"),
        ({"cron": "0 0 30 2 *"}, "cron"),
        ({"cron": "a b c d e"}, "cron"),
        ({"rrule": "FREQ=SECONDLY", "start": "2026-01-01T00:00"}, "FREQ"),
        ({"rrule": "FREQ=MINUTELY", "start": "2026-01-01T00:00"}, "FREQ"),
        ({"rrule": "FREQ=HOURLY", "start": "2026-01-01T00:00"}, "FREQ"),
        ({"rrule": "BYDAY=FR", "start": "2026-01-01T00:00"}, "FREQ"),
        ({"rrule": "FREQ=DAILY;FREQ=DAILY", "start": "2026-01-01T00:00"}, "twice"),
        ({"rrule": "FREQ=DAILY;INTERVAL=0", "start": "2026-01-01T00:00"}, "INTERVAL"),
        ({"rrule": "FREQ=DAILY;INTERVAL=1001", "start": "2026-01-01T00:00"}, "INTERVAL"),
        ({"rrule": "FREQ=DAILY;BYSECOND=1", "start": "2026-01-01T00:00"}, "BYSECOND"),
        ({"rrule": "FREQ=DAILY;BYEASTER=0", "start": "2026-01-01T00:00"}, "BYEASTER"),
        ({"rrule": "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30", "start": "2026-01-01T00:00"}, "none of the 10 years"),
        ({"rrule": "FREQ=DAILY;UNTIL=20251231T000000", "start": "2026-01-01T00:00"}, "none of the 10 years"),
        ({"rrule": "FREQ=DAILY;UNTIL=20261231", "start": "2026-01-01T00:00"}, "UNTIL"),
        ({"rrule": "FREQ=DAILY;BYHOUR=0,1,2,3,4;BYMINUTE=0,10,20,30,40", "start": "2026-01-01T00:00"}, "a day"),
        ({"rrule": "FREQ=DAILY;BYDAY=XX", "start": "2026-01-01T00:00"}, "RRULE"),
        ({"rrule": "FREQ", "start": "2026-01-01T00:00"}, "RRULE"),
        ({"rrule": "FREQ=DAILY", "start": "2026-02-30T00:00"}, "local time"),
        ({"rrule": "FREQ=DAILY", "start": "1900-01-01T00:00"}, "years 2020"),
        ({"rrule": "FREQ=DAILY", "start": "2026-01-01T00:00", "timeZone": "Europe/Atlantis"}, "Europe/Atlantis"),
    ],
)
def test_what_cannot_be_read_or_never_begins_is_refused(fields: dict[str, str], said: str) -> None:
    """With a sentence that names what is wrong."""
    with pytest.raises(ValueError, match=said):
        check_schedule(spec(**fields))


@pytest.mark.parametrize(
    "fields",
    [
        {"cron": "0 0 29 2 MON#5"},
        {"cron": "* * * * *"},
        {"cron": "0 0 29 2 MON", "duration": 366 * 24 * HOUR},
        {"rrule": "FREQ=DAILY;BYHOUR=0,1,2,3,4,5,6,7;BYMINUTE=0,20,40", "start": "2020-01-01T00:00"},
        {"rrule": "FREQ=DAILY;INTERVAL=1000;BYMONTH=2;BYMONTHDAY=29;BYDAY=MO", "start": "2020-01-01T00:00"},
        {"rrule": "FREQ=YEARLY;BYYEARDAY=366;BYDAY=MO;BYSETPOS=-1", "start": "2020-01-01T00:00"},
    ],
    ids=lambda fields: fields.get("cron") or fields["rrule"],
)
def test_looking_into_a_costly_schedule_takes_bounded_time(fields: dict[str, Any]) -> None:
    """A few seconds of processor time at the very most, sixteen years after its start."""
    began = time.process_time()

    line = timeline(spec(**fields), moment("2036-01-01T00:00"))

    assert len(line.windows) <= FORESEEN + 2
    assert time.process_time() - began < 5


cron_fields = st.text("0123456789*/,-L#WMONFRI", min_size=1, max_size=8)
rrules = st.lists(
    st.tuples(
        st.sampled_from(
            ["FREQ", "INTERVAL", "COUNT", "BYDAY", "BYMONTH", "BYMONTHDAY", "BYSETPOS", "BYHOUR", "BYWEEKNO"]
        ),
        st.one_of(
            st.sampled_from(["DAILY", "WEEKLY", "MONTHLY", "YEARLY", "MO", "1MO,-1FR"]),
            st.lists(st.integers(-400, 400).map(str), min_size=1, max_size=4).map(",".join),
        ),
    ).map("=".join),
    min_size=1,
    max_size=5,
).map(";".join)


@settings(max_examples=150, deadline=5_000)
@given(st.lists(cron_fields, min_size=5, max_size=5).map(" ".join))
def test_any_cron_is_refused_or_read(text: str) -> None:
    """Nothing but `ValueError` comes out, in bounded time; and what was accepted can be looked into."""
    freeze = spec(cron=text)
    try:
        check_schedule(freeze)
    except ValueError:
        return
    _well_formed(freeze)


@settings(max_examples=150, deadline=5_000)
@given(rrules)
def test_any_rrule_is_refused_or_read(text: str) -> None:
    """Likewise."""
    freeze = spec(rrule=text, start="2024-02-29T02:30", timeZone="Europe/Berlin")
    try:
        check_schedule(freeze)
    except ValueError:
        return
    _well_formed(freeze)


def _well_formed(freeze: FreezeSpec) -> None:
    now = moment("2026-10-25T00:30")
    line = timeline(freeze, now)
    edges = [edge for found in line.windows for edge in (found.begins, found.ends)]
    assert edges == sorted(set(edges))
    assert all(found.ends > now for found in line.windows)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC"]),
    st.integers(0, 730 * 24 * 60),
    st.integers(0, 23),
    st.integers(1, 20),
)
def test_an_open_window_began_at_its_local_time(zone: str, minutes: int, hour: int, hours: int) -> None:
    """Whatever the moment: who is inside came in at the declared hour (or just after a skipped one), not long ago."""
    now = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    freeze = spec(cron=f"15 {hour} * * *", timeZone=zone, duration=hours * HOUR)

    found = timeline(freeze, now).at(now)

    local = now.astimezone(ZoneInfo(zone))
    days = [local.date() - timedelta(days=back) for back in (0, 1)]
    begins = [datetime(day.year, day.month, day.day, hour, 15, tzinfo=ZoneInfo(zone)).astimezone(UTC) for day in days]
    expected = next((begin for begin in begins if begin <= now < begin + timedelta(hours=hours)), None)
    assert (found.begins if found else None) == expected
