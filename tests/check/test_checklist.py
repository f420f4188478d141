"""checklist: each item is answered by what it says, and by nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fleets import MODEL, make_release
from muster.check.case import Case
from muster.check.checklist import checklist_files, checklist_verdicts
from muster.check.readiness import AREAS, checklist_complaints
from muster.check.verdict import Verdict, Waived
from muster.kinds.checklist import Checklist
from muster.source.load import Loader
from reviewed_cases import OLDER, approval, make_base, make_case, make_owners, make_tiers, with_releases

ROOT = Path(__file__).resolve().parents[2]
RELEASE = f"{MODEL}/1.1.0"
NEW = make_release("1.1.0", {"canary": "5%"}, supersedes="1.0.0")
ASKS = make_tiers(production={"checklist": True})
GATE = {"gate": "accuracy"}
FILE = {"file": "docs/reviews/*/*.md"}
REVIEW = f"docs/reviews/{MODEL}/1.1.0.md"
APPROVAL = {"approval": "security"}
PASS = Verdict("gate/accuracy", RELEASE, "pass", "0.99", tier="production", gate="kept")


def make_checklist(*answers: dict[str, str], **item: Any) -> Checklist:
    """Items item-0, item-1 ... with these answers."""
    items = [
        {
            "name": f"item-{number}",
            "area": "security-review",
            "statement": "It is so",
            "stage": "release",
            "role": "security",
            "tiers": ["production", "regulated"],
            "answeredBy": answer,
            **item,
        }
        for number, answer in enumerate(answers)
    ]
    return Checklist.model_validate({"metadata": {"name": "checklist"}, "spec": {"items": items}})


def listed_case(answer: dict[str, str], *approvals, policy=ASKS, files=None, item=None, **request) -> Case:
    """A release is added to a fleet whose checklist has one item."""
    base = make_base(owners=make_owners(), policy=policy, checklist=make_checklist(answer, **(item or {})))
    return replace(make_case(base, with_releases(base, NEW), *approvals, **request), files=files or {})


def only(case: Case, *gates: Verdict) -> Verdict:
    """The verdict on the item."""
    (verdict,) = checklist_verdicts(case, gates)
    assert (verdict.rule, verdict.subject, verdict.tier) == ("checklist/item-0", RELEASE, "production")
    return verdict


BY_GATE = {
    "all of its verdicts hold": ((PASS, replace(PASS, slice="dim")), "pass", False),
    "one does not": ((PASS, replace(PASS, outcome="fail")), "fail", True),
    "one could not be measured": ((PASS, replace(PASS, outcome="error")), "error", True),
    "one is undecided": ((PASS, replace(PASS, outcome="inconclusive")), "inconclusive", True),
    "the worst counts": ((replace(PASS, outcome="inconclusive"), replace(PASS, outcome="fail")), "fail", True),
    "no gate was asked": ((), "fail", True),
    "another gate holds": ((replace(PASS, rule="gate/robustness"),), "fail", True),
    "it holds for another release": ((replace(PASS, subject=f"{MODEL}/1.0.0"),), "fail", True),
    "a gate that warns": ((replace(PASS, outcome="fail", severity="warn"),), "fail", False),
    "a gate that warns beside one that blocks": (
        (replace(PASS, outcome="fail", severity="warn"), replace(PASS, outcome="inconclusive")),
        "fail",
        True,
    ),
}


@pytest.mark.parametrize(("gates", "outcome", "blocks"), BY_GATE.values(), ids=BY_GATE.keys())
def test_answered_by_a_gate(gates, outcome, blocks):
    """Every verdict of the gate on the release must hold; without one, the item fails."""
    verdict = only(listed_case(GATE), *gates)
    assert (outcome, blocks) == (verdict.outcome, verdict.blocks)


def test_a_gate_is_never_ticked_by_hand():
    """An approval of an item that a gate answers changes nothing, and is told."""
    verdict = only(listed_case(GATE, approval("sam", "checklist/item-0")), replace(PASS, outcome="fail"))
    assert verdict.outcome == "fail"
    assert "ticked by sam, which does not count" in verdict.message


def test_a_waived_gate_carries_over():
    """What a waiver hides is shown in the checklist as well, and does not block."""
    waived = replace(PASS, outcome="fail", waived=Waived("w", "sam", "why", "2026-03-31"))
    verdict = only(listed_case(GATE), waived)
    assert ("fail", waived.waived, False) == (verdict.outcome, verdict.waived, verdict.blocks)
    assert only(listed_case(GATE), waived, replace(PASS, outcome="fail")).blocks


@pytest.mark.parametrize(
    ("files", "outcome"),
    [({REVIEW: "seen"}, "pass"), ({REVIEW: " \n"}, "fail"), ({REVIEW: None}, "fail"), ({}, "fail"),
     ({f"docs/reviews/{MODEL}/1.0.0.md": "seen"}, "fail")],
    ids=["there", "blank", "unreadable", "absent", "of another release"],
)  # fmt: skip
def test_answered_by_a_file(files, outcome):
    """The file of this model and this version stands at the head and says something."""
    assert only(listed_case(FILE, files=files)).outcome == outcome


def test_files_that_are_looked_for():
    """The first star is the model, the second the version."""
    checklist = make_checklist(FILE, {"file": "docs/support.md"}, GATE)
    assert checklist_files(checklist, [NEW]) == (REVIEW, "docs/support.md")
    assert checklist_files(None, [NEW]) == ()


TICK = "checklist/item-0"
BY_APPROVAL = {
    "of the item by the role": (listed_case(APPROVAL, approval("sam", TICK)), "pass"),
    "of the change": (listed_case(APPROVAL, "sam"), "fail"),
    "of another item": (listed_case(APPROVAL, approval("sam", "checklist/item-1")), "fail"),
    "by another role": (listed_case(APPROVAL, approval("ada", TICK)), "fail"),
    "by the author": (listed_case(APPROVAL, approval("sam", TICK), author="sam"), "fail"),
    "of an older head": (listed_case(APPROVAL, approval("sam", TICK, commit=OLDER)), "fail"),
    "nobody was asked": (listed_case(APPROVAL, approval("sam", TICK), forge=""), "inconclusive"),
}


@pytest.mark.parametrize(("case", "outcome"), BY_APPROVAL.values(), ids=BY_APPROVAL.keys())
def test_answered_by_an_approval(case, outcome):
    """Of this very item, at this head, by somebody of the role who did not write the change."""
    verdict = only(case)
    assert (outcome, outcome != "pass") == (verdict.outcome, verdict.blocks)


def test_post_release_items_are_shown_and_do_not_block():
    """They are due later; done early they count."""
    later = {"stage": "post-release"}
    verdict = only(listed_case(APPROVAL, item=later))
    assert (verdict.outcome, verdict.blocks) == ("inconclusive", False)
    assert "due after the release" in verdict.message
    assert only(listed_case(APPROVAL, approval("sam", TICK), item=later)).outcome == "pass"


def test_only_where_the_tier_asks():
    """A tier without a checklist has none; items of other tiers are not asked."""
    assert list(checklist_verdicts(listed_case(GATE, policy=make_tiers()), ())) == []
    assert list(checklist_verdicts(listed_case(GATE, item={"tiers": ["regulated"]}), ())) == []


def test_the_base_has_the_list():
    """An item that the head drops is still asked; a list that only the head has counts for nothing."""
    case = listed_case(GATE)
    gone = replace(case.change, head=replace(case.change.head, checklist=None))
    assert only(replace(case, change=gone)).outcome == "fail"
    base = make_base(owners=make_owners(), policy=ASKS)
    head = replace(with_releases(base, NEW), checklist=make_checklist(FILE))
    (verdict,) = checklist_verdicts(make_case(base, head), ())
    assert (verdict.rule, verdict.outcome, verdict.blocks) == ("checklist/declared", "fail", True)


def test_a_lowered_tier_keeps_the_list():
    """To call a release research does not spare it the checklist of its model."""
    base = make_base(owners=make_owners(), policy=ASKS, checklist=make_checklist(GATE))
    lower = make_release("1.1.0", {"canary": "5%"}, supersedes="1.0.0", tier="research")
    assert only(make_case(base, with_releases(base, lower))).outcome == "fail"
    assert list(checklist_verdicts(make_case(base, with_releases(base, lower), "pia"), ())) == []


def complaints(*items: tuple[str, dict[str, str]], policy=None) -> list[tuple[str, str]]:
    """(rule, severity) of what is said at load about a list with these (area, answer)."""
    data = make_checklist(*(answer for _, answer in items)).model_dump(mode="json", by_alias=True)
    for item, (area, _) in zip(data["spec"]["items"], items, strict=True):
        item["area"] = area
    checklist = Checklist.model_validate(data)
    policies = {"policies/default.yaml": policy} if policy else {}
    return [
        (one.rule, str(one.pointer.path[-1]))
        for one in checklist_complaints("policies/checklist.yaml", checklist, policies)
    ]


WHOLE = [(area, FILE) for area in AREAS]


LISTS = {
    "all eleven areas": (WHOLE, []),
    "one area is missing": (WHOLE[1:], [("checklist", "items")]),
    "answered by nothing": ([*WHOLE, ("rollout-plan", {})], [("checklist", "answeredBy")]),
    "answered by two": ([*WHOLE, ("rollout-plan", GATE | FILE)], [("checklist", "answeredBy")]),
    "any file answers": ([*WHOLE, ("rollout-plan", {"file": "docs/**"})], [("checklist", "file")]),
    "too many stars": ([*WHOLE, ("rollout-plan", {"file": "docs/*/*/*"})], [("checklist", "file")]),
}


@pytest.mark.parametrize(("items", "expected"), LISTS.values(), ids=LISTS.keys())
def test_complaints_at_load(items, expected):
    """A list that leaves out an area, or an item that cannot be answered in one way, does not load."""
    assert len(AREAS) == 11
    assert complaints(*items) == expected


def test_duplicate_items_are_complained_of():
    """Approvals are of an item's name, so names are unique."""
    data = make_checklist(*(FILE for _ in AREAS)).model_dump(mode="json", by_alias=True)
    for item, area in zip(data["spec"]["items"], AREAS, strict=True):
        item |= {"area": area, "name": "same" if area in AREAS[:2] else item["name"]}
    found = list(checklist_complaints("policies/checklist.yaml", Checklist.model_validate(data), {}))
    assert [(one.rule, one.pointer.path) for one in found] == [("duplicate", ("spec", "items", 1, "name"))]


def test_an_item_that_no_gate_of_the_tier_answers():
    """Whoever turns the checklist on learns at once which gate is missing."""
    items = [*WHOLE, ("rollout-plan", GATE)]
    gate = {"name": "kept", "metric": "accuracy", "comparator": ">=", "threshold": "0.9"}
    assert complaints(*items, policy=ASKS) == [("checklist", "gate")]
    assert complaints(*items, policy=make_tiers()) == []
    assert complaints(*items, policy=make_tiers(production={"checklist": True, "gates": [gate]})) == []


def test_the_list_of_this_repository_is_whole():
    """It loads, and asks about all areas."""
    fleet = Loader().work_tree(ROOT).fleet_or_refuse("this repository")
    assert fleet.checklist is not None
    assert {item.area for item in fleet.checklist.spec.items} == set(AREAS)
