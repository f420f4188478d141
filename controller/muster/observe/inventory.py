"""Inventory: which devices there are, and whether a caller is one of them.

A device makes its own secret and sends it once, with the enrolment token; only a hash is kept. Enrolling again with
the same secret changes nothing, so that a device which lost the answer may ask again.
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from sqlalchemy import Connection, select
from sqlalchemy.dialects.sqlite import insert

from muster.kinds.digest import DeviceId, Name
from muster.kinds.errors import Refused
from muster.kinds.resource import Labels
from muster.observe import tallies
from muster.observe.storage import devices

Secret = Annotated[str, StringConstraints(min_length=32, max_length=128, pattern=r"^[A-Za-z0-9_-]+$")]


class Enrolment(BaseModel):
    """What a device sends to be enrolled."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    device_id: DeviceId
    device_class: Name
    labels: Labels
    models: Annotated[list[Name], Field(min_length=1, max_length=64)]
    token: Annotated[str, StringConstraints(min_length=1, max_length=256)]
    secret: Secret


def enrol(connection: Connection, enrolment: Enrolment, at: datetime) -> bool:
    """Add a device; True if it is new. Raises `Refused` if the id belongs to a device with another secret."""
    secret_hash = hash_secret(enrolment.secret)
    added = connection.execute(
        insert(devices)
        .values(
            device_id=enrolment.device_id,
            device_class=enrolment.device_class,
            labels=dict(enrolment.labels),
            models=list(enrolment.models),
            secret_hash=secret_hash,
            enrolled_at=at.isoformat(),
            last_sequence=0,
        )
        .on_conflict_do_nothing()
    )
    if added.rowcount:
        tallies.enrolled(connection, enrolment.device_class, dict.fromkeys(enrolment.models))
        return True
    known = connection.execute(
        select(devices.c.secret_hash).where(devices.c.device_id == enrolment.device_id)
    ).scalar_one()
    if not hmac.compare_digest(known, secret_hash):
        raise Refused(f"device {enrolment.device_id} is enrolled already, with another secret")
    return False


def authenticate(connection: Connection, device_id: str, secret: str) -> bool:
    """True if this is the device's secret. Unknown devices take as long as known ones."""
    known = connection.execute(select(devices.c.secret_hash).where(devices.c.device_id == device_id)).scalar()
    return hmac.compare_digest(known or hash_secret(""), hash_secret(secret)) and known is not None


def hash_secret(secret: str) -> str:
    """SHA-256 is enough for 256 random bits: there is nothing to guess."""
    return hashlib.sha256(secret.encode()).hexdigest()
