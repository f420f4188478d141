"""Reports: taken once each, in the order in which the device made them.

A report with a sequence number that is not above the device's last one was taken before (the device did not get the
answer) and is acknowledged again without effect.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, select, update
from sqlalchemy.dialects.sqlite import insert

from muster.kinds.errors import Refused
from muster.kinds.quantity import parse_duration
from muster.kinds.telemetry import Report
from muster.observe.habit import Hearing, dark_after, next_habit
from muster.observe.standings import DeviceStandings
from muster.observe.status import read_hearing, read_status, shortest_poll, write_hearing
from muster.observe.storage import devices, iso, running

# Made once: to build a statement of thirty columns costs more than to run it.
_INSERT_RUNNING = insert(running)
_WRITE_RUNNING = _INSERT_RUNNING.on_conflict_do_update(
    index_elements=["device_id", "model"],
    set_={column.name: _INSERT_RUNNING.excluded[column.name] for column in running.columns},
)


class NotEnrolledError(Refused):
    """There is no such device, or no more."""


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
    device = connection.execute(select(devices).where(devices.c.device_id == device_id)).first()
    if device is None:
        raise NotEnrolledError("the device is not enrolled", "enrol the device again")
    new = [
        report
        for report in sorted(reports, key=lambda report: report.sequence)
        if report.sequence > device.last_sequence
    ]
    count_reports(connection, device, new, at)
    last_sequence = new[-1].sequence if new else device.last_sequence
    connection.execute(
        update(devices)
        .where(devices.c.device_id == device_id)
        .values(last_sequence=last_sequence, **presence(connection, device, at))
    )
    return Taken(len(new), last_sequence, device.set_labels or {}, _is_old(connection, device, at))


def count_reports(connection: Connection, device: Row[Any], reports: Iterable[Report], at: datetime) -> None:
    """Count reports, each for the first time, whoever made them for the device. Raises `Refused`."""
    standings = DeviceStandings(connection, device, read_status(connection, "releases") or {})
    for report in reports:
        if report.model not in device.models:
            raise Refused(f"the device is not enrolled for model {report.model}", "enrol it for that model")
        _note_running(connection, report, device.device_class, at)
        standings.note(report, at)
    standings.write()


def _is_old(connection: Connection, device: Row[Any], at: datetime) -> bool:
    said = (read_status(connection, "enrolment") or {}).get(device.device_class) or {}
    if not said.get("secretLifetime"):
        return False
    since = datetime.fromisoformat(device.secret_at or device.enrolled_at)
    return at - since > timedelta(microseconds=parse_duration(said["secretLifetime"]))


def presence(connection: Connection, device: Row[Any], at: datetime) -> dict[str, Any]:
    """When the device was seen, and from when on its silence would count as dark."""
    polls = read_status(connection, "polls") or {}
    poll_ms = shortest_poll(connection)
    heard = read_hearing(connection) or Hearing(at, at)
    # A pause in which nobody was heard is ours, and no habit of the device.
    known = device.last_seen is not None and heard.holds(at, poll_ms)
    pause = at - datetime.fromisoformat(device.last_seen) if known else None
    habit_ms = next_habit(device.habit_ms, pause, polls.get(device.device_class, 0))
    write_hearing(connection, heard.next(at, poll_ms))
    return {"last_seen": iso(at), "habit_ms": habit_ms, "dark_after": iso(dark_after(at, habit_ms))}


def _note_running(connection: Connection, report: Report, device_class: str, at: datetime) -> None:
    # By name: what a report leaves out must be forgotten, not kept from the one before.
    columns = {column.name: getattr(report, column.name, None) for column in running.columns}
    columns |= {"device_class": device_class, "reported_at": iso(at)}
    connection.execute(_WRITE_RUNNING, columns)
