"""Transitions: which step a release may take, and after what."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleets import make_cohort, make_release
from muster.check.case import Case
from muster.check.transitions import transition_verdicts
from muster.kinds.field_state import FieldState, GuardrailFact
from muster.kinds.fleet import Fleet
from muster.kinds.quantity import PPM, parse_percent
from muster.kinds.release import Release
from reviewed_cases import NOW, make_base, make_case, make_owners, with_releases
from transition_cases import (
    DAY,
    EVERYONE,
    GUARDRAIL,
    OLD,
    STEPS,
    case_of,
    field,
    judged,
    outcomes,
    policy,
    release,
    since,
)


@pytest.mark.parametrize(
    ("name", "before", "after", "outcome"),
    [
        ("the first step", "0%", "5%", "pass"),
        ("below the first", "0%", "1%", "fail"),
        ("the second at once", "0%", "25%", "fail"),
        ("all at once", "0%", "100%", "fail"),
        ("the next", "5%", "25%", "pass"),
        ("one skipped", "5%", "50%", "fail"),
        ("between two", "5%", "10%", "fail"),
        ("from between two, the next", "10%", "25%", "pass"),
        ("from between two, one skipped", "10%", "50%", "fail"),
        ("the last", "50%", "100%", "pass"),
        ("almost the last", "50%", "99.9999%", "fail"),
    ],
)
def test_percentages_move_one_step(name: str, before: str, after: str, outcome: str) -> None:
    """To the smallest declared step above where the cohort is, and to nothing else."""
    assert outcomes(case_of(release(before), release(after)), "step") == [outcome], name


def _at(ppm: int) -> Release:
    made = release()
    rollout = made.spec.rollout.model_copy(update={"cohorts": {"canary": ppm}})
    return made.model_copy(update={"spec": made.spec.model_copy(update={"rollout": rollout})})


@given(st.integers(0, PPM), st.integers(0, PPM))
def test_no_change_gets_past_a_step(before: int, after: int) -> None:
    """Whatever the percentages: more than before, and allowed, means exactly one step on."""
    steps = [parse_percent(step) for step in STEPS]
    old, new = (_at(share) for share in (before, after))

    found = outcomes(case_of(old, new), "step")

    if after > before:
        assert found == ["pass" if after == min((s for s in steps if s > before), default=None) else "fail"]
    else:
        assert "fail" not in found


def test_the_tier_of_the_base_gives_the_steps() -> None:
    """Steps that the head declares count for nothing."""
    case = case_of(release("5%"), release("100%"))
    lenient = replace(case.change.head, policies=(policy(steps=["5%", "100%"]),))

    assert outcomes(replace(case, change=replace(case.change, head=lenient)), "step") == ["fail"]


def test_a_first_release_may_go_everywhere_at_once() -> None:
    """Where devices have no other release of the model to lose; and the verdict says so."""
    other = make_release("1.0.0", {})
    found = judged(case_of(None, release("100%", "100%"), other), "step")

    assert [verdict.outcome for verdict in found] == ["pass", "pass"]
    assert "no other release" in found[0].message
    assert outcomes(case_of(None, release("100%", "100%"), other), "order") == []
    assert outcomes(case_of(None, release("30%"), other), "step") == ["fail"]


def test_other_devices_start_at_the_first_step() -> None:
    """A new salt at 50 % gives it to devices that never had it; at 100 % to nobody."""

    def salted(share: str) -> Release:
        made = release(share, share)
        rollout = made.spec.rollout.model_copy(update={"salt": "sticky/x"})
        return made.model_copy(update={"spec": made.spec.model_copy(update={"rollout": rollout})})

    assert outcomes(case_of(release("50%", "50%"), salted("50%")), "step") == ["fail", "fail"]
    assert outcomes(case_of(release("5%", "5%"), salted("5%")), "step") == ["pass", "pass"]
    assert outcomes(case_of(release("100%", "100%"), salted("100%")), "step") == []


def test_a_new_cohort_begins_with_what_its_devices_have() -> None:
    """Splitting a cohort is no step; giving its part more is one."""
    eu = make_cohort("eu", 0, region="eu")

    def split(share: str) -> Case:
        base = make_base(OLD, release("100%", "100%"), owners=make_owners(), policy=policy())
        after = make_release("1.1.0", {"canary": "100%", "fleet": "100%", "eu": share})
        head = with_releases(base, after, make_release("1.0.0", {**EVERYONE, "eu": "100%"}))
        return make_case(base, replace(head, cohorts=(eu, *base.cohorts)))

    assert outcomes(split("100%"), "step") == []
    base = make_base(OLD, release("5%", "5%"), owners=make_owners(), policy=policy())
    head = with_releases(base, make_release("1.1.0", {"canary": "5%", "fleet": "5%", "eu": "100%"}))
    assert outcomes(make_case(base, replace(head, cohorts=(eu, *base.cohorts))), "step") == ["fail"]


def test_cohorts_stay_as_they_are_during_a_rollout() -> None:
    """A selector that changes while canary is ahead lets devices skip steps; afterwards, and before, it may."""

    def regrouped(base: Fleet) -> Case:
        return make_case(base, replace(base, cohorts=(make_cohort("canary", 1), make_cohort("fleet", 2))))

    under_way = make_base(OLD, release("50%"), owners=make_owners(), policy=policy())
    found = judged(regrouped(under_way), "step")
    assert [(one.subject, one.outcome, one.blocks) for one in found] == [("devices/cohorts/canary.yaml", "fail", True)]

    everywhere = make_base(OLD, release("100%", "100%"), owners=make_owners(), policy=policy())
    assert outcomes(regrouped(everywhere), "step") == []


@pytest.mark.parametrize(
    ("name", "before", "after", "count"),
    [
        ("canary first", ("0%", "0%"), ("5%", "0%"), 0),
        ("fleet without canary", ("0%", "0%"), ("0%", "5%"), 1),
        ("both at once", ("0%", "0%"), ("5%", "5%"), 1),
        ("fleet follows", ("5%", "0%"), ("5%", "5%"), 0),
        ("fleet follows while canary goes on", ("5%", "5%"), ("25%", "25%"), 0),
        ("fleet overtakes", ("5%", "5%"), ("5%", "25%"), 1),
    ],
)
def test_earlier_cohorts_go_first(name: str, before: Any, after: Any, count: int) -> None:
    """From production on; research has no canary."""
    assert outcomes(case_of(release(*before), release(*after)), "order") == ["fail"] * count, name
    research = case_of(
        release(*before, tier="research"),
        release(*after, tier="research"),
        make_release("1.0.0", EVERYONE, tier="research"),
    )
    assert outcomes(research, "order") == []


@pytest.mark.parametrize("asked", ["controller", "git"])
@pytest.mark.parametrize(
    ("name", "age", "outcome"),
    [
        ("just before", DAY - timedelta(seconds=1), "fail"),
        ("to the second", DAY, "pass"),
        ("long ago", 30 * DAY, "pass"),
        ("to come", -DAY, "inconclusive"),
    ],
)
def test_a_step_needs_the_soak_of_the_one_before(asked: str, name: str, age: timedelta, outcome: str) -> None:
    """Counted by what was published, or by git where no controller was asked; with the moment in which it ends."""
    steps = {"canary": ("5%", age)}
    more: dict[str, Any] = {"controller": field(steps)} if asked == "controller" else {"declared": since(**steps)}

    (found,) = judged(case_of(release("5%"), release("25%"), **more), "soak")

    assert found.outcome == outcome, name
    assert ("published since" if asked == "controller" else "declared in git since") in found.message
    assert found.lifts_at == ((NOW - age + DAY).isoformat() if outcome == "fail" else None)


def test_what_was_not_published_has_not_begun_to_soak() -> None:
    """Another percentage, or none, at the controller; or no word in git: nobody can tell."""
    for controller in (field({"canary": ("50%", 9 * DAY)}), field()):
        more = {"controller": controller, "declared": since(canary=("5%", 9 * DAY))}
        assert outcomes(case_of(release("5%"), release("25%"), **more), "soak") == ["inconclusive"]
    declared = since(canary=("50%", 9 * DAY))
    assert outcomes(case_of(release("5%"), release("25%"), declared=declared), "soak") == ["inconclusive"]


def test_the_next_cohort_waits_for_the_canary() -> None:
    """The step before the first one of the fleet is the last one of the canary."""
    fresh = case_of(release("5%"), release("5%", "5%"), declared=since(canary=("5%", timedelta(hours=1))))
    soaked = case_of(release("5%"), release("5%", "5%"), declared=since(canary=("5%", DAY)))

    assert (outcomes(fresh, "soak"), outcomes(soaked, "soak")) == (["fail"], ["pass"])
    assert outcomes(case_of(release(), release("5%")), "soak") == []


def test_a_soak_that_never_ends_is_no_traceback() -> None:
    """Longer than any date."""
    (found,) = judged(
        case_of(release("5%"), release("25%"), rules=policy(soak="999999999d"), declared=since(canary=("5%", DAY))),
        "soak",
    )

    assert (found.outcome, found.lifts_at) == ("fail", None)


def fact(outcome: Any, name: str = "cam-day") -> GuardrailFact:
    """A guardrail's verdict."""
    return GuardrailFact(name, "failures", outcome, "3 of 100 devices failed")


GUARDED = policy(guardrails=[GUARDRAIL])


@pytest.mark.parametrize(
    ("name", "controller", "expected"),
    [
        ("no controller", None, ["inconclusive"]),
        ("both hold", field(facts=[fact("no-worse"), fact("no-worse", "cam-lowlight")]), ["pass", "pass"]),
        ("harm in one", field(facts=[fact("harm"), fact("no-worse", "cam-lowlight")]), ["fail", "pass"]),
        ("one undecided", field(facts=[fact("undecided"), fact("no-worse", "cam-lowlight")]), ["inconclusive", "pass"]),
        ("one unknown", field(facts=[fact("no-worse")]), ["pass", "inconclusive"]),
        ("no devices", field(devices=0), []),
        ("harm in a class that is empty now", field(facts=[fact("harm")], devices=0), ["fail"]),
        (
            "suspended",
            field(facts=[fact("no-worse"), fact("no-worse", "cam-lowlight")], suspended=["meter-reader/1.1.0"]),
            ["fail", "pass", "pass"],
        ),
    ],
)
def test_guardrails_must_hold(name: str, controller: FieldState | None, expected: list[str]) -> None:
    """By the controller's verdicts, in every class that has devices with the release."""
    case = case_of(release("5%"), release("25%"), rules=GUARDED, controller=controller)

    assert outcomes(case, "guardrails") == expected, name


def test_an_empty_canary_proves_nothing() -> None:
    """A cohort that selects no device would let everything on to those that do."""
    devices = {(name, "fleet"): 100 for name in ("cam-day", "cam-lowlight")}
    controller = replace(field(), devices=devices)
    case = case_of(release("100%"), release("100%", "5%"), rules=GUARDED, controller=controller)

    assert outcomes(case, "guardrails") == ["inconclusive"]


@pytest.mark.parametrize(("tier", "blocks"), [("research", False), ("production", True), ("regulated", True)])
def test_without_a_controller_nobody_can_tell(tier: str, blocks: bool) -> None:
    """That blocks production and up, and warns below."""
    old = make_release("1.0.0", EVERYONE, tier=tier)
    case = case_of(release("5%", tier=tier), release("25%", tier=tier), old, rules=GUARDED)

    (found,) = judged(case, "guardrails")

    assert (found.outcome, found.blocks, found.warns) == ("inconclusive", blocks, not blocks)


def test_a_new_release_has_no_guardrails_to_hold_yet() -> None:
    """Nobody could have tried it; but one that is suspended, or did harm before, stays where it is."""
    assert outcomes(case_of(release(), release("5%"), rules=GUARDED), "guardrails") == []
    assert outcomes(case_of(release(), release("5%"), rules=GUARDED, controller=field()), "guardrails") == []
    harmed = field(facts=[fact("harm")], suspended=["meter-reader/1.1.0"])
    assert outcomes(case_of(release(), release("5%"), rules=GUARDED, controller=harmed), "guardrails") == ["fail"] * 2


def test_a_rollback_skips_steps_and_soak_and_says_so() -> None:
    """Down by any amount, at once, without a controller, without evidence."""
    rules = policy(guardrails=[GUARDRAIL], deployable=2, rehearsedWithin="30d")
    found = list(transition_verdicts(case_of(release("100%", "50%"), release("7%"), rules=rules)))

    assert [(one.rule, one.outcome) for one in found] == [("transition/step", "pass")]
    assert "skipped on purpose" in found[0].message


def test_a_change_without_transitions_says_nothing() -> None:
    """A release that is only added, a file that is only edited."""
    assert list(transition_verdicts(case_of(None, release()))) == []
