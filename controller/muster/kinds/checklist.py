"""Checklist: what must be true of a release, item by item, and which evidence answers each item."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from muster.kinds.digest import Name
from muster.kinds.owners import PathPattern, Role
from muster.kinds.policy import GateMetric, TierName
from muster.kinds.resource import AsTuple, Declared, Resource, Text

Stage = Literal["build", "release", "post-release"]
Area = Literal[
    "artifact-integrity",
    "compatibility-matrix",
    "configuration-freeze",
    "resource-budgets",
    "thermal-and-long-run-stability",
    "offline-behaviour",
    "failure-handling",
    "logging-and-diagnostics",
    "security-review",
    "rollout-plan",
    "support-readiness",
]


class AnsweredBy(Declared):
    """Exactly one: a gate metric (never ticked by hand), a file that must stand at the head, or a signed approval.

    In `file`, the first `*` stands for the release's model and the second for its version.
    """

    gate: GateMetric | None = None
    file: PathPattern | None = None
    approval: Role | None = None


class Item(Declared):
    """One binary statement about a release."""

    name: Name
    area: Area
    statement: Text
    stage: Stage
    role: Role
    tiers: Annotated[tuple[TierName, ...], AsTuple, Field(min_length=1, max_length=3)]
    answered_by: AnsweredBy


class ChecklistSpec(Declared):
    """All items, in the order in which they are shown."""

    items: Annotated[tuple[Item, ...], AsTuple, Field(min_length=1, max_length=200)]


class Checklist(Resource):
    """policies/checklist.yaml"""

    kind: Literal["Checklist"] = "Checklist"
    spec: ChecklistSpec
