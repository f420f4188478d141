"""Looking for drift, once a tick: what drifted, since when, and the ledger's word of where it begins and ends."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from muster.apply import ledger
from muster.kinds.fleet import Fleet
from muster.observe import drift as observed_drift
from muster.observe.status import read_status, write_status
from muster.plan.describe import as_json
from muster.plan.drift import Runs
from muster.plan.drifted import Drift, drift, since

SUBJECT = "drift"
MOST_SHOWN = 200
"""Different things that drifted, in the status; the others are counted with their class all the same."""

_Place = tuple[str, str, str]
"""(device class, model, field)"""


def find_drift(connection: Connection, fleet: Fleet, now: datetime) -> tuple[Drift, ...]:
    """What drifted, with numbers of devices: what is corrected or told first, then what concerns most devices."""
    named = read_status(connection, "releases") or {}
    found = drift(fleet, named, observed_drift.seen(connection))
    counted = [
        dataclasses.replace(one, devices=observed_drift.count(connection, (one.device_class, one.model, one.runs)))
        for one in found
    ]
    return since(sorted(counted, key=_order), _since(_said(connection)), now)


def record_drift(connection: Connection, items: Sequence[Drift], now: datetime) -> None:
    """Say it, and enter where it began or ended into the ledger; in the caller's transaction."""
    said = _said(connection)
    places = sorted({one.place for one in items})
    body = {"items": as_json(items[:MOST_SHOWN]), "places": [list(place) for place in places], "of": len(items)}
    if body != said:
        _record(connection, {tuple(place) for place in said["places"]}, items, now)
        write_status(connection, SUBJECT, body, now)


def _said(connection: Connection) -> dict[str, Any]:
    said: dict[str, Any] = read_status(connection, SUBJECT) or {"items": [], "places": [], "of": 0}
    return said


def _order(one: Drift) -> tuple[Any, ...]:
    return (one.difference.action == "Ignore", -one.devices, one.device_class, one.model, str(one.runs))


def _since(said: dict[str, Any]) -> dict[tuple[str, str, Runs], datetime]:
    return {
        (
            item["deviceClass"],
            item["model"],
            Runs(item["runs"]["modelHash"], item["runs"]["configVersion"], item["runs"]["runtimeVersion"]),
        ): datetime.fromisoformat(item["since"])
        for item in said["items"]
    }


def _record(connection: Connection, before: set[Any], items: Sequence[Drift], now: datetime) -> None:
    """One event where a field of a model on a class begins to drift, and one where it ends.

    Not one for each thing that is run: a device that reports another digest every time would fill the ledger.
    """
    after: dict[_Place, list[Drift]] = {}
    for one in items:
        after.setdefault(one.place, []).append(one)
    for place in sorted(after.keys() - before):
        first = after[place][0]
        body = {
            **_place_body(place),
            "action": first.difference.action,
            "devices": sum(one.devices for one in after[place]),
            "runs": as_json(first.runs),
        }
        ledger.append(connection, "drifted", _key("drifted", place, now), body, now)
    for place in sorted(before - after.keys()):
        ledger.append(connection, "drift-ended", _key("drift-ended", place, now), _place_body(place), now)


def _place_body(place: _Place) -> dict[str, Any]:
    device_class, model, field = place
    return {"deviceClass": device_class, "model": model, "field": field}


def _key(event: str, place: _Place, now: datetime) -> str:
    return f"{event}:{'/'.join(place)}:{now.isoformat()}"
