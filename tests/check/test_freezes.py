"""Freezes of the base: what they hold up, until when, who may let it through, and which are refused at load."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fleets import make_class, make_cohort, make_release
from muster.check.case import Case
from muster.check.freeze_complaints import MOST, freeze_complaints
from muster.check.freezes import freeze_verdicts, override_lines
from muster.check.verdict import Verdict
from muster.kinds.freeze import Freeze
from reviewed_cases import approval, make_base, make_case, make_owners, make_tiers, with_releases

OLD = make_release("1.0.0", {"canary": "100%", "fleet": "100%"})
DRAFT = make_release("1.1.0", {})
CANARY = make_release("1.1.0", {"canary": "5%"})
WIDER = make_release("1.1.0", {"canary": "5%", "fleet": "5%"})
# NOW is a Tuesday, noon.
TODAY = {"cron": "0 8 * * TUE", "duration": "10h"}
TONIGHT = {"cron": "0 20 * * *", "duration": "2h"}
PASSED = {"cron": "0 8 * * MON", "duration": "10h"}


def freeze(name: str = "release-party", effect: str = "deny", **spec: Any) -> Freeze:
    """A freeze that rita may override."""
    return Freeze.model_validate_json(
        json.dumps(
            {
                "metadata": {"name": name},
                "spec": {"effect": effect, "reason": "nobody is on call", "overrideOwners": ["rita"], **spec},
            }
        )
    )


def case_of(
    *freezes: Freeze, before: Any = DRAFT, after: Any = CANARY, approvals: Any = (), messages: str = "", **request: Any
) -> Case:
    """A change of one release, under these freezes of the base. `messages`: what its commits say."""
    base = replace(make_base(OLD, owners=make_owners(), policy=make_tiers()), freezes=freezes)
    base = with_releases(base, before)
    return replace(make_case(base, with_releases(base, after), *approvals, **request), messages=messages)


def judged(*freezes: Freeze, **change: Any) -> list[Verdict]:
    """The verdicts on that change."""
    return list(freeze_verdicts(case_of(*freezes, **change)))


def only(verdicts: list[Verdict]) -> Verdict:
    """The one verdict."""
    (found,) = verdicts
    return found


def test_nothing_is_said_where_nothing_is_frozen() -> None:
    """No freeze, or none that is open: no verdict."""
    assert judged() == []
    assert judged(freeze(**PASSED), freeze("night", **TONIGHT)) == []


def test_a_freeze_blocks_until_the_moment_in_which_it_ends() -> None:
    """The verdict names the freeze, its reason, its cohort, and its last moment; then nothing is held up any more."""
    found = only(judged(freeze(**TODAY)))

    assert (found.rule, found.subject, found.outcome, found.blocks) == ("transition/freeze", CANARY.name, "fail", True)
    assert found.lifts_at == "2026-03-10T18:00:00+00:00"
    assert "release-party holds up cohort canary until 2026-03-10 18:00 UTC: nobody is on call" in found.message
    assert "Freeze-Override: release-party: <why>" in found.hint
    at_the_end = datetime(2026, 3, 10, 18, tzinfo=UTC)
    assert judged(freeze(**TODAY), now=at_the_end) == []
    assert judged(freeze(**TODAY), now=at_the_end - timedelta(microseconds=1)) != []


def test_outside_of_an_allowed_window_nothing_moves() -> None:
    """It lifts when the next one begins."""
    found = only(judged(freeze("night", "allow", **TONIGHT)))

    assert (found.outcome, found.lifts_at) == ("fail", "2026-03-10T20:00:00+00:00")
    assert judged(freeze("day", "allow", **TODAY)) == []


def test_one_open_window_of_several_is_enough() -> None:
    """Allowed windows add up."""
    assert judged(freeze("night", "allow", **TONIGHT), freeze("day", "allow", **TODAY)) == []


def test_deny_beats_allow() -> None:
    """While both are open nothing moves; and it lifts when the denial has ended and a window is open."""
    day, party = freeze("day", "allow", **TODAY), freeze(**TODAY)

    found = only(judged(day, party))

    # The allowed window of today ends with the freeze; the next one, a week later, begins with the next freeze.
    assert (found.outcome, found.lifts_at) == ("fail", None)
    assert "with no end in sight" in found.message
    tonight = only(judged(day, freeze("night", "allow", **TONIGHT), party))
    assert tonight.lifts_at == "2026-03-10T20:00:00+00:00"


def test_freezes_one_after_the_other_lift_with_the_last() -> None:
    """The moment is that in which nothing freezes it any more, over several freezes."""
    found = judged(freeze(**TODAY), freeze("evening", cron="30 17 * * *", duration="3h"))

    assert [verdict.lifts_at for verdict in found] == ["2026-03-10T20:30:00+00:00"]


@pytest.mark.parametrize(
    ("name", "scope", "frozen"),
    [
        ("all", {}, True),
        ("this model", {"models": ["meter-reader"]}, True),
        ("another model", {"models": ["face-finder"]}, False),
        ("this cohort", {"cohorts": ["canary"]}, True),
        ("another cohort", {"cohorts": ["fleet"]}, False),
        ("both", {"cohorts": ["canary"], "models": ["meter-reader"]}, True),
    ],
)
def test_a_freeze_means_its_models_and_cohorts(name: str, scope: dict[str, Any], frozen: bool) -> None:
    """Only what goes forward in these."""
    assert bool(judged(freeze(**TODAY, **scope))) is frozen, name


def test_only_what_goes_forward_is_held_up() -> None:
    """A cohort that keeps its share is not named; a release that is only added is not held up."""
    found = only(judged(freeze(**TODAY, cohorts=["canary", "fleet"]), before=CANARY, after=WIDER))

    assert "cohort fleet " in found.message
    assert judged(freeze(**TODAY, cohorts=["canary"]), before=CANARY, after=WIDER) == []
    assert judged(freeze(**TODAY), after=make_release("1.2.0", {})) == []


def test_other_devices_at_the_same_share_go_forward() -> None:
    """A new salt draws others."""
    rollout = CANARY.spec.rollout.model_copy(update={"salt": "sticky/other"})
    salted = CANARY.model_copy(update={"spec": CANARY.spec.model_copy(update={"rollout": rollout})})

    assert only(judged(freeze(**TODAY), before=CANARY, after=salted)).outcome == "fail"


def test_a_rollback_passes_and_says_so() -> None:
    """Through the strictest freeze there is; with the verdict on record."""
    found = only(judged(freeze(**TODAY), before=WIDER, after=CANARY))

    assert (found.outcome, found.blocks) == ("pass", False)
    assert "only takes devices back" in found.message


def test_a_rollback_takes_nothing_forward_with_it() -> None:
    """One release back and another one forward is no rollback."""
    base = replace(make_base(OLD, WIDER, owners=make_owners()), freezes=(freeze(**TODAY),))
    head = with_releases(base, DRAFT, make_release("1.2.0", {"canary": "5%"}))

    found = only(list(freeze_verdicts(make_case(base, head))))

    assert (found.subject, found.outcome) == ("meter-reader/1.2.0", "fail")


def test_the_freezes_of_the_head_count_for_nothing() -> None:
    """One that the change takes away still holds, one that it brings does not yet."""
    case = case_of(freeze(**TODAY))
    away = replace(case, change=replace(case.change, head=replace(case.change.head, freezes=())))
    assert only(list(freeze_verdicts(away))).outcome == "fail"

    brought = case_of()
    head = replace(brought.change.head, freezes=(freeze(**TODAY),))
    brought = replace(brought, change=replace(brought.change, head=head))
    assert list(freeze_verdicts(brought)) == []


def test_changed_cohorts_are_held_up() -> None:
    """They move devices of every model on offer, in ways that no percentage shows."""
    base = replace(make_base(OLD, CANARY, owners=make_owners()), freezes=(freeze(**TODAY, cohorts=["fleet"]),))
    everyone = replace(base, cohorts=(make_cohort("canary", 1), make_cohort("fleet", 2)))
    renamed = replace(base, cohorts=tuple(cohort.model_copy(deep=True) for cohort in base.cohorts))

    found = only(list(freeze_verdicts(make_case(base, everyone))))

    assert (found.subject, found.outcome) == ("devices/cohorts/canary.yaml", "fail")
    assert list(freeze_verdicts(make_case(base, renamed))) == []


def test_a_class_that_takes_up_a_model_is_held_up() -> None:
    """Its devices would get what is on offer."""
    head = replace(make_base(OLD, owners=make_owners()), freezes=(freeze(**TODAY),))
    idle = make_class("cam-day")
    idle = idle.model_copy(update={"spec": idle.spec.model_copy(update={"models": ("other",)})})
    base = replace(head, device_classes=(idle, make_class("cam-lowlight")))

    assert {found.subject for found in freeze_verdicts(make_case(base, head))} == {"devices/classes/cam-day.yaml"}
    assert list(freeze_verdicts(make_case(head, base))) == []


WHY = "Freeze-Override: release-party: the meters read zero since noon"


@pytest.mark.parametrize(
    ("name", "approvals", "messages", "outcome"),
    [
        ("nobody", (), "", "fail"),
        ("its owner, of the freeze", (approval("rita", "freeze/release-party"),), "", "pass"),
        ("its owner, of the change", ("rita",), "", "fail"),
        ("its owner, of the change, with the line", ("rita",), WHY, "pass"),
        ("the line alone", (), WHY, "fail"),
        ("somebody else", ("sam", approval("sam", "freeze/release-party")), WHY, "fail"),
        ("of another freeze", (approval("rita", "freeze/other"),), "", "fail"),
        ("another freeze named", ("rita",), WHY.replace("release-party", "other"), "fail"),
        ("an older head", (approval("rita", "freeze/release-party", commit="a" * 40),), WHY, "fail"),
        ("no reason", ("rita",), "Freeze-Override: release-party:", "fail"),
        ("in a comment", ("rita",), f"<!--\n{WHY}\n-->", "fail"),
        ("in code", ("rita",), f"```\n{WHY}\n```", "fail"),
        ("twice", ("rita",), f"{WHY}\n{WHY}", "fail"),
        ("with what does not show", ("rita",), WHY.replace("zero", "ze\u202ero"), "fail"),
    ],
)
def test_an_override_needs_its_owner(name: str, approvals: Any, messages: str, outcome: str) -> None:
    """One of the freeze's owners, for exactly this head, and a reason or an approval of just that."""
    assert only(judged(freeze(**TODAY), approvals=approvals, messages=messages)).outcome == outcome, name


def test_the_text_of_a_pull_request_overrides_nothing() -> None:
    """It can be changed after the owner approved; what a commit says cannot."""
    assert only(judged(freeze(**TODAY), approvals=("rita",), body=WHY)).outcome == "fail"


def test_an_override_is_recorded() -> None:
    """Who and why stand in the verdict."""
    found = only(judged(freeze(**TODAY), approvals=("rita",), messages=f"Please.\n\n{WHY}\n"))

    assert found.message == "the freeze release-party is overridden by rita: the meters read zero since noon"
    assert found.lifts_at is None


def test_who_wrote_it_does_not_let_it_through() -> None:
    """An owner of the freeze who is the author is one too few."""
    found = only(judged(freeze(**TODAY), approvals=(approval("rita", "freeze/release-party"),), author="rita"))

    assert found.outcome == "fail"


def test_one_override_lifts_one_freeze() -> None:
    """Another freeze of the same time still holds; of allowed windows, one is enough."""
    said = (approval("rita", "freeze/release-party"),)
    both = judged(freeze(**TODAY), freeze("audit", **TODAY), approvals=said)
    assert {found.message.split()[2]: found.outcome for found in both} == {"release-party": "pass", "audit": "fail"}

    shut = judged(freeze("release-party", "allow", **TONIGHT), freeze("weekend", "allow", **PASSED), approvals=said)
    assert only(shut).outcome == "pass"


def test_a_freeze_without_owners_is_overridden_by_nobody() -> None:
    """And says so."""
    found = only(judged(freeze(**TODAY, overrideOwners=[]), approvals=("rita",), messages=WHY))

    assert found.outcome == "fail"
    assert "nobody may override it" in found.hint


def test_a_freeze_that_cannot_be_read_stops_the_change() -> None:
    """A base from before the schedule was checked: an error, never a pass."""
    found = only(judged(freeze(cron="99 * * * *", duration="1h")))

    assert (found.outcome, found.blocks) == ("error", True)


def test_a_long_body_says_nothing() -> None:
    """It is not read at all."""
    assert override_lines("x" * 100_000 + "\n\n" + WHY)[0] == {}


@pytest.mark.parametrize(
    ("name", "spec", "field"),
    [
        ("both", {"cron": "0 8 * * *", "rrule": "FREQ=DAILY", "start": "2026-01-01T00:00"}, ["effect"]),
        ("neither", {}, ["effect"]),
        ("no start", {"rrule": "FREQ=DAILY"}, ["rrule"]),
        ("cron with a start", {"cron": "0 8 * * *", "start": "2026-01-01T00:00"}, ["start"]),
        ("zone", {"cron": "0 8 * * *", "timeZone": "Europe/Atlantis"}, ["timeZone"]),
        ("a start that is no day", {"rrule": "FREQ=DAILY", "start": "2026-02-30T00:00"}, ["start"]),
        ("cron", {"cron": "0 25 * * *"}, ["cron"]),
        ("rrule", {"rrule": "FREQ=SECONDLY", "start": "2026-01-01T00:00"}, ["rrule"]),
        ("no duration", {"cron": "0 8 * * *", "duration": "0s"}, ["duration"]),
        ("longer than a year", {"cron": "0 8 * * *", "duration": "367d"}, ["duration"]),
        ("cohort", {"cron": "0 8 * * *", "cohorts": ["canary", "carnary"]}, ["cohorts"]),
        ("model", {"cron": "0 8 * * *", "models": ["meter-raeder"]}, ["models"]),
        ("right", {"cron": "0 8 * * *", "timeZone": "Europe/Berlin", "cohorts": ["canary"]}, []),
    ],
)
def test_a_wrong_freeze_is_refused_at_load(name: str, spec: dict[str, Any], field: list[str]) -> None:
    """With the field that is wrong."""
    declared = {"policies/freezes/release-party.yaml": freeze(**{"duration": "1h", **spec})}

    found = list(freeze_complaints(declared, {"canary", "fleet"}, {"meter-reader"}))

    assert [complaint.pointer.path[1] for complaint in found] == field, name


def test_the_number_of_freezes_has_a_bound() -> None:
    """Ten thousand freezes are one complaint more, and no more work than a hundred."""
    wrong = freeze(cron="0 25 * * *", duration="1h")

    found = list(freeze_complaints({f"policies/freezes/f{n}.yaml": wrong for n in range(10_000)}, set(), set()))

    assert len(found) == MOST + 1
