"""Alerts and channels for tests, made through the kinds like any other."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from fleets import make_release
from muster.apply.alerts.alert import Alert, Measured, Responsible
from muster.kinds.channel import Channel

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
HMAC_SECRET = "whsec_" + "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LTAwMDE="
RELEASE = make_release("1.1.0", {"canary": "100%", "fleet": "5%"})


def make_alert(key: str = "ReleaseSuspended:meter-reader/1.1.0:1", **fields: Any) -> Alert:
    """A suspended release with numbers, an owner and a text that tries to do harm."""
    given: dict[str, Any] = {
        "key": key,
        "reason": "ReleaseSuspended",
        "severity": "error",
        "at": NOW.isoformat(),
        "subject": "meter-reader/1.1.0",
        "summary": 'meter-reader/1.1.0 is suspended: <!channel> "3 of 12" & more ☃',
        "action": "no further device is given it",
        "commit": "c" * 40,
        "generation": 7,
        "release": "meter-reader/1.1.0",
        "artifact": RELEASE.spec.artifact.digest,
        "cohorts": {"canary": "100%", "fleet": "5%"},
        "measured": (
            Measured(
                guardrail="failures",
                device_class="cam-lowlight",
                stratum="os=14",
                measured="3 of 12 devices failed",
                bound="5%",
                devices=12,
                outcome="harm",
            ),
        ),
        "responsible": Responsible(owner="firmware", component="loader: Loader", playbook="docs/playbooks/x.md"),
    }
    return Alert(**{**given, **fields})


def make_channel(name: str, target: dict[str, Any], **spec: Any) -> Channel:
    """A channel that is told of everything, unless `spec` says less."""
    given = {"severities": ["info", "warning", "error"], **spec, "target": target}
    return Channel.model_validate({"metadata": {"name": name}, "spec": given})


def webhook_to(url: str, name: str = "on-call", **spec: Any) -> Channel:
    """A signed webhook; its secret is MUSTER_ALERT_ONCALL."""
    return make_channel(
        name, {"format": "webhook", "url": url, "secret": {"environment": "MUSTER_ALERT_ONCALL"}}, **spec
    )
