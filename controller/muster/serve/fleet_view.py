"""A read-only view of storage and published files, for operators."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine, RowMapping, select

from muster.kinds.enrolment import effective
from muster.observe import drift
from muster.observe.admission import State, candidates
from muster.observe.convergence import EVERY, DeviceState, converge, device_states, states_of
from muster.observe.counts import first_failures, observed
from muster.observe.inventory_pages import Wanted
from muster.observe.status import read_status
from muster.observe.storage import devices, enrolments
from muster.plan.describe import as_json
from muster.plan.drift import Runs
from muster.plan.exposures import never_offered
from muster.plan.world import Published


class FleetView:
    """`published` reads what devices can fetch now."""

    def __init__(self, engine: Engine, published: Callable[[], Published]) -> None:
        self._engine = engine
        self._published = published

    def said(self, subject: str) -> Any:
        """What the loop last said of a subject."""
        with self._engine.connect() as connection:
            return read_status(connection, subject)

    def devices(self, wanted: Wanted = EVERY) -> list[DeviceState]:
        """One page of device states."""
        with self._engine.connect() as connection:
            releases = read_status(connection, "releases") or {}
            names = {(pins["model_hash"], pins["config_version"]): name for name, pins in releases.items()}
            return list(device_states(connection, self._published().documents, names, wanted))

    def device(self, device_id: str) -> dict[str, Any] | None:
        """All that is known of one device, or of an id that is none yet (or no more); None if nothing is."""
        with self._engine.connect() as connection:
            row = connection.execute(select(devices).where(devices.c.device_id == device_id)).mappings().first()
            candidate = connection.execute(select(enrolments).where(enrolments.c.device_id == device_id)).mappings()
            other = candidate.first()
            releases = read_status(connection, "releases") or {}
            names = {(pins["model_hash"], pins["config_version"]): name for name, pins in releases.items()}
            if row is not None:
                return _device(row, list(states_of(connection, [row], self._published().documents, names)))
        return None if other is None else _candidate(other)

    def enrolments(self, state: State | None, device_class: str | None, after: str, limit: int) -> list[dict[str, Any]]:
        """One page of ids that are no devices."""
        with self._engine.connect() as connection:
            return [_candidate(row) for row in candidates(connection, state, device_class, after, limit)]

    def desired(self) -> Published:
        """What devices can fetch now, as documents."""
        return self._published()

    def drift(self, names: int) -> dict[str, Any]:
        """What devices run that git never declared for them, with the first `names` of each."""
        with self._engine.connect() as connection:
            said = read_status(connection, "drift") or {"items": [], "of": 0}
            items = [{**item, "names": drift.names(connection, _seen(item), names)} for item in said["items"]]
        return {"items": items, "of": said["of"]}

    def published(self) -> dict[str, Any]:
        """What devices can fetch now."""
        published = self._published()
        return {
            "generation": published.generation,
            "documents": [
                {
                    "model": model,
                    "deviceClass": device_class,
                    "generation": document.generation,
                    "commit": document.commit,
                    "entries": [
                        {
                            "release": entry.release,
                            "artifact": entry.artifact.digest,
                            "since": entry.since,
                            "ppm": dict(entry.ppm),
                        }
                        for entry in document.entries
                    ],
                    "halted": [{"release": halt.release, "reason": halt.reason} for halt in document.halted],
                }
                for (model, device_class), document in sorted(published.documents.items())
            ],
        }

    def _since(self) -> dict[tuple[str, str], int]:
        """When each release came (back) on offer: what the loop judges, and so what is shown of it."""
        return {
            (entry.release, device_class): entry.since
            for (_, device_class), document in self._published().documents.items()
            for entry in document.entries
        }

    def status(self) -> dict[str, Any]:
        """The loop's own words, and counts over all devices."""
        states = self.devices()
        with self._engine.connect() as connection:
            loop = read_status(connection, "loop") or {}
            since = self._since()
            seen = observed(connection, datetime.now(UTC), since)
            failed_first = first_failures(connection)
        places = sorted(seen.exposures.keys() | since.keys())
        unreached = never_offered(seen.tally, places)
        return {
            **loop,
            "fleet": [
                {"model": model, "deviceClass": device_class, **as_json(convergence)}
                for (model, device_class), convergence in sorted(converge(iter(states)).items())
            ],
            "releases": [
                {
                    "release": release,
                    "deviceClass": device_class,
                    "tried": exposure.tried,
                    "failures": exposure.failures,
                    "recalled": exposure.recalled,
                    "neverOffered": unreached[release, device_class],
                    "phases": dict(exposure.phases),
                    "errorCodes": dict(exposure.error_codes),
                    "firstFailureAt": failed_first.get(release),
                }
                for release, device_class in places
                for exposure in [seen.exposure(release, device_class)]
            ],
        }


def _device(row: RowMapping, states: list[DeviceState]) -> dict[str, Any]:
    own = row["labels"] if row["own_labels"] is None else row["own_labels"]
    return {
        "deviceId": row["device_id"],
        "state": "enrolled",
        "deviceClass": row["device_class"],
        "labels": row["labels"],
        "ownLabels": own,
        "setLabels": row["set_labels"] or {},
        "enrolledAt": row["enrolled_at"],
        "lastSeen": row["last_seen"],
        "secretAt": row["secret_at"] or row["enrolled_at"],
        "secretAnnounced": row["next_secret_hash"] is not None,
        "by": None,
        "why": None,
        "models": as_json(states),
    }


def _candidate(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {
        "deviceId": row["device_id"],
        "state": row["state"],
        "deviceClass": row["device_class"],
        "labels": effective(row["labels"], row["set_labels"]),
        "ownLabels": row["labels"],
        "setLabels": row["set_labels"],
        "since": row["at"],
        "by": row["by"],
        "why": row["why"],
        "models": row["models"],
    }


def _seen(item: dict[str, Any]) -> drift.Seen:
    runs = item["runs"]
    what = Runs(runs["modelHash"], runs["configVersion"], runs["runtimeVersion"])
    return item["deviceClass"], item["model"], what
