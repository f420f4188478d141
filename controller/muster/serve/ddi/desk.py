"""What one client is told, worked out from what is published and from what it did."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Engine

from muster.kinds.ddi_attributes import HEALTHY, TIME_ZONE, config_version_key, health_key, model_hash_key
from muster.kinds.ddi_feedback import UNHEALTHY
from muster.kinds.desired import DesiredDocument, Entry
from muster.observe.ddi import MOST_ASKS, Client, conclude, note_running, read_client
from muster.observe.status import read_status
from muster.plan.ddi import Action, Cancel, Deploy, Who, last_installed, next_step
from muster.plan.world import Published
from muster.serve.ddi.answers import not_found

SUBJECT: Final = "ddi"
"""Under which the loop says which classes have DDI clients (see `apply.packages`)."""
DEFAULT_PAUSE: Final = timedelta(minutes=5)
_PENDING: Final = ("activated", "confirmed")


@dataclass(frozen=True)
class View:
    """One client and what concerns it. `files` are the packages of its class, by artifact."""

    client: Client
    documents: tuple[DesiredDocument, ...]
    files: Mapping[str, Any]
    step: Deploy | Cancel | None

    @property
    def newest(self) -> Action | None:
        """Its newest action."""
        return self.client.actions[-1] if self.client.actions else None

    @property
    def pause(self) -> timedelta:
        """The shortest pause between two polls that is declared for what it runs."""
        return min((_time(document.poll_interval) for document in self.documents), default=DEFAULT_PAUSE)

    def action(self, action_id: int) -> Action | None:
        """The action of that id, if it is on record."""
        return next((one for one in self.client.actions if one.action_id == action_id), None)

    def is_superseded(self, action: Action) -> bool:
        """True if its end was told, or it was given up and something else is to be done."""
        return action.state != "open" or action != self.newest or (
            isinstance(self.step, Deploy) and self.step.action_id > action.action_id
        )  # fmt: skip

    def entry(self, action: Action) -> Entry | None:
        """The entry that is on offer of an action's release."""
        for document in self.documents:
            for entry in document.entries:
                if document.model == action.model and entry.release == action.release:
                    return entry
        return None

    def to_be_asked(self, now: datetime) -> int | None:
        """How often it was asked with this time, if it is time to ask for a sign of health again."""
        newest = self.newest
        if self.client.wanted or newest is None or newest.state != "installed" or newest.phase not in _PENDING:
            return None
        entry = self.entry(newest)
        if entry is None or self.client.asks >= MOST_ASKS:
            return None
        is_time = now - datetime.fromisoformat(self.client.asked_at) >= _time(entry.health_window)
        return self.client.asks + 1 if is_time else None


class Desk:
    """Looks clients up. `published` is what devices can fetch now."""

    def __init__(self, engine: Engine, published: Callable[[], Published]) -> None:
        self._engine = engine
        self._published = published

    def look(self, device_id: str, now: datetime) -> View:
        """The same as `view`, on a connection that only reads."""
        with self._engine.connect() as connection:
            return self.view(connection, device_id, now)

    def view(self, connection: Connection, device_id: str, now: datetime) -> View:
        """What concerns a client. Raises `DdiError`, 404, for a device whose class has no DDI clients."""
        client = read_client(connection, device_id)
        if client.device is None:
            return View(client, (), {}, None)
        said = self.classes(connection).get(client.device.device_class)
        if said is None:
            raise not_found()
        documents = tuple(
            document
            for (model, device_class), document in sorted(self._published().documents.items())
            if device_class == client.device.device_class and model in client.device.models
        )
        who = Who(device_id, client.device.labels, zone_of(client.attributes.get(TIME_ZONE)) or UTC)
        step = next_step(documents, who, client.actions, said["files"].keys(), now)
        return View(client, documents, said["files"], step)

    def classes(self, connection: Connection) -> dict[str, Any]:
        """The classes whose devices have an update client."""
        found: dict[str, Any] = read_status(connection, SUBJECT) or {}
        return found


def hear_health(connection: Connection, view: View, now: datetime) -> None:
    """The second signal: what the application says, in attributes, of the models that were installed last."""
    pins = read_status(connection, "releases") or {}
    for document in view.documents:
        action = last_installed(view.client.actions, document.model)
        if action is None:
            continue
        note_running(connection, view.client, action, now)
        verdict = _verdict(view.client.attributes, document.model, pins.get(action.release, {}))
        entry = view.entry(action)
        if verdict == "bad":
            conclude(connection, view.client, action, ("failed", "rolled-back", UNHEALTHY), now)
        elif verdict == "good" and action.phase == "confirmed":
            conclude(connection, view.client, action, ("installed", "healthy", None), now)
        elif verdict == "good" and action.phase == "activated" and entry and _is_over(entry, action, now):
            conclude(connection, view.client, action, ("installed", "confirmed", None), now)


def _verdict(said: Mapping[str, str], model: str, pinned: Mapping[str, Any]) -> Literal["good", "bad", "none"]:
    """Good needs the digests that git pins; whoever names others speaks of another release, or of none."""
    health = said.get(health_key(model))
    digests = (said.get(model_hash_key(model)), said.get(config_version_key(model)))
    expected = (pinned.get("model_hash"), pinned.get("config_version"))
    if health is None or any(one is not None and one != other for one, other in zip(digests, expected, strict=True)):
        return "none"
    if health != HEALTHY:
        return "bad"
    return "good" if digests == expected and None not in expected else "none"


def zone_of(name: str | None) -> tzinfo | None:
    """The zone of an IANA name, UTC without one; None if this system does not know it."""
    if name is None:
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError):
        return None


def _is_over(entry: Entry, action: Action, now: datetime) -> bool:
    return now - action.touched >= _time(entry.health_window)


def _time(microseconds: int) -> timedelta:
    return timedelta(microseconds=microseconds)
