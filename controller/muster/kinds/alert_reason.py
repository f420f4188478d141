"""What people are told of: one table of reasons, from which alerts, channels and documents take theirs.

A condition that does not hold is told under the condition's own reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, get_args

AlertReason = Literal[
    "ReleaseSuspended",
    "RevertCommitted",
    "RevertHeldUp",
    "SuspensionLifted",
    "ReleaseAdvanced",
    "GuardrailWarned",
    "TelemetryMissing",
    "ArtifactNotPrepared",
    "NotValid",
    "FetchFailed",
    "PushFailed",
    "ClassWithoutModel",
    "StepFailed",
    "Drifted",
    "ChannelTried",
    "Other",
]

AlertSeverity = Literal["info", "warning", "error"]
SEVERITIES: Final[tuple[AlertSeverity, ...]] = get_args(AlertSeverity)
"""From what is good to know to what somebody has to look at now."""


@dataclass(frozen=True)
class AlertKind:
    """One row. `component` is whose owner is named where nothing closer is known; `patience` in seconds is how long a
    condition may fail to hold before people hear of it.
    """

    severity: AlertSeverity
    component: str
    says: str
    patience: int = 0


ALERT_KINDS: Final[Mapping[AlertReason, AlertKind]] = MappingProxyType({
    "ReleaseSuspended": AlertKind(
        "error", "planner", "A release is suspended: no further device is given it, and those that have it return."
    ),
    "RevertCommitted": AlertKind("info", "git", "The revert of a suspended release is on the branch."),
    "RevertHeldUp": AlertKind(
        "error", "git", "The revert of a suspended release cannot be committed or pushed; the suspension holds."
    ),
    "SuspensionLifted": AlertKind("info", "planner", "A suspension is over: git says the same, or a person said so."),
    "ReleaseAdvanced": AlertKind("info", "planner", "A release goes to more devices than before."),
    "GuardrailWarned": AlertKind("warning", "planner", "A guardrail that only warns sees harm."),
    "TelemetryMissing": AlertKind(
        "warning", "observer", "A guardrail cannot tell, because telemetry is missing; the rollout holds."
    ),
    "ArtifactNotPrepared": AlertKind("warning", "builder", "A rebuild differs from the pins, or could not be made."),
    "NotValid": AlertKind(
        "error", "source", "The newest commit does not pass the checks; the last valid one stays in force."
    ),
    "FetchFailed": AlertKind("warning", "git", "The repository cannot be reached; what was declared last holds.", 300),
    "PushFailed": AlertKind("warning", "git", "The ledger's checkpoints do not reach git.", 900),
    "ClassWithoutModel": AlertKind("error", "publisher", "A device class has nothing on offer for one of its models."),
    "StepFailed": AlertKind("warning", "controller", "A step of the plan could not be carried out.", 300),
    "Drifted": AlertKind("warning", "agent", "Devices run what git never declared for them.", 300),
    "ChannelTried": AlertKind("info", "controller", "Somebody tried a channel: muster alerts try."),
    "Other": AlertKind("warning", "controller", "Another condition does not hold; the alert says which.", 300),
})  # fmt: skip


def known_reason(reason: str) -> AlertReason:
    """The reason if the table has it, else `Other`: a condition that is new here is told of all the same."""
    return next((known for known in ALERT_KINDS if known == reason), "Other")
