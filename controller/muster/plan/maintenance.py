"""When a device may switch, by its own clock: maintenance windows in its time zone, and its turn among its site.

    u    = the first 8 bytes of sha256("turn/v1|" + value of the label + "|" + device id), big endian
    mine = (u * turns) >> 64
    now  = floor(UTC microseconds since 1970 / turn) mod turns
    may  ⇔ now = mine

A window is open iff the device's wall clock shows a time within it. So where clocks are put back, it may be open twice;
where they are put forward, it is shorter, and one that lies in the skipped hour does not open that day.

Nothing here counts devices: the share of a site that switches at once is what is expected, not what is counted.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache

from muster.kinds.maintenance import MINUTE, WEEK, Disruption, MaintenanceWindow, Span, spans_of

LARGEST_SHIFT = 120
"""Minutes; no zone in use puts its clocks forward or back by more."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TICK = timedelta(microseconds=1)
_HOUR = timedelta(hours=1)
_MOST_LOOKS = 64


def turn_of(disruption: Disruption, device_id: str, labels: Mapping[str, str]) -> int:
    """The device's turn, 0 to `turns` - 1."""
    text = f"turn/v1|{labels.get(disruption.label, '')}|{device_id}"
    return (int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") * disruption.turns) >> 64


def next_turn(disruption: Disruption, mine: int, now: datetime) -> datetime:
    """`now` within the turn, else when it begins; in UTC."""
    count = ((now - _EPOCH) // _TICK) // disruption.turn
    wait = (mine - count) % disruption.turns
    return _EPOCH + timedelta(microseconds=(count + wait) * disruption.turn) if wait else now.astimezone(UTC)


def is_open(windows: Sequence[MaintenanceWindow], local: datetime) -> bool:
    """True if a wall clock that shows `local` is within a window; without windows, always."""
    return not windows or _within(_spans(tuple(windows)), local)


def next_opening(windows: Sequence[MaintenanceWindow], now: datetime, zone: tzinfo) -> datetime:
    """`now` if a window is open, else when the next one opens; in UTC. `now` with its zone, whatever that is."""
    spans, at = _spans(tuple(windows)), now.astimezone(UTC)
    for _ in range(_MOST_LOOKS):
        local = _wall(at, zone)
        if not spans or _within(spans, local):
            break
        then = at + _until(spans, local)
        at = _first_shift(at, then, zone) or then
    return at


def next_switch(
    windows: Sequence[MaintenanceWindow], disruption: Disruption | None, mine: int, now: datetime, zone: tzinfo
) -> datetime:
    """`now` if the device may switch, else the next moment at which it may; in UTC. `mine` as `turn_of` says."""
    at = now
    for _ in range(_MOST_LOOKS):
        opening = next_opening(windows, at, zone)
        at = next_turn(disruption, mine, opening) if disruption else opening
        if at == opening:
            break
    return at


@lru_cache(maxsize=256)
def longest_wait(windows: tuple[MaintenanceWindow, ...], disruption: Disruption | None) -> int:
    """Microseconds after which every device had its turn in a window, whatever its zone, if its clock goes on.

    A device that is ready when its turn has just passed waits out that window, for less than a sweep, then the longest
    pause between two windows, and a sweep again. Clocks that are put back lengthen a pause. Clocks that are put forward
    may leave too little of a window; the pause is then longer by that window.
    """
    spans, sweep = spans_of(windows), disruption.sweep if disruption else 0
    if not spans or spans == (Span(0, WEEK),):
        return sweep
    needed = max(1, -(-sweep // MINUTE))
    skips = [at for span in spans for at in (span.begin, span.end - LARGEST_SHIFT)]
    pause = max(_longest_pause([span for span in spans if _left(span, at) >= needed], spans) for at in skips)
    return max(pause, _longest_pause(spans, spans)) * MINUTE + LARGEST_SHIFT * MINUTE + 2 * sweep


def _left(span: Span, skipped: int) -> int:
    """Minutes of a span that are left if the clock goes from `skipped` straight to `LARGEST_SHIFT` later."""
    lost = sum(
        max(0, min(span.end, at + LARGEST_SHIFT) - max(span.begin, at))
        for at in (skipped - WEEK, skipped, skipped + WEEK)
    )
    return span.end - span.begin - lost


def _longest_pause(kept: Sequence[Span], spans: Sequence[Span]) -> int:
    """Minutes without a window, once, where one week has only `kept`, and the weeks around it have all."""
    shifted = [
        Span(begin + shift, end + shift)
        for shift, week in ((-WEEK, spans), (0, kept), (WEEK, spans))
        for begin, end in week
    ]
    return max(after.begin - before.end for before, after in itertools.pairwise(shifted))


@lru_cache(maxsize=64)
def _spans(windows: tuple[MaintenanceWindow, ...]) -> tuple[Span, ...]:
    return spans_of(windows)


def _wall(at: datetime, zone: tzinfo) -> datetime:
    return at.astimezone(zone).replace(tzinfo=None)


def _minute(local: datetime) -> int:
    return (local.weekday() * 24 + local.hour) * 60 + local.minute


def _within(spans: Sequence[Span], local: datetime) -> bool:
    minute = _minute(local)
    return any(begin <= minute < end or begin <= minute + WEEK < end for begin, end in spans)


def _until(spans: Sequence[Span], local: datetime) -> timedelta:
    """From a time outside of all spans to the next one, on a wall clock that nobody shifts."""
    minute = _minute(local)
    whole = min((span.begin - minute) % WEEK for span in spans)
    return timedelta(minutes=whole, seconds=-local.second, microseconds=-local.microsecond)


def _first_shift(begin: datetime, end: datetime, zone: tzinfo) -> datetime | None:
    """The first moment after `begin`, before `end`, at which clocks of the zone are put forward or back."""
    before = begin
    while before < end:
        after = min(before + _HOUR, end)
        if _offset(after, zone) != _offset(before, zone):
            return _shift_between(before, after, zone)
        before = after
    return None


def _shift_between(before: datetime, after: datetime, zone: tzinfo) -> datetime:
    offset = _offset(before, zone)
    while after - before > _TICK:
        middle = before + (after - before) // 2
        before, after = (middle, after) if _offset(middle, zone) == offset else (before, middle)
    return after


def _offset(at: datetime, zone: tzinfo) -> timedelta:
    return _wall(at, zone) - at.replace(tzinfo=None)
