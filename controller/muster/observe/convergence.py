"""Does every device *run* what git declares? Computed from what devices reported, when somebody asks.

O(devices), and so outside the loop: no decision of the planner rests on it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, RowMapping, Select, select

from muster.kinds.desired import DesiredDocument, Entry
from muster.observe.inventory_pages import Wanted, page_of_devices
from muster.observe.storage import running
from muster.plan.assignment import choose, cohort_of
from muster.plan.world import ModelClass


@dataclass(frozen=True)
class DeviceState:
    """One device and one model: what is desired, what runs, and whether these are one."""

    device_id: str
    device_class: str
    labels: Mapping[str, str]
    cohort: str | None
    model: str
    desired: str | None
    """Release that the published document desires on this device."""
    running: str | None
    """Release that the device runs, if one of the document's; else the digest that it reported."""
    synced: bool
    phase: str | None
    error_code: str | None
    generation: int | None
    last_seen: str | None
    telemetry: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Convergence:
    """Counts per model and device class."""

    devices: int
    synced: int
    healthy: int
    silent: int
    """Devices that never reported: shown, not counted as anything."""
    running: Mapping[str, int]


EVERY = Wanted()
_BY_NAME = 1_000

TELEMETRY = (
    "model_hash",
    "config_version",
    "runtime_version",
    "delegate_active",
    "load_time_ms",
    "p50_ms",
    "p95_ms",
    "peak_ram_mb",
    "dropped_frames",
    "thermal_state",
    "inferences",
    "confident_ppm",
    "downloads",
    "os_version",
    "crashes",
    "fallback_ppm",
    "confidence_histogram",
    "accepted",
    "corrected",
    "values",
)


def device_states(
    connection: Connection,
    documents: Mapping[ModelClass, DesiredDocument],
    releases: Mapping[tuple[str, str], str],
    wanted: Wanted = EVERY,
) -> Iterator[DeviceState]:
    """Devices in the order of their ids, one state for each model that the device is enrolled for.

    `releases` names every known release by (model_hash, config_version).
    """
    yield from states_of(connection, connection.execute(page_of_devices(wanted)).mappings().all(), documents, releases)


def states_of(
    connection: Connection,
    inventory: Sequence[RowMapping],
    documents: Mapping[ModelClass, DesiredDocument],
    releases: Mapping[tuple[str, str], str],
) -> Iterator[DeviceState]:
    """The same, for these rows of the inventory, in the order of their ids."""
    if not inventory:
        return
    reported = {(row.device_id, row.model): row for row in connection.execute(_running_of(inventory))}
    for device in inventory:
        for model in device["models"]:
            document = documents.get((model, device["device_class"]))
            yield _state(device, model, reported.get((device["device_id"], model)), document, releases)


def _running_of(inventory: Sequence[RowMapping]) -> Select[Any]:
    """By name where they are few; a stretch of ids would span the fleet if a label picked them."""
    if len(inventory) <= _BY_NAME:
        return select(running).where(running.c.device_id.in_([row["device_id"] for row in inventory]))
    return select(running).where(running.c.device_id.between(inventory[0]["device_id"], inventory[-1]["device_id"]))


def _state(
    device: RowMapping,
    model: str,
    report: Row[Any] | None,
    document: DesiredDocument | None,
    releases: Mapping[tuple[str, str], str],
) -> DeviceState:
    entry: Entry | None = choose(document, device["device_id"], device["labels"]) if document else None
    runs: tuple[Any, Any] = (report.model_hash, report.config_version) if report else (None, None)
    return DeviceState(
        device_id=device["device_id"],
        device_class=device["device_class"],
        labels=device["labels"],
        cohort=cohort_of(document.cohorts, device["labels"]) if document else None,
        model=model,
        desired=entry.release if entry else None,
        running=releases.get(runs) or runs[0],
        synced=entry is not None and runs == (entry.model_hash, entry.config_version),
        phase=report.phase if report else None,
        error_code=report.error_code if report else None,
        generation=report.generation if report else None,
        last_seen=device["last_seen"],
        telemetry={name: getattr(report, name, None) for name in TELEMETRY},
    )


def converge(states: Iterator[DeviceState]) -> dict[ModelClass, Convergence]:
    """Sum up device states."""
    grouped: dict[ModelClass, list[DeviceState]] = {}
    for state in states:
        grouped.setdefault((state.model, state.device_class), []).append(state)
    return {
        key: Convergence(
            devices=len(group),
            synced=sum(state.synced for state in group),
            healthy=sum(state.synced and state.phase == "healthy" for state in group),
            silent=sum(state.generation is None for state in group),
            running=dict(Counter(state.running for state in group if state.running)),
        )
        for key, group in grouped.items()
    }
