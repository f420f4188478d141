"""Plans and the state of the loop as JSON values, for storage, `-o json` and the dashboard."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from muster.kinds.fleet import Fleet
from muster.plan.conditions import Condition, health_of, sync_of
from muster.plan.planner import Action, Plan
from muster.plan.world import World


def loop_body(plan: Plan | None, world: World, conditions: tuple[Condition, ...], now: datetime) -> dict[str, Any]:
    """What the loop says of itself; the last condition is the summary."""
    summary = conditions[-1]
    return {
        "at": now.isoformat(),
        "commit": plan.commit if plan else None,
        "generation": world.published.generation,
        "ready": summary.status == "True",
        "reason": summary.message,
        "sync": sync_of(plan) if plan else "Unknown",
        "health": health_of(plan, world) if plan else "Unknown",
        "suspensions": [
            {**dataclasses.asdict(suspension), "at": suspension.at.isoformat()}
            for suspension in world.suspensions.values()
        ],
        "conditions": [dataclasses.asdict(item) for item in conditions],
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
        "waits": [dataclasses.asdict(wait) for wait in plan.waits],
        "verdicts": [dataclasses.asdict(verdict) for verdict in plan.verdicts],
    }


def _action_body(action: Any) -> dict[str, Any]:
    fields = {field.name: getattr(action, field.name) for field in dataclasses.fields(action)}
    fields.pop("documents", None)
    return fields


def release_pins(fleet: Fleet) -> dict[str, dict[str, str]]:
    """What a device that runs a release reports, by release."""
    return {
        release.name: {
            "model_hash": release.spec.stages.quantized,
            "config_version": release.spec.config_version,
            "artifact": release.spec.artifact.digest,
        }
        for release in fleet.releases
    }
