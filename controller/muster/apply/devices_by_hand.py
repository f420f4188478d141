"""What people do to single devices: register, accept, label, revoke. By whom and why stands in the ledger.

Everything here runs in the caller's transaction, so that the deed and its record are one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from muster.apply import ledger
from muster.kinds.enrolment import not_ours
from muster.kinds.errors import Refused
from muster.observe import admission, inventory
from muster.observe.admission import Registered

MOST_LABELS = 32


@dataclass(frozen=True)
class Asked:
    """`who` is "Name <address>", as that person says; `why` is for everybody to read."""

    who: str
    why: str


def register(connection: Connection, registered: Sequence[Registered], asked: Asked, now: datetime) -> None:
    """Expect devices; all of them or none. Raises `Refused`."""
    for one in registered:
        _refuse_not_ours(one.set_labels)
        admission.register(connection, one, now, asked.who, asked.why)
        _enter(connection, "device-registered", one.device_id, {"deviceClass": one.device_class}, asked, now)


def accept(connection: Connection, device_id: str, asked: Asked, now: datetime) -> None:
    """Let a device in that waits. Raises `Refused`."""
    device_class = admission.accept(connection, device_id, now)
    _enter(connection, "device-accepted", device_id, {"deviceClass": device_class}, asked, now)


def revoke(connection: Connection, device_id: str, asked: Asked, now: datetime) -> None:
    """End a device, or refuse one that waits. Raises `Refused`."""
    device_class = admission.revoke(connection, device_id, now, asked.who, asked.why)
    _enter(connection, "device-revoked", device_id, {"deviceClass": device_class}, asked, now)


def label(
    connection: Connection, device_id: str, change: Mapping[str, str | None], asked: Asked, now: datetime
) -> dict[str, str]:
    """Set labels, or (None) take back what a person had set; the labels that count then.

    Raises `Refused` for labels that only the device sets, for none to take back, and for too many.
    """
    _refuse_not_ours(change)
    own, given = inventory.own_and_set(connection, device_id)
    before = {key: {**own, **given}.get(key) for key in change}
    for key, value in change.items():
        if value is None and key not in given:
            said = "the device says it of itself" if key in own else "there is none"
            raise Refused(f"nobody set label {key}: {said}", "only what a person set can be taken back")
        if value is None:
            del given[key]
        else:
            given[key] = value
    if len({**own, **given}) > MOST_LABELS:
        raise Refused(f"a device has {MOST_LABELS} labels at most", "take one back: muster label ID KEY-")
    labels = inventory.set_labels(connection, device_id, given)
    _enter(connection, "device-labelled", device_id, {"labels": dict(change), "before": before}, asked, now)
    return labels


def _refuse_not_ours(labels: Mapping[str, Any]) -> None:
    if strange := not_ours(labels):
        raise Refused(f"only the device itself sets {', '.join(strange)}", "use a label without that prefix")


def _enter(
    connection: Connection, event: str, device_id: str, more: Mapping[str, Any], asked: Asked, now: datetime
) -> None:
    body = {"deviceId": device_id, **more, "by": asked.who, "reason": asked.why}
    ledger.append(connection, event, f"{event}:{device_id}:{now.isoformat()}", body, now)
