"""From what happened to an alert: pure functions, one for each kind of thing that is told.

The key is made of what happened and when, so that the same thing, told again after a crash, has the same key.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

from muster.apply.alerts.alert import MOST_MEASURED, Alert, Measured, cut
from muster.apply.alerts.responsible import responsible
from muster.kinds.alert_reason import ALERT_KINDS, AlertReason, known_reason
from muster.kinds.components import Components
from muster.kinds.fleet import Fleet
from muster.kinds.quantity import format_percent
from muster.plan.conditions import Condition
from muster.plan.guardrails import Verdict
from muster.plan.world import Suspension


@dataclass(frozen=True)
class Ground:
    """What an alert is made against: the fleet that is declared, its components, the generation that devices fetch."""

    fleet: Fleet
    components: Components | None
    generation: int
    now: datetime
    error_codes: Mapping[str, int] = field(default_factory=dict)
    """How often devices reported each code for the release that is told of."""


def measured_by(verdicts: Iterable[Verdict]) -> tuple[Measured, ...]:
    """The numbers of guardrails against their bounds, worst outcome first."""
    ordered = sorted(verdicts, key=lambda one: (not one.halts, one.outcome != "harm", one.device_class, one.guardrail))
    return tuple(_measured(one) for one in ordered[:MOST_MEASURED])


def _measured(one: Verdict) -> Measured:
    sample = cast("Mapping[str, int]", one.record.get("candidate", {}))
    judged, failed = sample.get("judged", 0), sample.get("failed", 0)
    control = one.record.get("control")
    bound = f"{one.against} {one.record.get('boundary', 'unknown')}" + (f" (control {control})" if control else "")
    estimate = str(one.record.get("estimate") or "nothing yet")
    return Measured(
        guardrail=one.guardrail,
        device_class=one.device_class,
        stratum=cut(one.stratum, 400),
        measured=f"{estimate} ({failed} of {judged} devices)" if failed else estimate,
        bound=bound,
        devices=judged,
        outcome=one.outcome,
    )


def of_suspension(ground: Ground, suspension: Suspension, measured: tuple[Measured, ...]) -> Alert:
    """A release is suspended, by a guardrail or by hand."""
    return _of_release(
        ground,
        "ReleaseSuspended",
        suspension.release,
        when=suspension.at,
        summary=f"{suspension.release} is suspended by {suspension.by}: {suspension.reason}",
        action="no further device is given it; those that have it return to what they confirmed; the revert follows",
        measured=measured,
    )


def of_revert(ground: Ground, suspension: Suspension, commit: str) -> Alert:
    """The revert of a suspended release is on the branch."""
    return _of_release(
        ground,
        "RevertCommitted",
        suspension.release,
        when=suspension.at,
        summary=f"the revert of {suspension.release} is committed: {suspension.reason}",
        action=f"committed {commit}",
        commit=commit,
    )


def of_held_up_revert(ground: Ground, suspension: Suspension, why: str, hint: str | None) -> Alert:
    """The revert could not be committed or pushed. Told once for each suspension."""
    return _of_release(
        ground,
        "RevertHeldUp",
        suspension.release,
        when=suspension.at,
        summary=f"the revert of {suspension.release} is held up: {why}" + (f" ({hint})" if hint else ""),
        action="the suspension holds, and the revert is tried again at every tick",
    )


def of_lift(ground: Ground, suspension: Suspension, why: str) -> Alert:
    """A suspension is over."""
    return _of_release(
        ground,
        "SuspensionLifted",
        suspension.release,
        when=suspension.at,
        summary=f"the suspension of {suspension.release} is over: {why}",
        action="lifted; should git offer it again, it is judged on what devices show from there on",
    )


def of_preparation(ground: Ground, release: str | None, pins: str, why: str) -> Alert:
    """An artifact is not prepared. Told once a day for each set of pins, however often it is tried."""
    name = release or pins
    alert = _of_release(
        ground,
        "ArtifactNotPrepared",
        name,
        when=ground.now,
        summary=f"the artifact of {name} is not prepared: {why}",
        action="nothing is offered in its place; it is tried again later",
    )
    return alert.model_copy(update={"key": f"ArtifactNotPrepared:{pins}:{ground.now.date()}"})


def of_decision(
    ground: Ground,
    reason: AlertReason,
    release: str,
    said: tuple[str, str],
    measured: tuple[Measured, ...],
    when: datetime,
) -> Alert:
    """A decision that suspends nothing: an advance, a warning, telemetry that is missing. `said`: summary and action.

    `when` is since when it holds: told once for each such time.
    """
    return _of_release(ground, reason, release, when=when, summary=said[0], action=said[1], measured=measured)


def of_condition(ground: Ground, condition: Condition) -> Alert:
    """A condition does not hold. Told once for each time that it ceased to."""
    reason = known_reason(condition.reason)
    kind = ALERT_KINDS[reason]
    return Alert(
        key=f"{reason}:{condition.type}:{condition.last_transition_time}",
        reason=reason,
        severity=kind.severity,
        at=ground.now.isoformat(),
        subject=condition.type,
        summary=cut(f"{condition.type} does not hold ({condition.reason}): {condition.message}"),
        action=f"{kind.says} Looked at again at every tick.",
        commit=ground.fleet.commit,
        generation=ground.generation,
        responsible=responsible(ground.fleet, ground.components, reason),
    )


def of_trial(commit: str, channel: str, now: datetime) -> Alert:
    """What a person sends to see whether a channel works."""
    return Alert(
        key=f"ChannelTried:{channel}:{now.isoformat()}",
        reason="ChannelTried",
        severity=ALERT_KINDS["ChannelTried"].severity,
        at=now.isoformat(),
        subject=f"channel {channel}",
        summary=f"somebody tries the channel {channel}; nothing happened",
        action="none",
        commit=commit,
        generation=0,
    )


def resolved(alert: Alert, now: datetime, message: str) -> Alert:
    """The end of what an alert told; as severe, so that it reaches whoever was told."""
    return alert.model_copy(
        update={
            "key": f"{alert.key}:resolved",
            "state": "resolved",
            "at": now.isoformat(),
            "summary": cut(f"{alert.subject} holds again: {message}"),
            "action": "nothing is left to do",
        }
    )


def _of_release(
    ground: Ground, reason: AlertReason, name: str, *, when: datetime, summary: str, action: str, **more: Any
) -> Alert:
    release = ground.fleet.release(name)
    measured: tuple[Measured, ...] = more.get("measured", ())
    shares = release.spec.rollout.cohorts if release else {}
    harmful = [one.guardrail for one in measured if one.outcome == "harm"]
    return Alert(
        key=f"{reason}:{name}:{when.isoformat()}",
        reason=reason,
        severity=ALERT_KINDS[reason].severity,
        at=ground.now.isoformat(),
        subject=name,
        summary=cut(summary),
        action=cut(action),
        commit=more.get("commit") or ground.fleet.commit,
        generation=ground.generation,
        release=name,
        artifact=release.spec.artifact.digest if release else None,
        cohorts={cohort: format_percent(ppm) for cohort, ppm in shares.items() if ppm},
        measured=measured,
        responsible=responsible(ground.fleet, ground.components, reason, name, harmful, ground.error_codes),
    )
