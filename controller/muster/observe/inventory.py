"""Inventory: which devices there are, whether a caller is one of them, and which labels they have.

A device makes its own secret and sends it once, with the enrolment token; only a hash is kept. Enrolling again with
the same secret changes nothing, so that a device which lost the answer may ask again. Who is let in: see `admission`.

A device that wants another secret announces it under the old one. Both hold until the first request with the new one,
so that neither a lost answer nor a crash in between locks the device out.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from sqlalchemy import Connection, bindparam, delete, select, update
from sqlalchemy.dialects.sqlite import insert

from muster.kinds.digest import DeviceId, Name
from muster.kinds.enrolment import effective
from muster.kinds.errors import Refused
from muster.kinds.resource import Labels
from muster.observe import tallies
from muster.observe.ddi_storage import ddi_actions, ddi_clients
from muster.observe.storage import device_labels, devices, running

Secret = Annotated[str, StringConstraints(min_length=32, max_length=128, pattern=r"^[A-Za-z0-9_-]+$")]
Proof = Literal["current", "next"]

# Every request of a device asks this: the statement is made once.
_SECRETS = select(devices.c.secret_hash, devices.c.next_secret_hash).where(devices.c.device_id == bindparam("who"))


class Enrolment(BaseModel):
    """What a device sends to be enrolled. It needs no token if an operator registered its secret, or if a proxy that
    is trusted vouches for it.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    device_id: DeviceId
    device_class: Name
    labels: Labels
    models: Annotated[list[Name], Field(min_length=1, max_length=64)]
    token: Annotated[str, StringConstraints(min_length=1, max_length=256)] | None = None
    secret: Secret


@dataclass(frozen=True)
class NewDevice:
    """A device that is let in."""

    device_id: str
    device_class: str
    models: tuple[str, ...]
    own_labels: Mapping[str, str]
    set_labels: Mapping[str, str]
    secret_hash: str


def enrol(connection: Connection, enrolment: Enrolment, at: datetime) -> bool:
    """Add a device that is let in; True if it is new. Raises `Refused` if the id is another's."""
    secret_hash = hash_secret(enrolment.secret)
    new = NewDevice(
        enrolment.device_id, enrolment.device_class, tuple(enrolment.models), enrolment.labels, {}, secret_hash
    )
    if add(connection, new, at):
        return True
    if proof(connection, enrolment.device_id, enrolment.secret) is None:
        raise Refused(f"device {enrolment.device_id} is enrolled already, with another secret")
    return False


def add(connection: Connection, new: NewDevice, at: datetime) -> bool:
    """Add a device; False, and nothing changes, if the id is known."""
    labels = effective(new.own_labels, new.set_labels)
    added = connection.execute(
        insert(devices)
        .values(
            device_id=new.device_id,
            device_class=new.device_class,
            labels=labels,
            own_labels=dict(new.own_labels),
            set_labels=dict(new.set_labels),
            models=list(new.models),
            secret_hash=new.secret_hash,
            enrolled_at=at.isoformat(),
            secret_at=at.isoformat(),
            last_sequence=0,
        )
        .on_conflict_do_nothing()
    )
    if not added.rowcount:
        return False
    _index_labels(connection, new.device_id, labels)
    tallies.enrolled(connection, new.device_class, dict.fromkeys(new.models))
    return True


def remove(connection: Connection, device_id: str) -> str:
    """Take a device out; its class. What it showed stays counted: outcomes are not touched.

    Raises `Refused` if there is none.
    """
    device = connection.execute(select(devices).where(devices.c.device_id == device_id)).first()
    if device is None:
        raise Refused(f"device {device_id} is not enrolled", "list those that are: muster get devices")
    for table in (devices, running, device_labels, ddi_clients):
        connection.execute(delete(table).where(table.c.device_id == device_id))
    # Its ids stay taken, but what was installed says nothing of the device that may come in its name.
    connection.execute(update(ddi_actions).where(ddi_actions.c.device_id == device_id).values(state="cancelled"))
    tallies.enrolled(connection, device.device_class, dict.fromkeys(device.models), -1)
    return str(device.device_class)


def is_enrolled(connection: Connection, device_id: str) -> bool:
    """True if the device is one of the fleet."""
    return connection.execute(select(devices.c.device_id).where(devices.c.device_id == device_id)).first() is not None


def own_and_set(connection: Connection, device_id: str) -> tuple[dict[str, str], dict[str, str]]:
    """What the device says of itself, and what people set. Raises `Refused` if there is none."""
    columns = devices.c.labels, devices.c.own_labels, devices.c.set_labels
    row = connection.execute(select(*columns).where(devices.c.device_id == device_id)).first()
    if row is None:
        raise Refused(f"device {device_id} is not enrolled", "list those that are: muster get devices")
    return dict(row.labels if row.own_labels is None else row.own_labels), dict(row.set_labels or {})


def set_labels(connection: Connection, device_id: str, given: Mapping[str, str]) -> dict[str, str]:
    """Replace the labels that people set; those that count. Raises `Refused`."""
    own, _ = own_and_set(connection, device_id)
    labels = effective(own, given)
    connection.execute(
        update(devices)
        .where(devices.c.device_id == device_id)
        .values(labels=labels, own_labels=own, set_labels=dict(given))
    )
    connection.execute(delete(device_labels).where(device_labels.c.device_id == device_id))
    _index_labels(connection, device_id, labels)
    return labels


def proof(connection: Connection, device_id: str, secret: str) -> Proof | None:
    """Which of the device's secrets this is; None if it is none. Unknown devices take as long as known ones."""
    known = connection.execute(_SECRETS, {"who": device_id}).first()
    shown, none = hash_secret(secret), hash_secret("")
    is_current = hmac.compare_digest(known.secret_hash if known else none, shown)
    is_next = hmac.compare_digest((known.next_secret_hash if known else None) or none, shown)
    if known is None or not secret:
        return None
    return "current" if is_current else "next" if is_next else None


def announce_secret(connection: Connection, device_id: str, secret: str) -> None:
    """Let a new secret hold beside the old one. To announce the current one again changes nothing."""
    new = hash_secret(secret)
    connection.execute(
        update(devices)
        .where(devices.c.device_id == device_id, devices.c.secret_hash != new)
        .values(next_secret_hash=new)
    )


def adopt_secret(connection: Connection, device_id: str, secret: str, at: datetime) -> None:
    """The announced secret was used: the one before it ends. Nothing changes if another was announced since."""
    new = hash_secret(secret)
    connection.execute(
        update(devices)
        .where(devices.c.device_id == device_id, devices.c.next_secret_hash == new)
        .values(secret_hash=new, next_secret_hash=None, secret_at=at.isoformat())
    )


def hash_secret(secret: str) -> str:
    """SHA-256 is enough for 256 random bits: there is nothing to guess."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _index_labels(connection: Connection, device_id: str, labels: Mapping[str, str]) -> None:
    rows: list[dict[str, Any]] = [
        {"key": key, "value": value, "device_id": device_id} for key, value in sorted(labels.items())
    ]
    if rows:
        connection.execute(insert(device_labels).on_conflict_do_nothing(), rows)
