"""Reports: taken once each, in the order in which the device made them; those of many devices in one go.

A report with a sequence number that is not above the device's last one was taken before (the device did not get the
answer) and is acknowledged again without effect.

What is read and written for many devices together costs each of them a few rows, and no statement of its own. What a
request is refused for is found before anything of it is written.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from operator import attrgetter
from types import MappingProxyType
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, select, update

from muster.kinds.errors import Refused
from muster.kinds.quantity import parse_duration
from muster.kinds.telemetry import Report
from muster.observe.compiled import Compiled, decoded, encoded, given, is_asked, upsert
from muster.observe.habit import Hearing, dark_after, next_habit
from muster.observe.standings import DeviceStandings, read_rows, write_standings
from muster.observe.status import hearing_of, read_texts, shortest_of, write_hearing
from muster.observe.storage import devices, iso, running
from muster.observe.tallies import JUDGING
from muster.plan.judging import Judging

_KEYS = ("device_id", "model")
_COLUMNS = tuple(running.columns.keys())
_WRITE_RUNNING = Compiled(upsert(running))
_INDEXED = ("device_class", "model_hash", "config_version", "runtime_version")
_UPDATE_RUNNING = Compiled(
    update(running)
    .where(*(running.c[name] == given(name) for name in _KEYS))
    .where(*(running.c[name].is_not_distinct_from(given(name)) for name in _INDEXED))
    .values({name: given(name) for name in _COLUMNS if name not in (*_KEYS, *_INDEXED)})
)


class Known(NamedTuple):
    """What must be known of a device to take its reports: columns of `devices`."""

    device_id: str
    device_class: str
    secret_hash: str
    enrolled_at: str
    secret_at: str | None
    last_seen: str | None
    last_sequence: int
    habit_ms: int
    labels: Mapping[str, str]
    models: Sequence[str]
    set_labels: Mapping[str, str] | None


_PRESENCE = ("last_sequence", "last_seen", "habit_ms", "dark_after")
_READ_DEVICES = Compiled(select(*(devices.c[name] for name in Known._fields)).where(is_asked(devices.c.device_id)))
_WRITE_DEVICES = Compiled(
    update(devices).where(devices.c.device_id == given("device_id")).values({name: given(name) for name in _PRESENCE})
)


Device = Known | Row[Any]
"""What is known of a device, read here or by who calls."""


class NotEnrolledError(Refused):
    """There is no such device, or no more, or this is not its secret any more."""


class Sent(NamedTuple):
    """What one device sent in one request. `secret_hash`: of the secret that was shown, which must still hold; None:
    who calls was settled by other means.
    """

    device_id: str
    reports: Sequence[Report]
    secret_hash: str | None = None


class Taken(NamedTuple):
    """How many reports were new, and the highest sequence number that was ever taken from the device.

    `labels`: those that people set for it. `rotate`: its secret is older than its class lets it be.
    """

    new: int
    last_sequence: int
    labels: Mapping[str, str] = MappingProxyType({})
    rotate: bool = False


def take_reports(connection: Connection, device_id: str, reports: Iterable[Report], at: datetime) -> Taken:
    """Store a device's reports in one transaction of the caller.

    Device class and models are those that were enrolled: a device cannot speak for others. Raises `Refused`, among
    them `NotEnrolledError` for a device that was revoked meanwhile.
    """
    outcome = take_all(connection, [Sent(device_id, tuple(reports))], at)[0]
    if isinstance(outcome, Refused):
        raise outcome
    return outcome


def take_all(connection: Connection, sent: Sequence[Sent], at: datetime) -> list[Taken | Refused]:
    """The same for many requests, in their order. What one is refused for harms no other."""
    outcomes: dict[int, Taken | Refused] = {}
    for turn in _turns(sent):
        group = _Group(connection, [sent[place] for place in turn], at)
        outcomes |= zip(turn, group.take(), strict=True)
    return [outcomes[place] for place in range(len(sent))]


def count_reports(connection: Connection, device: Device, reports: Sequence[Report], at: datetime) -> None:
    """Count reports, each for the first time, whoever made them for the device. Raises `Refused`."""
    if refusal := _other_model(reports, device):
        raise refusal
    group = _Group(connection, (), at)
    group.count(device, sorted(reports, key=lambda report: report.sequence))
    group.write()


def presence(connection: Connection, device: Device, at: datetime) -> dict[str, Any]:
    """When the device was seen, and from when on its silence would count as dark; that it was heard is kept."""
    group = _Group(connection, (), at)
    seen = group.present(device)
    group.write()
    return seen


def _turns(sent: Sequence[Sent]) -> Iterator[list[int]]:
    """Places of the requests, so that no device is twice in a turn, and its first one comes first."""
    waiting = list(range(len(sent)))
    while waiting:
        turn: dict[str, int] = {}
        rest = [place for place in waiting if turn.setdefault(sent[place].device_id, place) != place]
        yield list(turn.values())
        waiting = rest


class _Group:
    """Requests of as many devices, in a transaction of the caller."""

    def __init__(self, connection: Connection, sent: Sequence[Sent], at: datetime) -> None:
        self._connection = connection
        self._sent = sent
        self._at = at
        self._iso = iso(at)
        said = read_texts(connection, "releases", "enrolment", "polls", "hearing", JUDGING)
        self._declared = _read(said.get("releases", "null")) or {}
        self._enrolment = _read(said.get("enrolment", "null")) or {}
        self._polls = _read(said.get("polls", "null")) or {}
        self._judging = _judging(said.get(JUDGING))
        self._before = hearing_of(json.loads(said.get("hearing", "null")))
        self._heard: Hearing | None = None
        self._running: list[dict[str, Any]] = []
        self._presence: list[dict[str, Any]] = []
        self._standings: list[DeviceStandings] = []
        self._dark: dict[int, str] = {}

    def take(self) -> list[Taken | Refused]:
        """What became of each."""
        asked = [one.device_id for one in self._sent]
        known = {device.device_id: device for device in map(_known, _READ_DEVICES.read(self._connection, asked))}
        rows = read_rows(self._connection, known)
        taken: list[Taken | Refused] = []
        for one in self._sent:
            device = known.get(one.device_id)
            if device is None or one.secret_hash not in (None, device.secret_hash):
                taken.append(_not_enrolled())
                continue
            new = _new(one, device)
            taken.append(_other_model(new, device) or self._take_one(device, new, rows[one.device_id]))
        self.write()
        return taken

    def _take_one(self, device: Device, new: Sequence[Report], rows: Iterable[dict[str, Any]]) -> Taken:
        if new:
            self.count(device, new, rows)
        last_sequence = new[-1].sequence if new else device.last_sequence
        self._presence.append({"device_id": device.device_id, "last_sequence": last_sequence, **self.present(device)})
        return Taken(len(new), last_sequence, device.set_labels or {}, self._is_old(device))

    def count(self, device: Device, new: Sequence[Report], rows: Iterable[dict[str, Any]] | None = None) -> None:
        """Count reports in their order. `rows` of the device are read if they are not given."""
        if rows is None:
            rows = read_rows(self._connection, [device.device_id])[device.device_id]
        standings = DeviceStandings(device, self._declared, self._judging, rows)
        for report in new:
            standings.note(report, self._at)
        self._standings.append(standings)
        # Of each model the newest: those before it would be written over at once.
        newest = {report.model: report for report in new}.values() if len(new) > 1 else new
        self._running += [_what_runs(report, device.device_class, self._iso) for report in newest]

    def present(self, device: Device) -> dict[str, Any]:
        """Columns of `_WRITE_DEVICES`: when the device was seen, and from when on its silence would count as dark."""
        if self._heard is None:
            self._heard = (self._before or Hearing(self._at, self._at)).next(self._at, shortest_of(self._polls))
        seen = datetime.fromisoformat(device.last_seen) if device.last_seen else None
        # A pause in which nobody was heard is ours, and no habit of the device.
        pause = self._at - seen if seen is not None and seen >= self._heard.since else None
        habit_ms = next_habit(device.habit_ms, pause, self._polls.get(device.device_class, 0))
        return {"last_seen": self._iso, "habit_ms": habit_ms, "dark_after": self._dark_after(habit_ms)}

    def _dark_after(self, habit_ms: int) -> str:
        """Devices of a class have much the same habit."""
        found = self._dark.get(habit_ms)
        if found is None:
            found = self._dark[habit_ms] = iso(dark_after(self._at, habit_ms))
        return found

    def _is_old(self, device: Device) -> bool:
        said = self._enrolment.get(device.device_class) or {}
        if not said.get("secretLifetime"):
            return False
        since = datetime.fromisoformat(device.secret_at or device.enrolled_at)
        return self._at - since > timedelta(microseconds=parse_duration(said["secretLifetime"]))

    def write(self) -> None:
        """Write what was counted, and that devices were heard."""
        # Nearly always a device runs what it ran before, and no index has to change.
        if _UPDATE_RUNNING.write(self._connection, self._running) < len(self._running):
            _WRITE_RUNNING.write(self._connection, self._running)
        write_standings(self._connection, self._standings, self._judging.readings)
        _WRITE_DEVICES.write(self._connection, self._presence)
        if self._heard is not None:
            write_hearing(self._connection, self._heard)


def _other_model(reports: Iterable[Report], device: Device) -> Refused | None:
    for report in reports:
        if report.model not in device.models:
            return Refused(f"the device is not enrolled for model {report.model}", "enrol it for that model")
    return None


def _not_enrolled() -> NotEnrolledError:
    return NotEnrolledError("the device is not enrolled, or this is not its secret", "enrol the device again")


def _new(one: Sent, device: Device) -> list[Report]:
    new = [report for report in one.reports if report.sequence > device.last_sequence]
    return sorted(new, key=attrgetter("sequence")) if len(new) > 1 else new


# What is declared changes seldom, and may be long.
_read = functools.lru_cache(8)(json.loads)


@functools.lru_cache(2)
def _judging(text: str | None) -> Judging:
    return Judging.of_json(json.loads(text) if text else None)


def _what_runs(report: Report, device_class: str, at: str) -> dict[str, Any]:
    # By name: what a report leaves out must be forgotten, not kept from the one before.
    return {
        **vars(report),
        "device_class": device_class,
        "confidence_histogram": encoded(report.confidence_histogram),
        "values": encoded(report.values),
        "reported_at": at,
    }


def _known(row: Sequence[Any]) -> Known:
    plain, (labels, models, set_labels) = row[:-3], row[-3:]
    return Known._make((*plain, decoded(labels), decoded(models), decoded(set_labels)))
