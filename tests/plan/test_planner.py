"""The planner: state in, plan out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from fleets import PUBLIC_KEY, make_class, make_fleet, make_policy, make_release, pin
from muster.kinds.fleet import Fleet
from muster.kinds.release import Rollout
from muster.plan.exposures import exposures
from muster.plan.planner import Lift, Plan, Prepare, Publish, Revert, Suspend, make_plan
from muster.plan.tallies import Cell, Standing, cells_of
from muster.plan.world import Exposure, Observed, Published, Suspension, World

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ALL = {"canary": "100%", "fleet": "100%"}
OLD = make_release("1.0.0", ALL)
NEW = make_release("1.1.0", {"canary": "100%", "fleet": "5%"}, supersedes="1.0.0")
Counts = Mapping[tuple[str, str], Mapping[tuple[str, str | None], int]]
READY = World(signer=PUBLIC_KEY, prepared=frozenset({OLD.pins, NEW.pins}))


def published(plan: Plan, world: World) -> World:
    """The world after the plan's publication."""
    step = next(action for action in plan.actions if isinstance(action, Publish))
    return replace(world, published=Published(step.generation, step.documents, frozenset(step.artifacts)))


def plan_for(fleet: Fleet, world: World) -> Plan:
    return make_plan(fleet, world, NOW)


def test_what_is_not_prepared_is_prepared_first() -> None:
    """Nothing is published before its artifact was built, verified and signed."""
    plan = plan_for(make_fleet(OLD), World(signer=PUBLIC_KEY))
    assert (Prepare("meter-reader/1.0.0", pin("artifact 1.0.0")),) == plan.actions


def test_an_undeclared_key_signs_nothing() -> None:
    """A controller whose key the fleet does not declare builds nothing, and says what is missing."""
    plan = plan_for(make_fleet(OLD), World(signer="another key"))
    assert plan.actions == ()
    assert [wait.step for wait in plan.waits if "policies/keys" in wait.reason] == ["prepare"]


def test_first_publication() -> None:
    """The first generation is 1 and holds a document for each class."""
    plan = plan_for(make_fleet(OLD), READY)
    step = plan.actions[0]
    assert isinstance(step, Publish)
    assert step.generation == 1
    assert list(step.documents) == [("meter-reader", "cam-day"), ("meter-reader", "cam-lowlight")]


def test_no_change_plans_nothing() -> None:
    """A second look at the same commit has nothing to do."""
    world = published(plan_for(make_fleet(OLD), READY), READY)
    assert plan_for(make_fleet(OLD), world).actions == ()


@pytest.mark.parametrize(("tier", "logged"), [("production", False), ("regulated", True)])
def test_devices_log_the_predictions_of_a_regulated_release(tier: str, *, logged: bool) -> None:
    """The entry asks for it, and says nothing of it where nobody does: an agent of before reads it."""
    release = make_release("1.0.0", ALL, tier=tier)
    fleet = replace(make_fleet(release), policies=(make_policy(name=tier),))
    step = plan_for(fleet, replace(READY, prepared=frozenset({release.pins}))).actions[0]
    assert isinstance(step, Publish)
    (entry,) = step.documents["meter-reader", "cam-day"].entries
    assert logged is entry.log_predictions
    assert logged is ("logPredictions" in entry.model_dump())


def test_newest_first_and_nothing_below_a_full_release() -> None:
    """Entries run from newest to oldest; a release that everybody has overtaken is left out."""
    partly = plan_for(make_fleet(NEW, OLD), READY).actions[0]
    assert isinstance(partly, Publish)
    assert [e.version for e in partly.documents["meter-reader", "cam-day"].entries] == ["1.1.0", "1.0.0"]
    fully = plan_for(make_fleet(make_release("1.1.0", ALL, supersedes="1.0.0"), OLD), READY).actions[0]
    assert isinstance(fully, Publish)
    assert [e.version for e in fully.documents["meter-reader", "cam-day"].entries] == ["1.1.0"]


def test_a_revert_raises_the_generation_and_names_the_old_digest() -> None:
    """Never backwards: the rollback is generation 3 with generation 1's artifact."""
    world = published(plan_for(make_fleet(OLD), READY), READY)
    world = published(plan_for(make_fleet(NEW, OLD), world), world)
    step = plan_for(make_fleet(OLD), world).actions[0]
    assert isinstance(step, Publish)
    assert step.generation == 3
    assert pin("artifact 1.0.0") == step.documents["meter-reader", "cam-day"].entries[0].artifact.digest


def test_since_says_when_a_release_came_back() -> None:
    """A release that stays keeps its `since`; one that was withdrawn and declared again gets a new one."""
    world = published(plan_for(make_fleet(NEW, OLD), READY), READY)
    world = published(plan_for(make_fleet(OLD), world), world)
    step = plan_for(make_fleet(NEW, OLD), world).actions[0]
    assert isinstance(step, Publish)
    assert [entry.since for entry in step.documents["meter-reader", "cam-day"].entries] == [3, 1]


def seen(counts: Counts) -> Observed:
    """Reports by (release, class): (phase, error code) → devices, all heard at generation 9."""
    tally: Counter[Cell] = Counter()
    for (release, device_class), phases in counts.items():
        for (phase, code), count in phases.items():
            standing = Standing(release, device_class, "", 9, 9, left=False, phase=phase, error_code=code)
            tally.update(dict.fromkeys(cells_of(standing, ()), count))
    return Observed(exposures(tally, {}), dict(tally))


def harmed(failures: int, tried: int, device_class: str = "cam-lowlight") -> Observed:
    """Reports of 1.1.0 in one class."""
    failed = {("rolled-back", "low_confidence"): failures}
    return seen({("meter-reader/1.1.0", device_class): failed | {("healthy", None): tried - failures}})


def test_harm_in_one_class_suspends_everywhere_in_the_same_plan() -> None:
    """The worst class decides; suspension, publication and revert are one plan, in this order."""
    world = published(plan_for(make_fleet(NEW, OLD), READY), READY)
    plan = plan_for(make_fleet(NEW, OLD), replace(world, observed=harmed(8, 9)))
    assert [Suspend, Publish, Revert] == [type(action) for action in plan.actions]
    document = plan.actions[1].documents["meter-reader", "cam-day"]
    assert [entry.version for entry in document.entries] == ["1.0.0"]
    assert [halt.release for halt in document.halted] == ["meter-reader/1.1.0"]
    assert "low_confidence ×8" in plan.actions[0].reason
    assert plan.actions[2].path == "releases/meter-reader/1.1.0.yaml"


def test_too_few_devices_wait() -> None:
    """One failure among one device is not yet a verdict; the plan says what it waits for."""
    world = published(plan_for(make_fleet(NEW, OLD), READY), READY)
    plan = plan_for(make_fleet(NEW, OLD), replace(world, observed=harmed(1, 1)))
    assert plan.actions == ()
    assert any(wait.subject == "meter-reader/1.1.0 in cam-lowlight" for wait in plan.waits)


def test_failures_within_the_limit_hold() -> None:
    """20 % of the devices that tried it is not more than 20 %."""
    world = published(plan_for(make_fleet(NEW, OLD), READY), READY)
    plan = plan_for(make_fleet(NEW, OLD), replace(world, observed=harmed(1, 5)))
    assert plan.actions == ()


def test_devices_that_never_tried_do_not_dilute() -> None:
    """A thousand devices that were offered the release and did not try it change nothing."""
    exposure = Exposure({"rolled-back": 2, "healthy": 1, "offered": 1_000, "downloaded": 500})
    assert (exposure.failures, exposure.tried) == (2, 3)


def test_a_suspension_is_lifted_once_git_says_the_same() -> None:
    """After the revert commit the halt is no longer needed."""
    suspension = Suspension("meter-reader/1.1.0", "why", NOW, "guardrail")
    world = replace(READY, suspensions={"meter-reader/1.1.0": suspension})
    plan = plan_for(make_fleet(OLD), world)
    assert Lift("meter-reader/1.1.0", "git no longer offers it to any device") in plan.actions


def test_never_converge_to_empty() -> None:
    """If the only release that is left is not prepared, what is published stays."""
    world = published(plan_for(make_fleet(OLD), READY), READY)
    plan = plan_for(make_fleet(make_release("1.1.0", ALL)), replace(world, prepared=frozenset()))
    assert [Prepare] == [type(action) for action in plan.actions]
    assert any("left without a model" in wait.reason for wait in plan.waits)


def test_a_failed_build_is_waited_for_with_its_reason() -> None:
    """A release that could not be built is not tried again at once, and blocks no other."""
    world = replace(READY, prepared=frozenset({OLD.pins}), unbuildable={NEW.pins: "differs at quantize"})
    plan = plan_for(make_fleet(NEW, OLD), world)
    step = plan.actions[0]
    assert isinstance(step, Publish)
    assert [entry.version for entry in step.documents["meter-reader", "cam-day"].entries] == ["1.0.0"]
    assert "differs at quantize" in [wait.reason for wait in plan.waits if wait.step == "prepare"]


def test_a_suspension_stays_while_the_release_is_published() -> None:
    """Git says the same already, but the halt could not be published: the brake is not forgotten."""
    world = published(plan_for(make_fleet(NEW, OLD), READY), READY)
    suspended = replace(world, suspensions={NEW.name: Suspension(NEW.name, "why", NOW, "guardrail")})
    plan = plan_for(make_fleet(OLD), suspended)
    assert [Publish] == [type(action) for action in plan.actions]
    after = published(plan, suspended)
    assert [Lift] == [type(action) for action in plan_for(make_fleet(OLD), after).actions]


def test_a_newer_release_does_not_lift_a_suspension() -> None:
    """1.2.0 for everyone hides the suspended 1.1.0; it is reverted all the same, and never offered again."""
    newest = make_release("1.2.0", ALL, supersedes="1.1.0")
    world = replace(
        READY,
        prepared=READY.prepared | {newest.pins},
        suspensions={NEW.name: Suspension(NEW.name, "why", NOW, "guardrail")},
    )
    fleet = make_fleet(newest, NEW, OLD)
    plan = plan_for(fleet, world)
    assert [Publish, Revert] == [type(action) for action in plan.actions]
    harm: Counts = {("meter-reader/1.2.0", "cam-day"): {("failed", None): 6}}
    plan = plan_for(fleet, replace(published(plan, world), observed=seen(harm)))
    step = next(action for action in plan.actions if isinstance(action, Publish))
    assert [entry.version for entry in step.documents["meter-reader", "cam-day"].entries] == ["1.0.0"]


def test_what_comes_on_offer_by_a_halt_is_judged_in_the_same_plan() -> None:
    """1.2.0 hides 1.1.0; when both did harm, one plan suspends both."""
    newest = make_release("1.2.0", ALL, supersedes="1.1.0")
    world = replace(READY, prepared=READY.prepared | {newest.pins})
    observed = seen({(name, "cam-day"): {("failed", None): 6} for name in ("meter-reader/1.2.0", "meter-reader/1.1.0")})
    plan = plan_for(make_fleet(newest, NEW, OLD), replace(world, observed=observed))
    assert {"meter-reader/1.1.0", "meter-reader/1.2.0"} == {a.release for a in plan.actions if isinstance(a, Suspend)}


def test_a_release_that_is_not_prepared_hides_nothing() -> None:
    """1.1.0 for everyone is not built yet: devices without a model still get 1.0.0."""
    plan = plan_for(make_fleet(make_release("1.1.0", ALL), OLD), replace(READY, prepared=frozenset({OLD.pins})))
    step = next(action for action in plan.actions if isinstance(action, Publish))
    assert [entry.version for entry in step.documents["meter-reader", "cam-day"].entries] == ["1.0.0"]


def test_another_release_with_the_same_artifact_is_not_prepared() -> None:
    """That an artifact was rebuilt for one release proves nothing for one that only names its digest."""
    liar = NEW.model_copy(update={"spec": NEW.spec.model_copy(update={"artifact": OLD.spec.artifact})})
    plan = plan_for(make_fleet(liar, OLD), replace(READY, prepared=frozenset({OLD.pins})))
    assert Prepare(NEW.name, OLD.spec.artifact.digest) in plan.actions
    step = next(action for action in plan.actions if isinstance(action, Publish))
    assert [entry.version for entry in step.documents["meter-reader", "cam-day"].entries] == ["1.0.0"]


def test_a_class_that_may_be_empty_can_be_rolled_back_to_nothing() -> None:
    """The declaration says so, and then the document says that nothing is desired."""
    fleet = make_fleet(OLD)
    classes = tuple(make_class(item.metadata.name, may_be_empty=True) for item in fleet.device_classes)
    world = published(plan_for(fleet, READY), READY)
    nobody = OLD.model_copy(update={"spec": OLD.spec.model_copy(update={"rollout": Rollout(cohorts={"fleet": 0})})})
    emptied = replace(make_fleet(nobody), device_classes=classes)
    step = plan_for(emptied, world).actions[0]
    assert isinstance(step, Publish)
    assert step.documents["meter-reader", "cam-day"].entries == ()


def test_an_undeclared_key_does_not_keep_a_halt_from_being_published() -> None:
    """The key file was removed: nothing new is prepared, and harm is halted all the same."""
    world = published(plan_for(make_fleet(NEW, OLD), READY), READY)
    fleet = replace(make_fleet(NEW, OLD), signing_keys=())
    plan = plan_for(fleet, replace(world, observed=harmed(8, 9)))
    assert [Suspend, Publish, Revert] == [type(action) for action in plan.actions]
    assert any("policies/keys" in wait.reason for wait in plan.waits)
