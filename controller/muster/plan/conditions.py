"""Conditions: what the loop says of itself, in the shape that Kubernetes made familiar.

`Ready` sums up the others. Sync (does what is published say what git says?) and health (do devices do well with it?)
are two axes and stay two.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from muster.kinds.fleet import Fleet
from muster.plan.drifted import Drift
from muster.plan.planner import Plan, Prepare, Publish, Suspend
from muster.plan.world import Published, World

_TOLD = 8
"""Of what drifted, in a message."""

Sync = Literal["Synced", "OutOfSync", "Unknown"]
Health = Literal["Healthy", "Progressing", "Degraded", "Suspended", "Missing", "Unknown"]


@dataclass(frozen=True)
class Condition:
    """One thing that is True, False or Unknown, since when, and why."""

    type: str
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str
    last_transition_time: str
    observed_generation: int


def condition(type_: str, *, holds: bool, reason: str, message: str, now: datetime, generation: int) -> Condition:
    """A condition as of now."""
    return Condition(type_, "True" if holds else "False", reason, message, now.isoformat(), generation)


def carry_over(new: Iterable[Condition], old: Mapping[str, Mapping[str, object]]) -> tuple[Condition, ...]:
    """Keep the transition time of every condition whose status did not change."""
    return tuple(
        replace(item, last_transition_time=str(before["lastTransitionTime"]))
        if (before := old.get(item.type)) and before["status"] == item.status
        else item
        for item in new
    )


def ready(conditions: Iterable[Condition], now: datetime, generation: int) -> Condition:
    """True if all others are; else the first that is not gives the reason."""
    first = next((item for item in conditions if item.status != "True"), None)
    if first:
        return Condition("Ready", first.status, first.reason, first.message, now.isoformat(), generation)
    return condition(
        "Ready", holds=True, reason="AllHold", message="every condition holds", now=now, generation=generation
    )


def sync_of(plan: Plan) -> Sync:
    """Synced if nothing is left to prepare or to publish, and nothing waits for that."""
    pending = any(isinstance(action, Publish | Suspend | Prepare) for action in plan.actions)
    return "OutOfSync" if pending or any(wait.step in ("publish", "prepare") for wait in plan.waits) else "Synced"


def health_of(plan: Plan, world: World) -> Health:
    """The worst that is known of any release on offer."""
    if world.suspensions:
        return "Suspended"
    if not world.published.documents:
        return "Missing"
    if any(verdict.halts for verdict in plan.verdicts):
        return "Degraded"
    if any(verdict.outcome in ("undecided", "cannot-tell") for verdict in plan.verdicts):
        return "Progressing"
    return "Healthy" if plan.verdicts else "Unknown"


def unserved_classes(fleet: Fleet, published: Published) -> tuple[str, ...]:
    """`<model> on <class>` for every class that may not be empty and has nothing on offer."""
    return tuple(
        f"{model} on {device_class.metadata.name}"
        for device_class in fleet.device_classes
        for model in device_class.spec.models
        if not device_class.spec.may_be_empty
        and not ((document := published.documents.get((model, device_class.metadata.name))) and document.entries)
    )


def drift_condition(found: Sequence[Drift], now: datetime, generation: int) -> Condition:
    """False while devices drift and that is not ignored. It does not keep the loop from being ready."""
    told = [one for one in found if one.difference.action != "Ignore"]
    counts = [
        f"{one.devices} of {one.device_class} ({one.model}: {one.difference.field}, {one.difference.action})"
        for one in told[:_TOLD]
    ]
    more = [f"{len(told) - _TOLD} more"] if len(told) > _TOLD else []
    message = f"devices run what git never declared for them: {', '.join([*counts, *more])}"
    return condition(
        "RunsAsDeclared",
        holds=not told,
        reason="Drifted" if told else "AsDeclared",
        message=message if told else "no device runs what git never declared for it",
        now=now,
        generation=generation,
    )


def served_condition(fleet: Fleet, published: Published, now: datetime) -> Condition:
    """False while a class that may not be empty has nothing on offer."""
    unserved = unserved_classes(fleet, published)
    return condition(
        "EveryClassServed",
        holds=not unserved,
        reason="ClassWithoutModel" if unserved else "Served",
        message=f"nothing is on offer for {', '.join(unserved)}" if unserved else "every class has its models on offer",
        now=now,
        generation=published.generation,
    )


def carried_out_condition(failed: Sequence[str], now: datetime, generation: int) -> Condition:
    """False while a step of the plan could not be carried out; `failed` says which, and why."""
    return condition(
        "StepsCarriedOut",
        holds=not failed,
        reason="StepFailed" if failed else "Done",
        message="; ".join(failed) or "every step of the plan was carried out",
        now=now,
        generation=generation,
    )
