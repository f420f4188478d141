"""Policy: tiers, and what each tier asks for before and during a rollout.

The tier table: `research` is reproducible and pinned; `production` adds promotion gates, a canary, a rehearsed rollback
and a logged transition; `regulated` adds named approvers, immutable events and full evidence. What that means in
numbers stands in the policy file.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from muster.kinds.digest import Name
from muster.kinds.guardrails import Guardrail as Guardrail  # noqa: PLC0414 - it is offered here
from muster.kinds.guardrails import MetricSource, NumericKey
from muster.kinds.owners import PathPattern, Role
from muster.kinds.quantity import Duration, Percent, Threshold
from muster.kinds.resource import AsTuple, Declared, LabelKey, Resource, Text

TierName = Literal["research", "production", "regulated"]
TIERS: tuple[TierName, ...] = ("research", "production", "regulated")
"""From the least at stake to the most."""

Severity = Literal["block", "warn"]
GateMetric = Literal[
    "accuracy",
    "p50-latency",
    "p95-latency",
    "p99-latency",
    "cold-latency",
    "peak-ram",
    "load-time",
    "artifact-size",
    "package-size",
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

Comparator = Literal["<", "<=", ">", ">=", "=="]
RelativeTo = Literal["absolute", "source", "superseded", "budget", "clean"]

FEWEST_AGREEING = 2
"""Rebuilders that must agree where a gate does not say how many: one proves what level 2 proves."""

Way = Literal["commit", "pull-request"]
"""How the controller changes git: on the branch itself, or on one of its own that people merge."""
Advance = Literal["by-hand", "commit", "pull-request"]

SignerName = Annotated[str, StringConstraints(pattern=r"^(identities/)?[a-z0-9]([a-z0-9-]*[a-z0-9])?$", max_length=80)]
"""A SigningKey by its name, or a TrustedIdentity as `identities/<name>`."""


class Gate(Declared):
    """One typed, binary rule with a threshold, decided before anything reaches a device.

    With `relativeTo`, the threshold is a ratio: the measured value over that of the source model, of the superseded
    release, or over the budget of the device class; `clean` is the artifact's own accuracy on undisturbed inputs. With
    `bound`, the lower or upper confidence bound is compared instead of the measured value itself, so that the sampling
    error counts. Without `model`, every model is meant.

    Of `reproducibility` at level 3: `agreeing` rebuilders must have come to the same bytes, of those that `rebuilders`
    names as evidence names its signer: a SigningKey's name, or `identities/<name>`. Without it, any that are trusted.
    """

    name: Name
    metric: GateMetric
    comparator: Comparator
    threshold: Threshold
    relative_to: RelativeTo = "absolute"
    model: Name | None = None
    device_class: Name | None = None
    slice: Name | None = None
    min_samples: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = None
    bound: Literal["lower", "upper"] | None = None
    max_age: Duration | None = None
    rebuilders: Annotated[tuple[SignerName, ...], AsTuple, Field(max_length=16)] = ()
    agreeing: Annotated[int, Field(ge=2, le=16)] | None = None
    severity: Severity = "block"


class Health(Declared):
    """What a device must show before it confirms a release, and how often it asks for news."""

    window: Duration
    poll_interval: Duration


class Reviewers(Declared):
    """So many approvals by people of this role."""

    role: Role
    count: Annotated[int, Field(ge=1, le=16)] = 1


class Tier(Declared):
    """How much is at stake, and what that asks for.

    `steps` and `soak` pace a rollout: a percentage never skips a step, and stays for the soak before the next.
    `deployable` releases with `rehearsedWithin` must stay ready to go back to. `approvals` are by role;
    `namedApprovers` of those that the owners file names for the tier.

    `falseHalts` is the error that all guardrails of a release together may make: how often a release that does no harm
    may be halted. `longestWait` is how long an undecided step is held before people are told that it will not decide
    itself; it never moves on by itself. `strata` are labels that devices are told apart by, besides device class, OS
    version and runtime; the worst stratum decides.

    `advance` says who takes the next step: people (`by-hand`), or the controller, by a commit or by a pull request,
    once every guardrail that halts says "no worse", the soak is over and `minExposure` devices tried the release since
    the step was published. `revert` says how the controller takes a halted release back.
    """

    name: TierName
    steps: Annotated[tuple[Percent, ...], AsTuple, Field(min_length=1, max_length=20)] = (
        50_000,
        250_000,
        500_000,
        1_000_000,
    )
    soak: Duration
    health: Health
    gates: Annotated[tuple[Gate, ...], AsTuple, Field(max_length=64)] = ()
    guardrails: Annotated[tuple[Guardrail, ...], AsTuple, Field(max_length=32)] = ()
    false_halts: Annotated[Percent, Field(ge=1, le=500_000)] = 50_000
    longest_wait: Duration | None = None
    strata: Annotated[tuple[LabelKey, ...], AsTuple, Field(max_length=4)] = ()
    advance: Advance = "by-hand"
    min_exposure: Annotated[int, Field(ge=0, le=1_000_000_000)] = 1
    revert: Way = "commit"
    evidence_max_age: Duration | None = None
    deployable: Annotated[int, Field(ge=0, le=16)] = 0
    rehearsed_within: Duration | None = None
    approvals: Annotated[tuple[Reviewers, ...], AsTuple, Field(max_length=16)] = ()
    named_approvers: Annotated[int, Field(ge=0, le=16)] = 0
    signed_commits: bool = False
    checklist: bool = False


class ImpactRule(Declared):
    """A change that touches one of these paths, or one of these fields of a release or a device class, must change a
    diagram (or a playbook), or say in the pull request why it need not. `fields` are dotted: `spec.inference`.
    """

    name: Name
    needs: Literal["diagram", "playbook"]
    paths: Annotated[tuple[PathPattern, ...], AsTuple, Field(max_length=64)] = ()
    fields: Annotated[tuple[Text, ...], AsTuple, Field(max_length=64)] = ()
    why: Text


class PolicySpec(Declared):
    """All tiers of a fleet, which changes concern diagrams and playbooks, and what guardrails may read.

    `numericKeys` are the numbers that applications report under names of their own; `metricSources` are where else
    guardrails may find their counts.
    """

    tiers: Annotated[tuple[Tier, ...], AsTuple, Field(min_length=1, max_length=3)]
    numeric_keys: Annotated[tuple[NumericKey, ...], AsTuple, Field(max_length=16)] = ()
    metric_sources: Annotated[tuple[MetricSource, ...], AsTuple, Field(max_length=8)] = ()
    impact: Annotated[tuple[ImpactRule, ...], AsTuple, Field(max_length=64)] = ()


class Policy(Resource):
    """policies/<name>.yaml"""

    kind: Literal["Policy"] = "Policy"
    spec: PolicySpec

    def tier(self, name: TierName) -> Tier | None:
        """The tier of that name, if this policy has it."""
        return next((tier for tier in self.spec.tiers if tier.name == name), None)
