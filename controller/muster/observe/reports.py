"""Reports: taken once each, in the order in which the device made them.

A report with a sequence number that is not above the device's last one was taken before (the device did not get the
answer) and is acknowledged again without effect.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Connection, select, update
from sqlalchemy.dialects.sqlite import insert

from muster.kinds.errors import Refused
from muster.kinds.telemetry import Report
from muster.observe.storage import devices, outcomes, running


def take_reports(connection: Connection, device_id: str, reports: Iterable[Report], at: datetime) -> int:
    """Store a device's reports in one transaction of the caller; the number that were new.

    Device class and models are those that were enrolled: a device cannot speak for others. Raises `Refused`.
    """
    device = connection.execute(select(devices).where(devices.c.device_id == device_id)).one()
    last = device.last_sequence
    new = [report for report in sorted(reports, key=lambda report: report.sequence) if report.sequence > last]
    for report in new:
        if report.model not in device.models:
            raise Refused(f"the device is not enrolled for model {report.model}")
        _take(connection, report, device.device_class, at)
    if new:
        last = new[-1].sequence
    connection.execute(
        update(devices).where(devices.c.device_id == device_id).values(last_seen=at.isoformat(), last_sequence=last)
    )
    return len(new)


def _take(connection: Connection, report: Report, device_class: str, at: datetime) -> None:
    columns = report.model_dump(include={column.name for column in running.columns})
    columns |= {"device_class": device_class, "reported_at": at.isoformat()}
    connection.execute(
        insert(running).values(columns).on_conflict_do_update(index_elements=["device_id", "model"], set_=columns)
    )
    if report.release is None or report.phase is None:
        return
    changed = {"phase": report.phase, "error_code": report.error_code, "changed_at": at.isoformat()}
    connection.execute(
        insert(outcomes)
        .values(
            device_id=report.device_id,
            release=report.release,
            device_class=device_class,
            first_at=at.isoformat(),
            **changed,
        )
        .on_conflict_do_update(
            index_elements=["device_id", "release"],
            set_=changed,
            where=(outcomes.c.phase != report.phase) | (outcomes.c.error_code.is_distinct_from(report.error_code)),
        )
    )
