"""Values as JSON, for storage, HTTP and `-o json`: plans, the state of the loop, and any other dataclass.

Names of our fields are written in camel case, as in YAML. Keys that are data (releases, labels, error codes, the fixed
keys of telemetry) are written as they are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from pydantic.alias_generators import to_camel

from muster.kinds.fleet import Fleet
from muster.plan.conditions import Condition, health_of, sync_of
from muster.plan.planner import Action, Plan
from muster.plan.world import World

_RECENT_TICKS: Final = 16


def as_json(value: Any) -> Any:
    """Dataclasses become objects with names in camel case, mappings objects with the keys that they have."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {to_camel(field.name): as_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key if isinstance(key, str) else "/".join(key): as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [as_json(item) for item in (sorted(value) if isinstance(value, set | frozenset) else value)]
    return value.isoformat() if isinstance(value, datetime) else value


def loop_body(
    plan: Plan | None, world: World, conditions: tuple[Condition, ...], now: datetime, earlier: Sequence[str] = ()
) -> dict[str, Any]:
    """What the loop says of itself; the last condition is the summary.

    `earlier` are the ticks before this one, oldest first. Events of a tick bear its time, so that anybody can count the
    ticks between two of them.
    """
    summary = conditions[-1]
    return {
        "at": now.isoformat(),
        "recentTicks": [*earlier, now.isoformat()][-_RECENT_TICKS:],
        "commit": plan.commit if plan else None,
        "generation": world.published.generation,
        "ready": summary.status == "True",
        "reason": summary.message,
        "sync": sync_of(plan) if plan else "Unknown",
        "health": health_of(plan, world) if plan else "Unknown",
        "suspensions": [as_json(suspension) for suspension in world.suspensions.values()],
        "conditions": as_json(conditions),
    }


def plan_body(plan: Plan, failed: Mapping[Action, str]) -> dict[str, Any]:
    """A plan as JSON; `failed` gives the steps that could not be carried out, with the reason."""
    return {
        "commit": plan.commit,
        "generation": plan.generation,
        "actions": [
            {"step": type(action).__name__.lower(), **_action_body(action), "failed": failed.get(action)}
            for action in plan.actions
        ],
        "waits": as_json(plan.waits),
        "verdicts": as_json(plan.verdicts),
    }


def _action_body(action: Any) -> dict[str, Any]:
    body: dict[str, Any] = as_json(action)
    body.pop("documents", None)
    return body


def enrolment_terms(fleet: Fleet) -> dict[str, dict[str, Any]]:
    """Who may enrol, by device class, as `EnrolmentSpec` reads it. Classes that declare nothing are left out."""
    return {
        item.metadata.name: item.spec.enrolment.model_dump(mode="json")
        for item in fleet.device_classes
        if item.spec.enrolment is not None
    }


def release_pins(fleet: Fleet) -> dict[str, dict[str, Any]]:
    """What a device that runs a release reports, by release."""
    return {
        release.name: {
            "model_hash": release.spec.stages.quantized,
            "config_version": release.spec.config_version,
            "artifact": release.spec.artifact.digest,
            "runtimes": {runtime.device_class: runtime.version for runtime in release.spec.runtimes},
        }
        for release in fleet.releases
    }
