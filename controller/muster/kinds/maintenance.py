"""When a device may switch to what it fetched: maintenance windows in its own time, and turns within its site.

Both are declared by device class, and judged on the device (`plan.maintenance`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Final, Literal, NamedTuple, get_args

from pydantic import Field, StringConstraints, field_validator, model_validator

from muster.kinds.ppm import PPM
from muster.kinds.quantity import Duration, Percent, format_duration
from muster.kinds.resource import AsTuple, Declared, LabelKey

Weekday = Literal["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
WEEKDAYS: Final[tuple[Weekday, ...]] = get_args(Weekday)
ClockTime = Annotated[str, StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
ClosingTime = Annotated[str, StringConstraints(pattern=r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$")]

DAY: Final = 1_440
WEEK: Final = 7 * DAY
"""Minutes, as clocks on the wall count them."""
MOST_WINDOWS: Final = 16
MINUTE: Final = 60_000_000
"""Microseconds, as durations are held."""
LONGEST_ROUND: Final = WEEK * MINUTE


class MaintenanceWindow(Declared):
    """On these days, from one time of the device's wall clock until before another: of the next day, if that is not
    later. `days` are those on which the window begins; without any, it is every day.
    """

    days: Annotated[tuple[Weekday, ...], AsTuple, Field(max_length=7)] = ()
    begins: Annotated[ClockTime, Field(alias="from")]
    ends: Annotated[ClosingTime, Field(alias="to")]

    @model_validator(mode="after")
    def _lasts(self) -> MaintenanceWindow:
        if self.begins == self.ends:
            raise ValueError('a window that ends when it begins says nothing; a whole day is from "00:00" to "24:00"')
        if len(set(self.days)) < len(self.days):
            raise ValueError("a day stands here twice")
        return self


class Disruption(Declared):
    """Of the devices that have the same value of `label`, about this share may switch at the same time.

    Turns of length `turn` follow each other by UTC, round and round; each device has one of them, by its id. Devices
    without the label are a site of their own.
    """

    label: LabelKey
    share: Percent
    turn: Duration

    @field_validator("share")
    @classmethod
    def _some(cls, share: int) -> int:
        if not share:
            raise ValueError('with a share of "0%" no device would ever switch; suspend the release instead')
        return share

    @model_validator(mode="after")
    def _can_be_waited_for(self) -> Disruption:
        if self.turn < MINUTE:
            raise ValueError('a turn is at least "1m": devices ask what is desired no more often than that')
        if self.turns * self.turn > LONGEST_ROUND:
            whole = format_duration(self.turns * self.turn)
            raise ValueError(f'{self.turns} turns take {whole}, more than "7d"; write a larger share or a shorter turn')
        return self

    @property
    def turns(self) -> int:
        """How many turns make a round: never so few that more than the share is expected in one."""
        return -(-PPM // self.share)

    @property
    def sweep(self) -> int:
        """Microseconds within which every device has one whole turn, whenever they begin."""
        return (self.turns + 1) * self.turn if self.turns > 1 else 0


class Span(NamedTuple):
    """Minutes since Monday 00:00 on the wall clock: `begin` is within the week, `end` may lie in the next."""

    begin: int
    end: int


def spans_of(windows: Iterable[MaintenanceWindow]) -> tuple[Span, ...]:
    """The windows of any week in order, joined where they touch. A week without a pause is one span."""
    week = sorted(span for window in windows for span in _spans(window))
    joined: list[Span] = []
    # What touches over the end of the week is found in the middle one of three.
    for span in (Span(begin + shift, end + shift) for shift in (-WEEK, 0, WEEK) for begin, end in week):
        if joined and span.begin <= joined[-1].end:
            joined[-1] = Span(joined[-1].begin, max(joined[-1].end, span.end))
        else:
            joined.append(span)
    return tuple(span for span in joined if 0 <= span.begin < WEEK) or ((Span(0, WEEK),) if joined else ())


def _spans(window: MaintenanceWindow) -> Iterable[Span]:
    begin, end = _minutes(window.begins), _minutes(window.ends)
    for day in window.days or WEEKDAYS:
        start = WEEKDAYS.index(day) * DAY + begin
        yield Span(start, start + (end - begin if end > begin else end - begin + DAY))


def _minutes(clock: str) -> int:
    hours, _, minutes = clock.partition(":")
    return int(hours) * 60 + int(minutes)


def never_in_turn(windows: Sequence[MaintenanceWindow], disruption: Disruption | None) -> str | None:
    """Why some device would never have its turn while a window is open; None if every device has."""
    needed = disruption.sweep if disruption else 0
    shortest = min((span.end - span.begin for span in spans_of(windows)), default=WEEK) * MINUTE
    if disruption is None or shortest >= needed:
        return None
    return (
        f"a window of {format_duration(shortest)} is too short for {disruption.turns} turns of "
        f"{format_duration(disruption.turn)}: each device has a whole turn within {format_duration(needed)}, not less; "
        "write a longer window, a shorter turn or a larger share"
    )
