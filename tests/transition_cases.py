"""Changes of one release: its steps, and what a controller or git says of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from fleets import make_release
from muster.check.case import Case, Declared
from muster.check.transitions import transition_verdicts
from muster.check.verdict import Verdict
from muster.kinds.field_state import FieldState, GuardrailFact, Step
from muster.kinds.policy import Policy
from muster.kinds.quantity import parse_percent
from muster.kinds.release import Release
from reviewed_cases import NOW, make_base, make_case, make_owners, make_tiers, with_releases

STEPS = ["5%", "25%", "50%", "100%"]
EVERYONE = {"canary": "100%", "fleet": "100%"}
OLD = make_release("1.0.0", EVERYONE)
CLASSES = ("cam-day", "cam-lowlight")
DAY = timedelta(days=1)
GUARDRAIL = {"name": "failures", "metric": "failure-share", "limit": "20%"}


def policy(**fields: Any) -> Policy:
    """Four steps and a soak of a day, for every tier; `fields` are of each."""
    tier = {"steps": STEPS, "soak": "1d", **fields}
    return make_tiers(research=tier, production=tier, regulated=tier)


def release(canary: str = "0%", fleet: str = "0%", version: str = "1.1.0", **fields: Any) -> Release:
    """A release at these percentages."""
    return make_release(version, {"canary": canary, "fleet": fleet}, **fields)


def case_of(before: Release | None, after: Release, *others: Release, rules: Policy | None = None, **more: Any) -> Case:
    """A change of one release beside others (1.0.0 everywhere, unless others are given)."""
    base = make_base(*(others or (OLD,)), owners=make_owners(), policy=rules or policy())
    base = with_releases(base, before) if before else base
    return replace(make_case(base, with_releases(base, after)), **more)


def judged(case: Case, rule: str) -> list[Verdict]:
    """The verdicts of one rule."""
    return [verdict for verdict in transition_verdicts(case) if verdict.rule == f"transition/{rule}"]


def outcomes(case: Case, rule: str) -> list[str]:
    """Their outcomes."""
    return [verdict.outcome for verdict in judged(case, rule)]


def since(**cohorts: tuple[str, timedelta]) -> dict[tuple[str, str], Declared]:
    """What git says: cohort=("5%", age)."""
    return {("meter-reader/1.1.0", name): Declared(parse_percent(p), NOW - age) for name, (p, age) in cohorts.items()}


def field(
    steps: Mapping[str, tuple[str, timedelta]] | None = None,
    facts: Sequence[GuardrailFact] = (),
    stored: Sequence[Release] = (),
    suspended: Sequence[str] = (),
    devices: int = 100,
) -> FieldState:
    """What a controller says of 1.1.0."""
    return FieldState(
        at=NOW,
        devices={(name, cohort): devices for name in CLASSES for cohort in ("canary", "fleet")},
        guardrails={"meter-reader/1.1.0": tuple(facts)},
        steps={
            ("meter-reader/1.1.0", name): Step(parse_percent(share), NOW - age)
            for name, (share, age) in (steps or {}).items()
        },
        stored=frozenset(one.spec.artifact.digest for one in stored),
        suspended=frozenset(suspended),
    )
