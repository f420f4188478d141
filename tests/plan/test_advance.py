"""Advancing: which step is next, and everything that holds it up."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fleets import PUBLIC_KEY, make_class, make_cohort, make_key, make_policy, make_release
from muster.kinds.field_state import Step
from muster.kinds.fleet import Fleet
from muster.kinds.freeze import Freeze
from muster.kinds.hold import Hold
from muster.kinds.quantity import PPM, format_percent
from muster.kinds.release import Release
from muster.plan.advance import Advance
from muster.plan.assignment import choose
from muster.plan.exposures import exposures
from muster.plan.planner import Plan, Publish, Suspend, make_plan
from muster.plan.proposals import Proposal, Withdraw, advance_branch
from muster.plan.tallies import Cell, Standing, cells_of
from muster.plan.world import Observed, Published, Suspension, World

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
STEPS = (50_000, 250_000, 500_000, PPM)
OLD = make_release("1.0.0", {"canary": "100%", "fleet": "100%"})
NAME = "meter-reader/1.1.0"
FREEZE = Freeze.model_validate(
    {
        "metadata": {"name": "monday"},
        "spec": {"effect": "deny", "cron": "0 6 * * MON", "duration": "12h", "reason": "the season opens"},
    }
)


def new(cohorts: dict[str, str], not_before: str | None = None) -> Release:
    made = make_release("1.1.0", cohorts, supersedes="1.0.0")
    rollout = made.spec.rollout.model_copy(update={"not_before": not_before})
    return made.model_copy(update={"spec": made.spec.model_copy(update={"rollout": rollout})})


def fleet_of(release: Release, *, freezes: tuple[Freeze, ...] = (), **tier: object) -> Fleet:
    policy = make_policy(soak="1h", **{"advance": "commit", **tier})
    cohorts = (make_cohort("canary", 1, ring="canary"), make_cohort("fleet", 2))
    resources = (release, OLD, make_class("cam-day"), make_class("cam-lowlight"), *cohorts, policy, make_key())
    return Fleet.of([*resources, *freezes], "c" * 40)


def world_of(fleet: Fleet, phases: dict[str, int], soaked: timedelta = timedelta(hours=2)) -> World:
    """Everything published, as long ago; devices of both classes in these phases."""
    world = World(signer=PUBLIC_KEY, prepared=frozenset(release.pins for release in fleet.releases))
    step = next(action for action in make_plan(fleet, world, NOW).actions if isinstance(action, Publish))
    tally: Counter[Cell] = Counter()
    for device_class in ("cam-day", "cam-lowlight"):
        for phase, count in phases.items():
            standing = Standing(NAME, device_class, "", step.generation, step.generation, left=False, phase=phase)
            tally.update(dict.fromkeys(cells_of(standing, ()), count))
    steps = {
        (release.name, cohort): Step(ppm, NOW - soaked, step.generation)
        for release in fleet.releases
        for cohort, ppm in release.spec.rollout.cohorts.items()
        if ppm
    }
    return replace(
        world,
        published=Published(step.generation, step.documents, frozenset(step.artifacts)),
        observed=Observed(exposures(tally, {}), dict(tally)),
        steps=steps,
        begun=frozenset(name for name, _ in steps),
    )


def advances(plan: Plan) -> list[tuple[str, int, int]]:
    return [(one.cohort, one.before, one.after) for one in plan.actions if isinstance(one, Advance)]


def waits(plan: Plan) -> str:
    return "; ".join(f"{one.reason} -> {one.lifted_by}" for one in plan.waits if one.step == "advance")


FINE = {"healthy": 60}

NEXT = {
    "the next step of the first cohort": ({"canary": "5%", "fleet": "0%"}, [("canary", 50_000, 250_000)]),
    "the first cohort ends before the second begins": ({"canary": "50%", "fleet": "0%"}, [("canary", 500_000, PPM)]),
    "the second cohort after the first": ({"canary": "100%", "fleet": "0%"}, [("fleet", 0, 50_000)]),
    "what lies between two steps goes to the next": ({"canary": "10%", "fleet": "0%"}, [("canary", 100_000, 250_000)]),
    "nothing is left": ({"canary": "100%", "fleet": "100%"}, []),
}


@pytest.mark.parametrize(("cohorts", "expected"), NEXT.values(), ids=NEXT)
def test_one_step_at_a_time(cohorts: dict[str, str], expected: list[tuple[str, int, int]]) -> None:
    """Cohorts in their order, the declared steps within a cohort."""
    fleet = fleet_of(new(cohorts))
    assert advances(make_plan(fleet, world_of(fleet, FINE), NOW)) == expected


def test_a_cohort_that_is_not_named_is_left_alone() -> None:
    """The rollout ends where its file does, and the plan says how it goes on."""
    fleet = fleet_of(new({"canary": "100%"}))
    plan = make_plan(fleet, world_of(fleet, FINE), NOW)
    assert advances(plan) == []
    assert "does not name fleet" in waits(plan)


def test_what_holds_a_step_up_is_said() -> None:
    """Each with what would lift it."""
    fleet = fleet_of(new({"canary": "5%", "fleet": "0%"}), freezes=(FREEZE,), minExposure=500)
    plan = make_plan(fleet, world_of(fleet, {"healthy": 1}, timedelta(minutes=5)), NOW)
    assert advances(plan) == []
    said = waits(plan)
    assert "undecided: failures in cam-day, failures in cam-lowlight" in said
    assert "soaks for 1h, until 2026-01-05T12:55:00Z -> 2026-01-05T12:55:00Z" in said
    assert "2 of 500 devices tried it since the step was published -> 498 more devices" in said
    assert "frozen by monday: the season opens -> 2026-01-05T18:00:00Z" in said


def test_a_tier_without_a_guardrail_that_halts_does_not_advance() -> None:
    """Nobody would see harm."""
    guardrails = [{"name": "failures", "metric": "failure-share", "limit": "20%", "severity": "warn"}]
    fleet = fleet_of(new({"canary": "5%"}), guardrails=guardrails)
    plan = make_plan(fleet, world_of(fleet, FINE), NOW)
    assert advances(plan) == []
    assert "no guardrail that halts" in waits(plan)


@pytest.mark.parametrize(
    "asked", [{"approvals": [{"role": "ml"}]}, {"namedApprovers": 1}, {"checklist": True}], ids=str
)
def test_where_people_are_to_approve_nothing_is_committed(asked: dict[str, object]) -> None:
    """Two words of one policy: the stricter one counts; a pull request can have both."""
    release = new({"canary": "5%"})
    fleet = fleet_of(release, **asked)
    plan = make_plan(fleet, world_of(fleet, FINE), NOW)
    assert advances(plan) == []
    assert "asks people for approvals" in waits(plan)
    proposing = fleet_of(release, advance="pull-request", **asked)
    assert advances(make_plan(proposing, world_of(proposing, FINE), NOW)) == [("canary", 50_000, 250_000)]


def test_a_telemetry_outage_holds_the_next_step() -> None:
    """What devices said in the step before is no evidence that anybody tried this one."""
    fleet = fleet_of(new({"canary": "25%"}))
    world = world_of(fleet, FINE)
    later = {place: replace(step, generation=step.generation + 1) for place, step in world.steps.items()}
    assert advances(make_plan(fleet, replace(world, steps=later), NOW)) == []


def test_by_hand_says_when_people_may() -> None:
    """The default: nothing moves by itself, and the plan names the step once nothing speaks against it."""
    fleet = fleet_of(new({"canary": "5%"}), advance="by-hand")
    assert "muster promote" in waits(make_plan(fleet, world_of(fleet, FINE), NOW))
    plan = make_plan(fleet, world_of(fleet, {"healthy": 1}), NOW)
    assert (advances(plan), waits(plan)) == ([], "")


def test_only_devices_of_this_step_are_its_exposure() -> None:
    """Those that came before it was published are not counted."""
    fleet = fleet_of(new({"canary": "5%"}), minExposure=1)
    world = world_of(fleet, FINE)
    later = {place: replace(step, generation=step.generation + 1) for place, step in world.steps.items()}
    plan = make_plan(fleet, replace(world, steps=later), NOW)
    assert advances(plan) == []
    assert "0 of 1 devices" in waits(plan)


def test_a_scheduled_start_begins_once() -> None:
    """Not before its time; never again what was published before, so that what was taken back stays so."""
    fleet = fleet_of(new({"canary": "0%", "fleet": "0%"}, "2026-01-05T12:00:00Z"))
    world = replace(world_of(fleet, {}), begun=frozenset({OLD.name}))
    assert advances(make_plan(fleet, world, NOW)) == [("canary", 0, 50_000)]
    early = make_plan(fleet, world, NOW - timedelta(seconds=1))
    assert (advances(early), waits(early)) == ([], "not before 2026-01-05T12:00:00Z -> 2026-01-05T12:00:00Z")
    assert advances(make_plan(fleet, replace(world, begun=frozenset({OLD.name, NAME})), NOW)) == []


def test_without_a_schedule_people_begin() -> None:
    """A release at 0 % everywhere stays there."""
    fleet = fleet_of(new({"canary": "0%"}))
    assert advances(make_plan(fleet, world_of(fleet, {}), NOW)) == []


def test_newcomers_and_those_that_return_take_what_is_declared() -> None:
    """Soak, freeze and exposure hold steps up; a device within the declared share takes the head at once."""
    fleet = fleet_of(new({"canary": "100%", "fleet": "0%"}), freezes=(FREEZE,), minExposure=500)
    world = world_of(fleet, {}, timedelta(0))
    plan = make_plan(fleet, world, NOW)
    assert advances(plan) == []
    document = world.published.documents["meter-reader", "cam-day"]
    entry = choose(document, "a-device-nobody-heard-of", {"ring": "canary"})
    assert entry is not None
    assert entry.release == NAME


def test_a_proposal_is_made_once_and_goes_with_its_reason() -> None:
    """It waits while it stands, and goes when it is merged or the release is suspended."""
    fleet = fleet_of(new({"canary": "5%"}), advance="pull-request")
    world = world_of(fleet, FINE)
    branch = advance_branch(NAME, "canary", 250_000)
    proposal = Proposal(branch, NAME, "advance", "d" * 40, "#7", "canary", 250_000)
    proposed = replace(world, proposals={branch: proposal})
    assert [action.branch for action in make_plan(fleet, world, NOW).actions if isinstance(action, Advance)] == [branch]
    plan = make_plan(fleet, proposed, NOW)
    assert plan.actions == ()
    assert "proposed as #7" in waits(plan)
    suspended = replace(proposed, suspensions={NAME: Suspension(NAME, "harm", NOW, "guardrail")})
    gone = [one for one in make_plan(fleet, suspended, NOW).actions if isinstance(one, Withdraw)]
    assert [one.reason for one in gone] == ["the release is suspended: harm"]
    merged = fleet_of(new({"canary": "25%"}), advance="pull-request")
    gone = [one for one in make_plan(merged, proposed, NOW).actions if isinstance(one, Withdraw)]
    assert [one.reason for one in gone] == ["git says the same"]


def test_a_device_writes_no_trailer() -> None:
    """What a device says of itself stays within its line of the record."""
    fleet = fleet_of(new({"canary": "5%"}), strata=["lens"])
    world = world_of(fleet, {})
    stratum = "label.lens=x\nMuster-Offer-Again: meter-reader/1.0.0"
    tally: Counter[Cell] = Counter()
    for device_class in ("cam-day", "cam-lowlight"):
        standing = Standing(NAME, device_class, stratum, 1, 1, left=False, phase="healthy")
        tally.update(dict.fromkeys(cells_of(standing, ()), 400))
    world = replace(world, observed=Observed(exposures(tally, {}), dict(tally)))
    (step,) = [one for one in make_plan(fleet, world, NOW).actions if isinstance(one, Advance)]
    assert not [line for line in step.message.split("\n") if line.startswith("Muster-Offer-Again")]
    assert "Muster-Offer-Again" in step.message


@settings(max_examples=60, deadline=None)
@example(canary=50_000, rest=0, phases={"healthy": 60}, soaked=7_200, brakes=set())
@given(
    canary=st.sampled_from((0, *STEPS, 120_000)),
    rest=st.sampled_from((0, *STEPS)),
    phases=st.dictionaries(st.sampled_from(("healthy", "failed", "dark", "offered")), st.integers(0, 80)),
    soaked=st.integers(0, 7_200),
    brakes=st.sets(st.sampled_from(("suspended", "for a time", "held", "frozen", "late"))),
)
def test_never_against_a_brake(canary: int, rest: int, phases: dict[str, int], soaked: int, brakes: set[str]) -> None:
    """Over random worlds: no step beside harm, doubt, suspension, hold or freeze; none down, none skipped."""
    cohorts = {"canary": format_percent(canary), "fleet": format_percent(rest)}
    release = new(cohorts, "2026-01-06T00:00:00Z" if "late" in brakes else None)
    fleet = fleet_of(release, freezes=(FREEZE,) if "frozen" in brakes else ())
    world = world_of(fleet, phases, timedelta(seconds=soaked))
    if brakes & {"suspended", "for a time"}:
        until = NOW + timedelta(hours=1) if "suspended" not in brakes else None
        world = replace(world, suspensions={NAME: Suspension(NAME, "why", NOW, "ada <a@b>", until=until)})
    if "held" in brakes and not release.spec.rollout.reaches_any:
        digest = release.spec.artifact.digest
        world = replace(world, holds={digest: Hold(digest, NAME, "why", "c" * 40)})
    plan = make_plan(fleet, world, NOW)
    for step in (action for action in plan.actions if isinstance(action, Advance)):
        assert not brakes - {"held"}
        assert soaked >= 3_600
        assert step.release not in {one.release for one in plan.actions if isinstance(one, Suspend)}
        judged = [one for one in plan.verdicts if one.release == step.release]
        assert judged
        assert {one.outcome for one in judged} == {"no-worse"}
        assert step.before == {"canary": canary, "fleet": rest}[step.cohort]
        assert step.after == min(share for share in STEPS if share > step.before)
        assert step.cohort == "canary" or canary == PPM
