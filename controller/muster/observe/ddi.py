"""What DDI clients did and said: their actions, their attributes, and what that counts for.

Every function works in a transaction of the caller. A client is a device of the inventory like any other; what it says
is counted by the same tallies as reports, under the phases of `kinds.ddi_feedback`.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Row, delete, func, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from muster.kinds.ddi_attributes import RUNTIME_VERSION, attribute_prefix, config_version_key, model_hash_key
from muster.kinds.ddi_feedback import RETRIEVED, State
from muster.kinds.digest import version_key
from muster.kinds.errors import Refused
from muster.kinds.phases import RUNNING, Phase
from muster.kinds.telemetry import Report
from muster.observe.admission import admit
from muster.observe.ddi_storage import ddi_actions, ddi_clients
from muster.observe.inventory import Enrolment
from muster.observe.reports import count_reports, presence
from muster.observe.storage import devices, iso
from muster.plan.ddi import Action, Deploy
from muster.plan.tallies import RECALLED

MOST_KEPT: Final = 32
"""Actions of a client on record; of older ones only their numbers count, and the newest tells those."""
MOST_MESSAGES: Final = 20
LONGEST_MESSAGE: Final = 512
MOST_STRANGERS: Final = 10_000
"""Clients that called and are in no inventory yet."""
MOST_ASKS: Final = 3
"""How often a client is asked for its attributes after an installation."""
UNKNOWN_RUNTIME: Final = "0-unknown"
"""The runtime version of a device that does not report one: a stratum of its own."""
_GONE: Final = timedelta(days=1)
"""After this much silence a client that nobody knows makes room for others."""
_SEEN_AGAIN: Final = timedelta(seconds=30)


@dataclass(frozen=True)
class Client:
    """One client. `device` is its row in the inventory; None as long as it is in none."""

    device_id: str
    device: Row[Any] | None
    attributes: Mapping[str, str] = field(default_factory=dict)
    wanted: bool = True
    asks: int = 0
    asked_at: str = ""
    known: bool = False
    actions: tuple[Action, ...] = ()


def read_client(connection: Connection, device_id: str) -> Client:
    """What is known of a client; nothing, if it never called."""
    device = connection.execute(select(devices).where(devices.c.device_id == device_id)).one_or_none()
    row = connection.execute(select(ddi_clients).where(ddi_clients.c.device_id == device_id)).one_or_none()
    if row is None:
        return Client(device_id, device)
    found = connection.execute(
        select(ddi_actions).where(ddi_actions.c.device_id == device_id).order_by(ddi_actions.c.action_id)
    )
    actions = tuple(_action(one) for one in found)
    return Client(device_id, device, row.attributes, row.wanted, row.asks, row.asked_at, known=True, actions=actions)


def needs_note(client: Client, at: datetime) -> bool:
    """True if a poll is to be written down: the first one, and those that are not right behind another."""
    if not client.known:
        return True
    seen = client.device.last_seen if client.device is not None else None
    return client.device is not None and (seen is None or at - datetime.fromisoformat(seen) >= _SEEN_AGAIN)


def note_poll(connection: Connection, device_id: str, at: datetime) -> None:
    """A client called. Raises `Refused` if there are too many that nobody knows."""
    client = read_client(connection, device_id)
    if client.device is None and not client.known:
        is_stranger = ddi_clients.c.device_id.not_in(select(devices.c.device_id))
        if connection.execute(select(func.count()).where(is_stranger)).scalar_one() >= MOST_STRANGERS:
            gone = connection.execute(delete(ddi_clients).where(is_stranger, ddi_clients.c.polled_at < iso(at - _GONE)))
            if not gone.rowcount:
                raise Refused(f"{MOST_STRANGERS} clients wait to be registered", "enrol them, or change the token")
    _enter(connection, device_id, at)
    if client.device is not None:
        seen = presence(connection, client.device, at)
        connection.execute(update(devices).where(devices.c.device_id == device_id).values(**seen))


def _enter(connection: Connection, device_id: str, at: datetime) -> None:
    new = {"attributes": {}, "wanted": True, "asks": 0, "asked_at": iso(at)}
    connection.execute(
        upsert(ddi_clients)
        .values(device_id=device_id, polled_at=iso(at), **new)
        .on_conflict_do_update(index_elements=["device_id"], set_={"polled_at": iso(at)})
    )


def register(
    connection: Connection, device_id: str, runs: tuple[str, Sequence[str]], labels: Mapping[str, str], at: datetime
) -> None:
    """Let a client in that showed the gateway token, as its class says who is: it may have to wait for a person.

    Its secret is known to nobody. `runs`: its class, and the models of that. Raises `Refused`.
    """
    device_class, models = runs
    enrolment = Enrolment(
        device_id=device_id,
        device_class=device_class,
        labels=dict(labels),
        models=list(models),
        secret=secrets.token_urlsafe(32),
    )
    admit(connection, enrolment, at, vouched=True)


def keep_attributes(connection: Connection, device_id: str, attributes: Mapping[str, str]) -> None:
    """Replace what a client says of itself; it is not asked again for now."""
    connection.execute(
        update(ddi_clients)
        .where(ddi_clients.c.device_id == device_id)
        .values(attributes=dict(attributes), wanted=False)
    )


def ask(connection: Connection, device_id: str, asks: int, at: datetime) -> None:
    """Want its attributes at the next poll."""
    connection.execute(
        update(ddi_clients).where(ddi_clients.c.device_id == device_id).values(wanted=True, asks=asks, asked_at=iso(at))
    )


def begin(connection: Connection, client: Client, deploy: Deploy, at: datetime) -> Action:
    """Put an action on record, when its details are first asked for."""
    action = Action(
        deploy.action_id,
        deploy.model,
        deploy.entry.release,
        deploy.entry.artifact.digest,
        deploy.entry.since,
        deploy.generation,
        "open",
        RETRIEVED,
        at,
    )
    _enter(connection, client.device_id, at)
    added = connection.execute(
        upsert(ddi_actions)
        .values(device_id=client.device_id, entries=0, messages=[], **_columns(action))
        .on_conflict_do_nothing()
    )
    if added.rowcount:
        _forget_oldest(connection, client.device_id)
        _count(connection, client, [(action, RETRIEVED, None)], at)
    return action


def keep_offline(connection: Connection, client: Client, deploy: Deploy, at: datetime) -> None:
    """A client has the entry of `deploy` already: it was installed by other means."""
    action = begin(connection, client, deploy, at)
    conclude(connection, read_client(connection, client.device_id), action, ("installed", "activated", None), at)


def conclude(
    connection: Connection, client: Client, action: Action, became: tuple[State, Phase | None, str | None], at: datetime
) -> None:
    """Write down how an action goes on: (state, phase, error code)."""
    state, phase, error_code = became
    if state == "installed" and action.state == "open":
        client = _forget_what_ran(connection, client, action.model)
        ask(connection, client.device_id, 1, at)
    values: dict[str, Any] = {"state": state, "touched": iso(at)}
    told: list[tuple[Action, Phase, str | None]] = []
    if phase is not None and phase != action.phase:
        values["phase"] = phase
        if phase == "activated":
            told += _left(client, action)
        told.append((action, phase, error_code))
    connection.execute(
        update(ddi_actions)
        .where(ddi_actions.c.device_id == client.device_id, ddi_actions.c.action_id == action.action_id)
        .values(**values)
    )
    _count(connection, client, told, at)


def note_begun(connection: Connection, device_id: str, action_id: int) -> None:
    """The client said something of an action: from now on nobody knows which file is in place, until it tells."""
    where = (ddi_actions.c.device_id == device_id) & (ddi_actions.c.action_id == action_id)
    connection.execute(update(ddi_actions).where(where).values(begun=True))


def note_running(connection: Connection, client: Client, action: Action, at: datetime) -> None:
    """The client said what it loaded after an installation: written down, whether or not that is what it installed."""
    _count(connection, client, [(action, action.phase, None)], at)


def say(connection: Connection, device_id: str, action_id: int, details: Sequence[str], most: int) -> bool:
    """Keep what a client said; False if it said more often than `most` already."""
    where = (ddi_actions.c.device_id == device_id) & (ddi_actions.c.action_id == action_id)
    entries, messages = connection.execute(select(ddi_actions.c.entries, ddi_actions.c.messages).where(where)).one()
    if entries >= most:
        return False
    said = [*(text[:LONGEST_MESSAGE] for text in reversed(details)), *messages][:MOST_MESSAGES]
    connection.execute(update(ddi_actions).where(where).values(entries=entries + 1, messages=said))
    return True


def messages(connection: Connection, device_id: str, action_id: int) -> list[str]:
    """What a client said of an action, newest first."""
    where = (ddi_actions.c.device_id == device_id) & (ddi_actions.c.action_id == action_id)
    return list(connection.execute(select(ddi_actions.c.messages).where(where)).scalar() or [])


def _forget_what_ran(connection: Connection, client: Client, model: str) -> Client:
    """What it said before an installation says nothing of what runs after it."""
    prefix = attribute_prefix(model)
    kept = {key: value for key, value in client.attributes.items() if not key.startswith(prefix)}
    connection.execute(update(ddi_clients).where(ddi_clients.c.device_id == client.device_id).values(attributes=kept))
    return replace(client, attributes=kept)


def _left(client: Client, action: Action) -> list[tuple[Action, Phase, str | None]]:
    """The release that was left for another one that is older: called back, for no fault of the device."""
    before = next(
        (
            one
            for one in reversed(client.actions)
            if one.model == action.model and one.action_id != action.action_id and one.state == "installed"
        ),
        None,
    )
    if before is None or before.phase not in RUNNING or _version(before) <= _version(action):
        return []
    return [(before, "rolled-back", RECALLED)]


def _version(action: Action) -> tuple[int, ...]:
    return version_key(action.release.partition("/")[2])


def _count(
    connection: Connection, client: Client, told: Sequence[tuple[Action, Phase, str | None]], at: datetime
) -> None:
    if client.device is None:
        return
    count_reports(connection, client.device, [_report(client, *one) for one in told], at)


def _report(client: Client, action: Action, phase: Phase, error_code: str | None) -> Report:
    """The report that an agent would have made. What runs is only ever what the client itself said of that."""
    said = client.attributes
    return Report.model_validate(
        {
            "device_id": client.device_id,
            "sequence": 1,
            "model": action.model,
            "device_class": client.device.device_class if client.device is not None else "",
            "generation": action.generation,
            "release": action.release,
            "phase": phase,
            "error_code": error_code,
            "model_hash": said.get(model_hash_key(action.model)),
            "config_version": said.get(config_version_key(action.model)),
            "runtime_version": said.get(RUNTIME_VERSION, UNKNOWN_RUNTIME),
        }
    )


def _forget_oldest(connection: Connection, device_id: str) -> None:
    kept = (
        select(ddi_actions.c.action_id)
        .where(ddi_actions.c.device_id == device_id)
        .order_by(ddi_actions.c.action_id.desc())
        .limit(MOST_KEPT)
    )
    connection.execute(
        delete(ddi_actions).where(ddi_actions.c.device_id == device_id, ddi_actions.c.action_id.not_in(kept))
    )


def _columns(action: Action) -> dict[str, Any]:
    return {**{name: getattr(action, name) for name in action.__dataclass_fields__}, "touched": iso(action.touched)}


def _action(row: Row[Any]) -> Action:
    return Action(
        row.action_id,
        row.model,
        row.release,
        row.artifact,
        row.since,
        row.generation,
        row.state,
        row.phase,
        datetime.fromisoformat(row.touched),
        row.begun,
    )
