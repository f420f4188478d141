"""From an alert to the request that a channel gets. Pure but for the secrets that come in.

Signatures: Standard Webhooks 1.0, `webhook-id`, `webhook-timestamp` (seconds) and `webhook-signature` (`v1,` and base64
of HMAC-SHA256 over `id.timestamp.body`). The id is a digest of the alert's key, so that a receiver
knows what it has had.
Events: CloudEvents 1.0 over HTTP, written by the SDK of its project; `id` is the alert's key.
Slack: `text` for whoever shows nothing else, and one attachment with colour and fields.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from muster import __version__
from muster.apply.alerts.alert import Alert, Measured
from muster.kinds.canonical import canonical_json

EVENT_TYPE: Final = "muster.v1."
EVENT_SCHEMA: Final = "urn:muster:v1:alert"
_COLOURS: Final = {"error": "#c0392b", "warning": "#d68910", "info": "#2e86c1", "resolved": "#1e8449"}
_SHOWN: Final = 10


@dataclass(frozen=True)
class Message:
    """What is POSTed. Header names are in lower case."""

    headers: Mapping[str, str]
    content: bytes


def webhook(alert: Alert, key: bytes, now: datetime) -> Message:
    """The alert as JSON, signed."""
    content = canonical_json(alert.body())
    return _signed(Message({"content-type": "application/json"}, content), alert, key, now)


def cloud_event(
    alert: Alert, source: str, mode: Literal["structured", "binary"], key: bytes | None, now: datetime
) -> Message:
    """The alert as an event of `source` (a URI)."""
    from cloudevents.core.bindings.http import to_binary_event, to_structured_event
    from cloudevents.core.v1.event import CloudEvent

    event = CloudEvent(
        {
            "id": alert.key,
            "source": source,
            "specversion": "1.0",
            "type": f"{EVENT_TYPE}{alert.reason}",
            "subject": alert.subject,
            "time": alert.moment,
            "datacontenttype": "application/json",
            "dataschema": EVENT_SCHEMA,
            "severity": alert.severity,
        },
        alert.body(),
    )
    made = to_structured_event(event) if mode == "structured" else to_binary_event(event)
    message = Message({name.lower(): value for name, value in made.headers.items()}, bytes(made.body))
    return _signed(message, alert, key, now) if key is not None else message


def slack(alert: Alert) -> Message:
    """What an incoming webhook shows to people."""
    title = f"{alert.reason}: {alert.subject}" + (" (over)" if alert.state == "resolved" else "")
    lines = [alert.summary, f"Done: {alert.action}"]
    lines += [_measured(one) for one in alert.measured[:_SHOWN]]
    more = len(alert.measured) - _SHOWN
    lines += [f"and {more} more guardrails"] if more > 0 else []
    fields = [
        {"title": name, "value": _escaped(value), "short": len(value) < 40} for name, value in _facts(alert) if value
    ]
    attachment = {
        "color": _COLOURS["resolved" if alert.state == "resolved" else alert.severity],
        "fallback": _escaped(alert.summary),
        "text": _escaped("\n".join(lines)),
        "fields": fields,
        "ts": int(alert.moment.timestamp()),
    }
    body = {"text": f"*{_escaped(title)}*", "attachments": [attachment]}
    return Message({"content-type": "application/json"}, json.dumps(body).encode())


def _facts(alert: Alert) -> list[tuple[str, str]]:
    who = alert.responsible
    cohorts = ", ".join(f"{name} {share}" for name, share in alert.cohorts.items())
    return [
        ("Severity", alert.severity),
        ("Generation", str(alert.generation)),
        ("Cohorts", cohorts),
        ("Owner", who.owner if who else ""),
        ("Component", (who.component or "") if who else ""),
        ("Playbook", (who.playbook or "") if who else ""),
        ("Commit", alert.commit or ""),
        ("Artifact", alert.artifact or ""),
    ]


def _measured(one: Measured) -> str:
    where = f"{one.device_class} {one.stratum}".strip()
    return f"{one.guardrail} in {where}: {one.measured}, bound {one.bound} ({one.outcome}, {one.devices} devices)"


def _escaped(text: str) -> str:
    """The three letters that Slack gives a meaning to; with them go mentions (`<!channel>`) and links."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _signed(message: Message, alert: Alert, key: bytes, now: datetime) -> Message:
    name = f"msg_{hashlib.sha256(alert.key.encode()).hexdigest()[:32]}"
    stamp = str(int(now.timestamp()))
    mac = hmac.new(key, f"{name}.{stamp}.".encode() + message.content, hashlib.sha256).digest()
    added = {
        "webhook-id": name,
        "webhook-timestamp": stamp,
        "webhook-signature": f"v1,{base64.b64encode(mac).decode()}",
    }
    return Message({**message.headers, **added}, message.content)


def common_headers() -> dict[str, Any]:
    """What every request carries. Answers are not compressed: their size is what is read."""
    return {"user-agent": f"muster/{__version__}", "accept": "*/*", "accept-encoding": "identity"}
