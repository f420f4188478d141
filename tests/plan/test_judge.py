"""What the planner makes of verdicts: halts, warnings, and steps that nothing decides."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from fleets import PUBLIC_KEY, make_fleet, make_release
from muster.kinds.field_state import Step
from muster.kinds.fleet import Fleet
from muster.plan.exposures import exposures
from muster.plan.planner import Suspend, make_plan
from muster.plan.tallies import Cell, Standing, cells_of
from muster.plan.world import Observed, World

NOW = datetime(2026, 1, 10, tzinfo=UTC)
OLD = make_release("1.0.0", {"canary": "100%", "fleet": "100%"})
NEW = make_release("1.1.0", {"canary": "100%"}, supersedes="1.0.0")
READY = World(signer=PUBLIC_KEY, prepared=frozenset({OLD.pins, NEW.pins}))


def fleet(guardrail: dict[str, Any], **tier: Any) -> Fleet:
    """One guardrail of the production tier is changed, and the tier."""
    declared = make_fleet(NEW, OLD)
    policy = declared.policies[0]
    changed = [
        one.model_copy(update={"guardrails": tuple(g.model_copy(update=guardrail) for g in one.guardrails), **tier})
        for one in policy.spec.tiers
    ]
    spec = policy.spec.model_copy(update={"tiers": tuple(changed)})
    return replace(declared, policies=(policy.model_copy(update={"spec": spec}),))


def seen(*counts: tuple[str, str, str, int]) -> World:
    """(release, stratum, phase, devices) in cam-day."""
    tally: Counter[Cell] = Counter()
    for release, stratum, phase, count in counts:
        standing = Standing(release, "cam-day", stratum, 1, 1, left=False, phase=phase)
        tally.update(dict.fromkeys(cells_of(standing, ()), count))
    return replace(READY, observed=Observed(exposures(tally, {}), dict(tally)))


def test_the_worst_stratum_decides() -> None:
    """A thousand devices that hold do not make up for one stratum that fails."""
    world = seen((NEW.name, "os=12", "confirmed", 1_000), (NEW.name, "os=11", "failed", 12))
    plan = make_plan(fleet({}), world, NOW)
    assert [NEW.name] == [action.release for action in plan.actions if isinstance(action, Suspend)]
    found = {one.stratum: one.outcome for one in plan.verdicts if one.release == NEW.name and one.stratum}
    assert found == {"os=12": "no-worse", "os=11": "harm"}


def test_a_margin_is_against_the_concurrent_control() -> None:
    """What fails no more often than the superseded release beside it is not halted; what fails far more often is."""
    margin = fleet({"limit": None, "margin": 500_000})
    control = [(OLD.name, "", "confirmed", 300), (OLD.name, "", "failed", 100)]
    alike = seen(*control, (NEW.name, "", "confirmed", 300), (NEW.name, "", "failed", 100))
    assert not [one for one in make_plan(margin, alike, NOW).verdicts if one.outcome == "harm"]
    worse = seen(*control, (NEW.name, "", "confirmed", 100), (NEW.name, "", "failed", 300))
    assert [one.against for one in make_plan(margin, worse, NOW).verdicts if one.outcome == "harm"] == ["margin"]


def test_what_only_warns_stops_nothing() -> None:
    """It is judged and shown."""
    plan = make_plan(fleet({"severity": "warn"}), seen((NEW.name, "", "failed", 30)), NOW)
    assert not [action for action in plan.actions if isinstance(action, Suspend)]
    assert "harm" in {one.outcome for one in plan.verdicts}


def test_the_longest_wait_is_said_and_moves_nothing() -> None:
    """Undecided beyond it is a hold that says so."""
    declared = fleet({}, longest_wait=3_600_000_000)
    for hours, overdue in ((0.5, False), (2, True)):
        steps = {(NEW.name, "canary"): Step(1_000_000, NOW - timedelta(hours=hours))}
        plan = make_plan(declared, replace(READY, steps=steps), NOW)
        waits = [wait.reason for wait in plan.waits if wait.subject == f"{NEW.name} in cam-day"]
        assert [("longest wait of 1h" in reason) for reason in waits] == [overdue]


def test_nothing_speaks_for_a_release_while_nobody_is_heard() -> None:
    """No-worse becomes cannot-tell, which says whose reports are missing; harm that was shown stays harm."""
    for phase, heard, silent in (("confirmed", "no-worse", "cannot-tell"), ("failed", "harm", "harm")):
        world = seen((NEW.name, "os=12", phase, 1_000))
        deaf = replace(world, observed=replace(world.observed, heard=False))
        for told, outcome in ((world, heard), (deaf, silent)):
            plan = make_plan(fleet({}), told, NOW)
            found = [one for one in plan.verdicts if one.release == NEW.name and one.stratum]
            assert {outcome} == {one.outcome for one in found}
            assert bool([one for one in plan.actions if isinstance(one, Suspend)]) is (outcome == "harm")
            said = [one for one in plan.waits if "no report of any device comes in" in one.reason]
            assert bool(said) is (told is deaf)
            assert all("fleet's devices" in one.lifted_by for one in said)
