"""When the windows of a freeze begin and end, from cron or RRULE, on the clocks of a time zone.

A window begins at a local time and lasts its duration as it elapses, whatever the clocks do meanwhile. Where clocks
change, RFC 5545 (3.3.5) is followed for both: a local time that is skipped counts as if the clocks had not changed yet
(02:30 becomes 03:30), one that comes twice means the first. A cron that runs through the hours (`*` in minute or hour)
begins in both.

What somebody writes here costs a bounded time to look into: nothing finer than a minute for cron and a day for RRULE,
`FORESEEN` begins, `YEARS` ahead.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from muster.kinds.freeze import FreezeSpec

FORESEEN: Final = 1_000
YEARS: Final = 10
LONGEST: Final = timedelta(days=366)
EARLIEST: Final = datetime(2020, 1, 1)  # noqa: DTZ001 - a local time
LATEST: Final = datetime(2100, 1, 1)  # noqa: DTZ001 - a local time

_CLOCKS_CHANGE: Final = timedelta(hours=3)
"""More than any change of clocks moves a local time."""
_PARTS: Final = frozenset(
    (
        "FREQ",
        "INTERVAL",
        "COUNT",
        "UNTIL",
        "WKST",
        "BYDAY",
        "BYMONTH",
        "BYMONTHDAY",
        "BYYEARDAY",
        "BYWEEKNO",
        "BYSETPOS",
        "BYHOUR",
        "BYMINUTE",
    )
)
_AGES: Final = 7_600
"""Years, a multiple of 400: after so many, the calendar is the same. See `_rrule`."""
_FREQUENCIES: Final = ("DAILY", "WEEKLY", "MONTHLY", "YEARLY")
_MOST_A_DAY: Final = 24


@dataclass(frozen=True)
class Window:
    """From `begins`, until just before `ends`; both in UTC."""

    begins: datetime
    ends: datetime


@dataclass(frozen=True)
class Timeline:
    """The windows from some moment on, apart from each other and in order. Nothing is known of `until` and later."""

    windows: tuple[Window, ...]
    until: datetime

    def at(self, moment: datetime) -> Window | None:
        """The window that is open at this moment."""
        return next((window for window in self.windows if window.begins <= moment < window.ends), None)

    def next_begin(self, moment: datetime) -> datetime | None:
        """When the first window after this moment begins."""
        return next((window.begins for window in self.windows if window.begins > moment), None)


def timeline(spec: FreezeSpec, now: datetime) -> Timeline:
    """The windows of a freeze that end after `now`. Raises `ValueError` if its schedule cannot be read."""
    zone = zone_of(spec.time_zone)
    local = now.astimezone(zone).replace(tzinfo=None)
    begins, complete = _begins(spec, zone, local)
    duration = timedelta(microseconds=spec.duration)
    instants = sorted({instant for begin in begins for instant in _instants(spec, begin, zone)})
    horizon = now.astimezone(UTC) + timedelta(days=365 * YEARS)
    until = horizon if complete or not instants else min(instants[-1], horizon)
    joined: list[Window] = []
    for instant in instants:
        window = Window(instant, instant + duration)
        if joined and window.begins <= joined[-1].ends:
            joined[-1] = Window(joined[-1].begins, window.ends)
        else:
            joined.append(window)
    return Timeline(tuple(window for window in joined if window.ends > now), until)


def zone_of(name: str) -> ZoneInfo:
    """The time zone. Raises `ValueError` if nobody knows it."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, OSError, ValueError) as error:
        raise ValueError(f"nobody knows the time zone {name}") from error


def check_schedule(spec: FreezeSpec) -> None:
    """Raises `ValueError`, with what is wrong, for a schedule that cannot be read or never begins."""
    if spec.cron is not None:
        if next(_cron(spec.cron, EARLIEST), None) is None:
            raise ValueError(f"the cron {spec.cron!r} never begins")
        return
    start, zone = start_of(spec), zone_of(spec.time_zone)
    if next(_rrule(spec.rrule or "", start, start + timedelta(days=365 * YEARS), zone), None) is None:
        raise ValueError(f"the rrule begins in none of the {YEARS} years after its start")


def start_of(spec: FreezeSpec) -> datetime:
    """The local time that an RRULE counts from. Raises `ValueError`."""
    try:
        start = datetime.strptime(spec.start or "", "%Y-%m-%dT%H:%M")  # noqa: DTZ007 - a local time
    except ValueError as error:
        raise ValueError(f"not a local time: {spec.start!r}") from error
    if not EARLIEST <= start < LATEST:
        raise ValueError(f"{spec.start} is not within the years {EARLIEST.year} to {LATEST.year - 1}")
    return start


def _begins(spec: FreezeSpec, zone: ZoneInfo, local: datetime) -> tuple[list[datetime], bool]:
    """Local begins: the last one that lies safely before `local`, and those that follow; True if these are all."""
    early, late = local - _CLOCKS_CHANGE, local + timedelta(days=365 * YEARS)
    if spec.cron is not None:
        last = list(islice(_cron(spec.cron, early, reverse=True), 1))
        following = _cron(spec.cron, early - timedelta(seconds=1))
    else:
        last = []
        following = _rrule(spec.rrule or "", start_of(spec), late, zone)
    found: list[datetime] = []
    for begin in following:
        if begin < early:
            last = [begin]
            continue
        if begin > late:
            break
        if len(found) == FORESEEN:
            return [*last, *found], False
        found.append(begin)
    return [*last, *found], True


def _instants(spec: FreezeSpec, begin: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    first = begin.replace(tzinfo=zone, fold=0)
    yield first.astimezone(UTC)
    if spec.cron is not None and any(field.startswith("*") for field in spec.cron.split()[:2]):
        second = begin.replace(tzinfo=zone, fold=1)
        # Skipped times have two offsets too, in the other order.
        if (second.utcoffset() or timedelta()) < (first.utcoffset() or timedelta()):
            yield second.astimezone(UTC)


def _cron(text: str, local: datetime, *, reverse: bool = False) -> Iterator[datetime]:
    """Local times after (or before) `local`. Raises `ValueError`."""
    from cronsim import CronSim, CronSimError

    try:
        yield from CronSim(text, local, reverse)
    except (CronSimError, AssertionError) as error:
        raise ValueError(f"not a cron of minute, hour, day, month and weekday: {text!r} ({error})") from error
    except OverflowError:
        return


def _rrule(text: str, start: datetime, late: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    """Local times from `start` to `late`, in order. Raises `ValueError`.

    A rule without any occurrence is followed to the year 9999, whatever its end. So it is read where that is near.
    """
    from dateutil.rrule import rrulestr

    parts = _rrule_parts(text)
    count = _number(parts.pop("COUNT", str(10**9)), "COUNT", 10**9)
    until = parts.pop("UNTIL", None)
    last = late if until is None else min(late, _until(until, zone))
    if start > last:
        return
    rule = ";".join(f"{key}={value}" for key, value in parts.items())
    try:
        end = last.replace(year=last.year + _AGES)
        found = rrulestr(f"{rule};UNTIL={end:%Y%m%dT%H%M%S}", dtstart=start.replace(year=start.year + _AGES))
    except (ValueError, KeyError, AttributeError, TypeError, IndexError) as error:
        raise ValueError(f"not an RRULE: {text!r} ({error})") from error
    for occurrence in islice(found, count):
        yield occurrence.replace(year=occurrence.year - _AGES)


def _rrule_parts(text: str) -> dict[str, str]:
    parts: dict[str, str] = {}
    for part in text.split(";"):
        key, equals, value = part.partition("=")
        if not equals or not value:
            raise ValueError(f"not an RRULE: {text!r}; write FREQ=WEEKLY;BYDAY=FR")
        if key not in _PARTS or key in parts:
            raise ValueError(f"{key} stands twice, or is not a part that is read here: {', '.join(sorted(_PARTS))}")
        parts[key] = value
    if parts.get("FREQ") not in _FREQUENCIES:
        raise ValueError(f"FREQ must be one of {', '.join(_FREQUENCIES)}; for finer windows write a cron")
    _number(parts.get("INTERVAL", "1"), "INTERVAL", 1_000)
    times = [set(_listed(parts, key)) for key in ("BYHOUR", "BYMINUTE")]
    if max(len(times[0]), 1) * max(len(times[1]), 1) > _MOST_A_DAY:
        raise ValueError(f"more than {_MOST_A_DAY} begins a day; write a longer duration, or a cron")
    return parts


def _listed(parts: dict[str, str], key: str) -> list[str]:
    return parts[key].split(",") if key in parts else []


def _number(text: str, key: str, most: int) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= most:
        raise ValueError(f"{key} must be a number from 1 to {most}")
    return int(text)


def _until(text: str, zone: ZoneInfo) -> datetime:
    form = "%Y%m%dT%H%M%SZ" if text.endswith("Z") else "%Y%m%dT%H%M%S"
    try:
        until = datetime.strptime(text, form)  # noqa: DTZ007 - a local time, or made one below
        return until.replace(tzinfo=UTC).astimezone(zone).replace(tzinfo=None) if form.endswith("Z") else until
    except (ValueError, OverflowError) as error:
        raise ValueError(f"UNTIL must be a moment such as 20271231T230000Z, not {text}") from error
