"""Admission: whether a device that asks is let in, waits for a person, or is refused.

What decides: the class's `EnrolmentSpec`, the ids that operators registered or revoked, and the quota. The caller has
settled already whether the device may ask at all: `vouched` is the class's token, or a proxy that is trusted.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, Row, delete, func, select
from sqlalchemy.dialects.sqlite import insert

from muster.kinds.enrolment import MOST_WAITING, EnrolmentSpec, claimed
from muster.kinds.errors import Refused
from muster.observe import inventory
from muster.observe.inventory import Enrolment, NewDevice, hash_secret
from muster.observe.status import read_status
from muster.observe.storage import devices, enrolments

Outcome = Literal["new", "known", "waiting"]
State = Literal["expected", "waiting", "revoked"]


class NotVouchedError(Refused):
    """Nothing speaks for the device: no token, no certificate, and no secret that was registered."""


@dataclass(frozen=True)
class Registered:
    """What an operator says of a device that is yet to come. `secret_hash`: it needs no token, but that secret."""

    device_id: str
    device_class: str
    set_labels: Mapping[str, str]
    secret_hash: str | None = None


def terms(connection: Connection, device_class: str) -> EnrolmentSpec | None:
    """Who may enrol as a device of the class; None if it declares nothing."""
    said = (read_status(connection, "enrolment") or {}).get(device_class)
    return EnrolmentSpec.model_validate(said) if said else None


def admit(connection: Connection, enrolment: Enrolment, at: datetime, *, vouched: bool) -> Outcome:
    """Let a device in, or note that it waits. Raises `Refused`, among them `NotVouchedError`."""
    known = _candidate(connection, enrolment.device_id)
    if not vouched and not _has_secret(known, enrolment.secret):
        raise NotVouchedError("the enrolment token is not valid", "ask the owner of the fleet for the current one")
    _refuse_undeclared(connection, enrolment)
    if strange := claimed(enrolment.labels):
        raise Refused(f"a device cannot set {', '.join(strange)} itself", "such labels are set by: muster label")
    if inventory.is_enrolled(connection, enrolment.device_id):
        inventory.enrol(connection, enrolment, at)
        return "known"
    if known is not None and known.state != "expected":
        _refuse_another(known, enrolment)
        return "waiting"
    rules = terms(connection, enrolment.device_class) or EnrolmentSpec()
    if known is None:
        return _admit_stranger(connection, enrolment, rules, at)
    if known.device_class != enrolment.device_class:
        raise Refused(f"{enrolment.device_id} is registered for {known.device_class}")
    if known.secret_hash and not _has_secret(known, enrolment.secret):
        raise Refused(f"{enrolment.device_id} is registered with another secret")
    _let_in(connection, enrolment, known.set_labels, at)
    return "new"


def is_registered(connection: Connection, device_id: str, secret: str) -> bool:
    """True if an operator registered the device with this very secret."""
    return _has_secret(_candidate(connection, device_id), secret)


def is_barred(connection: Connection, device_id: str) -> bool:
    """True if the device was revoked, or waits for a person."""
    known = _candidate(connection, device_id)
    return known is not None and known.state != "expected"


def accept(connection: Connection, device_id: str, at: datetime) -> str:
    """Let a device in that waits; its class. Raises `Refused` if none does."""
    known = _candidate(connection, device_id)
    if known is None or known.state != "waiting":
        raise Refused(f"no device {device_id} waits", "list those that do: muster get enrolments")
    new = NewDevice(
        device_id, known.device_class, tuple(known.models), known.labels, known.set_labels, known.secret_hash
    )
    inventory.add(connection, new, at)
    connection.execute(delete(enrolments).where(enrolments.c.device_id == device_id))
    return str(known.device_class)


def register(connection: Connection, registered: Registered, at: datetime, by: str, why: str) -> None:
    """Expect a device. A revocation of its id ends. Raises `Refused` if it is enrolled, or beyond the quota."""
    device_id = registered.device_id
    if inventory.is_enrolled(connection, device_id):
        raise Refused(f"device {device_id} is enrolled already", "to let it begin anew: muster revoke, then register")
    classes = read_status(connection, "classes")
    if classes is not None and registered.device_class not in classes:
        raise Refused(f"device class {registered.device_class} is not declared", f"declared are {', '.join(classes)}")
    known = _candidate(connection, device_id)
    if known is None or known.state == "revoked" or known.device_class != registered.device_class:
        rules = terms(connection, registered.device_class) or EnrolmentSpec()
        _refuse_beyond(connection, registered.device_class, rules)
    values: dict[str, Any] = {"labels": {}, "models": [], "by": by, "why": why, "secret_hash": registered.secret_hash}
    values |= {"device_class": registered.device_class, "set_labels": dict(registered.set_labels)}
    _keep(connection, device_id, "expected", values, at)


def revoke(connection: Connection, device_id: str, at: datetime, by: str, why: str) -> str:
    """End a device, or refuse one that waits or is expected; its class. Its id is not let in again by itself.

    Raises `Refused` if there is none.
    """
    known = _candidate(connection, device_id)
    if known is not None and known.state == "revoked":
        raise Refused(f"device {device_id} is revoked already", f"by {known.by}: {known.why}")
    device_class = str(known.device_class) if known is not None else inventory.remove(connection, device_id)
    values: dict[str, Any] = {"labels": {}, "models": [], "by": by, "why": why, "secret_hash": None}
    _keep(connection, device_id, "revoked", values | {"device_class": device_class, "set_labels": {}}, at)
    return device_class


def candidates(
    connection: Connection, state: State | None, device_class: str | None, after: str, limit: int
) -> list[dict[str, Any]]:
    """A page of ids that are no devices, in their order; no secrets."""
    shown = ("device_id", "state", "device_class", "labels", "set_labels", "models", "at", "by", "why")
    query = select(*(enrolments.c[name] for name in shown)).where(enrolments.c.device_id > after)
    if state is not None:
        query = query.where(enrolments.c.state == state)
    if device_class is not None:
        query = query.where(enrolments.c.device_class == device_class)
    return [dict(row) for row in connection.execute(query.order_by(enrolments.c.device_id).limit(limit)).mappings()]


def _admit_stranger(connection: Connection, enrolment: Enrolment, rules: EnrolmentSpec, at: datetime) -> Outcome:
    if rules.mode == "pre-registered":
        raise Refused(f"{enrolment.device_id} is not registered", "an operator registers it first: muster register")
    _refuse_beyond(connection, enrolment.device_class, rules)
    if rules.accepts(enrolment.labels):
        _let_in(connection, enrolment, {}, at)
        return "new"
    waiting = _count(connection, enrolment.device_class, "waiting")
    if waiting >= MOST_WAITING:
        raise Refused(f"{waiting} devices of {enrolment.device_class} wait already", "accept or revoke some of them")
    values: dict[str, Any] = {
        "labels": dict(enrolment.labels),
        "models": list(enrolment.models),
        "by": None,
        "why": None,
    }
    values |= {"secret_hash": hash_secret(enrolment.secret), "device_class": enrolment.device_class, "set_labels": {}}
    _keep(connection, enrolment.device_id, "waiting", values, at)
    return "waiting"


def _let_in(connection: Connection, enrolment: Enrolment, given: Mapping[str, str], at: datetime) -> None:
    new = NewDevice(
        enrolment.device_id,
        enrolment.device_class,
        tuple(enrolment.models),
        enrolment.labels,
        given,
        hash_secret(enrolment.secret),
    )
    inventory.add(connection, new, at)
    connection.execute(delete(enrolments).where(enrolments.c.device_id == enrolment.device_id))


def _keep(connection: Connection, device_id: str, state: State, values: dict[str, Any], at: datetime) -> None:
    changed = {**values, "state": state, "at": at.isoformat()}
    connection.execute(
        insert(enrolments)
        .values(device_id=device_id, **changed)
        .on_conflict_do_update(index_elements=["device_id"], set_=changed)
    )


def _candidate(connection: Connection, device_id: str) -> Row[Any] | None:
    return connection.execute(select(enrolments).where(enrolments.c.device_id == device_id)).first()


def _has_secret(known: Row[Any] | None, secret: str) -> bool:
    expected = known.secret_hash if known is not None and known.state == "expected" else None
    return expected is not None and hmac.compare_digest(expected, hash_secret(secret))


def _refuse_another(known: Row[Any], enrolment: Enrolment) -> None:
    """A device that waits may ask again; nobody else in its name, and no revoked one."""
    if known.state == "revoked":
        raise Refused(f"device {known.device_id} is revoked", "to let it in again: muster register")
    if not hmac.compare_digest(known.secret_hash, hash_secret(enrolment.secret)):
        raise Refused(f"another device waits as {known.device_id}", "use the folder that it was enrolled with")


def _refuse_undeclared(connection: Connection, enrolment: Enrolment) -> None:
    classes: Mapping[str, Iterable[str]] | None = read_status(connection, "classes")
    if classes is None:
        return
    if enrolment.device_class not in classes:
        raise Refused(f"device class {enrolment.device_class} is not declared", f"declared are {', '.join(classes)}")
    runs = classes[enrolment.device_class]
    if strange := sorted(set(enrolment.models) - set(runs)):
        raise Refused(f"{enrolment.device_class} does not run {', '.join(strange)}", f"it runs {', '.join(runs)}")


def _refuse_beyond(connection: Connection, device_class: str, rules: EnrolmentSpec) -> None:
    if rules.quota is None:
        return
    found = connection.execute(
        select(func.count()).select_from(devices).where(devices.c.device_class == device_class)
    ).scalar_one()
    found += _count(connection, device_class, "waiting") + _count(connection, device_class, "expected")
    if found >= rules.quota:
        raise Refused(
            f"{device_class} has {found} devices, and its quota is {rules.quota}", "the device class declares it"
        )


def _count(connection: Connection, device_class: str, state: State) -> int:
    where = enrolments.c.device_class == device_class, enrolments.c.state == state
    return int(connection.execute(select(func.count()).select_from(enrolments).where(*where)).scalar_one())
