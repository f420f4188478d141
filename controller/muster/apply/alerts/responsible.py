"""Who is told that it is theirs: the component that a device's error code names, else that of the guardrail's metric,
else that of the reason; without any, whoever answers for the release.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from muster.apply.alerts.alert import Responsible, cut
from muster.kinds.alert_reason import ALERT_KINDS, AlertReason
from muster.kinds.components import Component, Components
from muster.kinds.fleet import Fleet

_OF_METRIC: Final[Mapping[str, str]] = {
    "confidence": "trial",
    "confident-share": "trial",
    "correction-share": "trial",
    "crash-share": "worker",
    "delegate-inactive": "loader",
    "dropped-frames": "worker",
    "fallback-frequency": "trial",
    "load-time": "loader",
    "p95-latency": "worker",
    "peak-ram": "worker",
    "thermal-state": "worker",
}
"""Guardrail metric → the component whose playbook begins with it; what is not here is told by the error code."""


def responsible(
    fleet: Fleet,
    components: Components | None,
    reason: AlertReason,
    release: str | None = None,
    guardrails: Iterable[str] = (),
    error_codes: Mapping[str, int] | None = None,
) -> Responsible | None:
    """The owner and playbook; None where the fleet names nobody. `guardrails` are names of the release's tier."""
    codes = sorted((error_codes or {}).items(), key=lambda item: (-item[1], item[0]))
    known = components.spec.components if components else ()
    by_code = {code: component for component in known for code in component.error_codes}
    by_id = {component.id: component for component in known}
    wanted = [_OF_METRIC.get(metric, "") for metric in _metrics(fleet, release, guardrails)]
    candidates = [
        *(by_code[code] for code, _ in codes if code in by_code),
        *(by_id[name] for name in (*wanted, ALERT_KINDS[reason].component) if name in by_id),
    ]
    if candidates:
        return _of(candidates[0])
    declared = fleet.release(release) if release else None
    return Responsible(owner=cut(declared.spec.source.lineage.owner, 400)) if declared else None


def _of(component: Component) -> Responsible:
    return Responsible(
        owner=component.owner,
        component=f"{component.id}: {component.title}",
        playbook=f"docs/playbooks/{component.playbook}.md",
    )


def _metrics(fleet: Fleet, release: str | None, guardrails: Iterable[str]) -> list[str]:
    declared = fleet.release(release) if release else None
    tier = fleet.tier(declared) if declared else None
    metrics = {guardrail.name: str(guardrail.metric) for guardrail in (tier.guardrails if tier else ())}
    return [metrics[name] for name in guardrails if name in metrics]
