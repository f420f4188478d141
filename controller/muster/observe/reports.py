"""Reports: taken once each, in the order in which the device made them; those of many devices in one go.

A report with a sequence number that is not above the device's last one was taken before (the device did not get the
answer) and is acknowledged again without effect.

What is read and written for many devices together costs each of them a few rows, and no statement of its own. What a
request is refused for is found before anything of it is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, RowMapping, bindparam, select, update
from sqlalchemy.dialects.sqlite import insert

from muster.kinds.errors import Refused
from muster.kinds.quantity import parse_duration
from muster.kinds.telemetry import Report
from muster.observe.habit import Hearing, dark_after, next_habit
from muster.observe.standings import DeviceStandings, read_rows, write_standings
from muster.observe.status import hearing_of, read_statuses, shortest_of, write_hearing
from muster.observe.storage import devices, iso, running
from muster.observe.tallies import JUDGING
from muster.plan.judging import Judging

# Made once: to build a statement of thirty columns costs more than to run it.
_INSERT_RUNNING = insert(running)
_WRITE_RUNNING = _INSERT_RUNNING.on_conflict_do_update(
    index_elements=["device_id", "model"],
    set_={column.name: _INSERT_RUNNING.excluded[column.name] for column in running.columns},
)
_READ_DEVICES = select(devices).where(devices.c.device_id.in_(bindparam("in_devices", expanding=True)))
_PRESENCE = ("last_sequence", "last_seen", "habit_ms", "dark_after")
_WRITE_DEVICES = (
    update(devices)
    .where(devices.c.device_id == bindparam("in_device"))
    .values({name: bindparam(f"in_{name}") for name in _PRESENCE})
)
_RUNNING = tuple(running.columns.keys())


class NotEnrolledError(Refused):
    """There is no such device, or no more, or this is not its secret any more."""


@dataclass(frozen=True)
class Sent:
    """What one device sent in one request. `secret_hash`: of the secret that was shown, which must still hold; None:
    who calls was settled by other means.
    """

    device_id: str
    reports: Sequence[Report]
    secret_hash: str | None = None


@dataclass(frozen=True)
class Taken:
    """How many reports were new, and the highest sequence number that was ever taken from the device.

    `labels`: those that people set for it. `rotate`: its secret is older than its class lets it be.
    """

    new: int
    last_sequence: int
    labels: Mapping[str, str] = field(default_factory=dict)
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


def count_reports(connection: Connection, device: Row[Any], reports: Sequence[Report], at: datetime) -> None:
    """Count reports, each for the first time, whoever made them for the device. Raises `Refused`."""
    if refusal := _other_model(reports, device):
        raise refusal
    group = _Group(connection, (), at)
    group.count(device, sorted(reports, key=lambda report: report.sequence))
    group.write()


def presence(connection: Connection, device: Row[Any], at: datetime) -> dict[str, Any]:
    """When the device was seen, and from when on its silence would count as dark; that it was heard is kept."""
    group = _Group(connection, (), at)
    seen = group.present(device)
    group.write()
    return {name.removeprefix("in_"): value for name, value in seen.items()}


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
        said = read_statuses(connection, "releases", "enrolment", "polls", "hearing", JUDGING)
        self._declared = said.get("releases") or {}
        self._enrolment = said.get("enrolment") or {}
        self._polls = said.get("polls") or {}
        self._poll_ms = shortest_of(self._polls)
        self._judging = Judging.of_json(said.get(JUDGING))
        self._heard = hearing_of(said.get("hearing"))
        self._running: list[dict[str, Any]] = []
        self._presence: list[dict[str, Any]] = []
        self._standings: list[DeviceStandings] = []

    def take(self) -> list[Taken | Refused]:
        """What became of each."""
        asked = {"in_devices": [one.device_id for one in self._sent]}
        known = {device.device_id: device for device in self._connection.execute(_READ_DEVICES, asked)}
        rows = read_rows(self._connection, known)
        taken: list[Taken | Refused] = []
        for one in self._sent:
            device = known.get(one.device_id)
            refusal = _refusal(one, device)
            if refusal is not None or device is None:
                taken.append(refusal or _not_enrolled())
                continue
            taken.append(self._take_one(one, device, rows[one.device_id]))
        self.write()
        return taken

    def _take_one(self, one: Sent, device: Row[Any], rows: Iterable[RowMapping]) -> Taken:
        new = _new(one, device)
        if new:
            self.count(device, new, rows)
        last_sequence = new[-1].sequence if new else device.last_sequence
        self._presence.append(
            {"in_device": device.device_id, "in_last_sequence": last_sequence, **self.present(device)}
        )
        return Taken(len(new), last_sequence, device.set_labels or {}, self._is_old(device))

    def count(self, device: Row[Any], new: Sequence[Report], rows: Iterable[RowMapping] | None = None) -> None:
        """Count reports in their order. `rows` of the device are read if they are not given."""
        if rows is None:
            rows = read_rows(self._connection, [device.device_id])[device.device_id]
        standings = DeviceStandings(device, self._declared, self._judging, rows)
        for report in new:
            standings.note(report, self._at)
        self._standings.append(standings)
        # Of each model the newest: those before it would be written over at once.
        newest = {report.model: report for report in new}
        self._running += [_what_runs(report, device.device_class, self._at) for report in newest.values()]

    def present(self, device: Row[Any]) -> dict[str, Any]:
        """Columns of `_WRITE_DEVICES`: when the device was seen, and from when on its silence would count as dark."""
        at = self._at
        heard = self._heard or Hearing(at, at)
        # A pause in which nobody was heard is ours, and no habit of the device.
        known = device.last_seen is not None and heard.holds(at, self._poll_ms)
        pause = at - datetime.fromisoformat(device.last_seen) if known else None
        habit_ms = next_habit(device.habit_ms, pause, self._polls.get(device.device_class, 0))
        self._heard = heard.next(at, self._poll_ms)
        return {"in_last_seen": iso(at), "in_habit_ms": habit_ms, "in_dark_after": iso(dark_after(at, habit_ms))}

    def _is_old(self, device: Row[Any]) -> bool:
        said = self._enrolment.get(device.device_class) or {}
        if not said.get("secretLifetime"):
            return False
        since = datetime.fromisoformat(device.secret_at or device.enrolled_at)
        return self._at - since > timedelta(microseconds=parse_duration(said["secretLifetime"]))

    def write(self) -> None:
        """Write what was counted, and that devices were heard."""
        if self._running:
            self._connection.execute(_WRITE_RUNNING, self._running)
        write_standings(self._connection, self._standings, self._judging.readings)
        if self._presence:
            self._connection.execute(_WRITE_DEVICES, self._presence)
        if self._heard is not None and self._heard.last == self._at:
            write_hearing(self._connection, self._heard)


def _refusal(one: Sent, device: Row[Any] | None) -> Refused | None:
    """Why nothing of a request is taken."""
    if device is None or one.secret_hash not in (None, device.secret_hash):
        return _not_enrolled()
    return _other_model(_new(one, device), device)


def _other_model(reports: Iterable[Report], device: Row[Any]) -> Refused | None:
    other = next((report.model for report in reports if report.model not in device.models), None)
    return Refused(f"the device is not enrolled for model {other}", "enrol it for that model") if other else None


def _not_enrolled() -> NotEnrolledError:
    return NotEnrolledError("the device is not enrolled, or this is not its secret", "enrol the device again")


def _new(one: Sent, device: Row[Any]) -> list[Report]:
    new = [report for report in one.reports if report.sequence > device.last_sequence]
    return sorted(new, key=lambda report: report.sequence)


def _what_runs(report: Report, device_class: str, at: datetime) -> dict[str, Any]:
    # By name: what a report leaves out must be forgotten, not kept from the one before.
    columns = {name: getattr(report, name, None) for name in _RUNNING}
    return columns | {"device_class": device_class, "reported_at": iso(at)}
