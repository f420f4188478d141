"""Policy: tiers, and the gates and guardrails that each tier asks for.

Today guardrails and health windows are in force. Gates, steps and soak are declared and checked for their shape; the
pull-request gate, which decides them, is not built yet.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from muster.kinds.digest import Name
from muster.kinds.quantity import Decimal, Duration, Percent
from muster.kinds.resource import AsTuple, Declared, Resource

TierName = Literal["research", "production", "regulated"]
Severity = Literal["block", "warn"]
GateMetric = Literal[
    "accuracy",
    "p50-latency",
    "p95-latency",
    "peak-ram",
    "load-time",
    "artifact-size",
    "fairness-gap",
    "robustness",
    "calibration-samples",
    "calibration-overlap",
    "soak",
    "compatibility",
    "delegate-active",
    "reproducibility",
    "signature",
    "provenance",
    "inference-cost",
]
"""What a gate can be about; a name that nobody measures would be a gate that nothing passes, or everything."""


class Gate(Declared):
    """One typed, binary rule with a threshold, for the time before anything reaches a device. Not decided yet."""

    name: Name
    metric: GateMetric
    comparator: Literal["<", "<=", ">", ">=", "=="]
    threshold: Decimal
    relative_to: Literal["absolute", "source", "superseded", "budget"] = "absolute"
    device_class: Name | None = None
    slice: Name | None = None
    min_samples: Annotated[int, Field(ge=1)] | None = None
    severity: Severity = "block"


class Guardrail(Declared):
    """One typed rule over field telemetry, decided per device class while a rollout runs.

    `failure-share` is failures over devices that activated the release (or failed to), in percent.
    """

    name: Name
    metric: Literal["failure-share"]
    limit: Percent
    min_devices: Annotated[int, Field(ge=1, le=1_000_000)] = 1


class Health(Declared):
    """What a device must show before it confirms a release, and how often it asks for news."""

    window: Duration
    poll_interval: Duration


class Tier(Declared):
    """How much is at stake. `steps` and `soak` are declared for a rollout that a later version paces by itself."""

    name: TierName
    steps: Annotated[tuple[Percent, ...], AsTuple, Field(min_length=1, max_length=20)]
    soak: Duration
    health: Health
    gates: Annotated[tuple[Gate, ...], AsTuple, Field(max_length=64)] = ()
    guardrails: Annotated[tuple[Guardrail, ...], AsTuple, Field(max_length=32)] = ()


class PolicySpec(Declared):
    """All tiers of a fleet."""

    tiers: Annotated[tuple[Tier, ...], AsTuple, Field(min_length=1, max_length=3)]


class Policy(Resource):
    """policies/<name>.yaml"""

    kind: Literal["Policy"] = "Policy"
    spec: PolicySpec

    def tier(self, name: TierName) -> Tier | None:
        """The tier of that name, if this policy has it."""
        return next((tier for tier in self.spec.tiers if tier.name == name), None)
