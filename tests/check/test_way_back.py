"""The way back: releases that stay deployable, and rollbacks that were rehearsed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from fleets import make_class, make_release
from muster.check.case import Case
from muster.kinds.evidence import REHEARSAL, Evidence
from muster.kinds.policy import Policy
from muster.kinds.release import Release
from reviewed_cases import NOW, make_base, make_case, make_owners
from transition_cases import (
    DAY,
    EVERYONE,
    OLD,
    case_of,
    field,
    judged,
    outcomes,
    policy,
    release,
)

OLDER = make_release("0.9.0", {}, supersedes=None)
OLDEST = make_release("0.8.0", {})
TWO_BACK = policy(deployable=2)


def way_back(*others: Release, stored: Sequence[Release] | None = None, rules: Policy = TWO_BACK) -> Case:
    """1.1.0 takes its first step."""
    controller = None if stored is None else field(stored=stored)
    return case_of(release(), release("5%"), *others, rules=rules, controller=controller)


def test_the_last_releases_stay_deployable() -> None:
    """As many as the tier asks for, of production and above; their artifacts at hand."""
    everything = (OLD, OLDER, OLDEST)
    found = judged(way_back(*everything, stored=[OLD]), "deployable")

    assert [(one.subject, one.outcome) for one in found] == [
        ("meter-reader/1.0.0", "pass"),
        ("meter-reader/0.9.0", "fail"),
    ]
    assert "muster build releases/meter-reader/0.9.0.yaml" in found[1].hint
    assert outcomes(way_back(*everything, stored=[OLD, OLDER]), "deployable") == ["pass", "pass"]
    assert outcomes(way_back(*everything), "deployable") == ["inconclusive", "inconclusive"]
    assert outcomes(way_back(*everything, stored=[], rules=policy()), "deployable") == []
    draft = make_release("0.9.5", {}, tier="research")
    assert {one.subject for one in judged(way_back(OLD, draft, stored=[OLD]), "deployable")} == {OLD.name}


def test_a_class_that_moved_on_cannot_go_back() -> None:
    """A newer runtime on the class, or no class in common, leaves no way back, whatever is stored."""
    elsewhere = make_release("1.0.0", EVERYONE, classes=("cam-old",))
    assert outcomes(way_back(elsewhere, stored=[elsewhere]), "deployable") == ["fail"]

    case = way_back(OLD, stored=[OLD])
    newer = make_class("cam-day")
    runtime = newer.spec.runtime.model_copy(update={"version": "1.40.0"})
    newer = newer.model_copy(update={"spec": newer.spec.model_copy(update={"runtime": runtime})})
    head = replace(case.change.head, device_classes=(newer, make_class("cam-lowlight")))
    (found,) = judged(replace(case, change=replace(case.change, head=head)), "deployable")
    assert (found.outcome, "needs onnxruntime 1.31.1, not 1.40.0" in found.message) == ("fail", True)


def test_the_last_releases_are_not_removed() -> None:
    """Older ones may go, and a rollback may remove what it takes devices back from."""
    base = make_base(release("100%", "100%"), OLD, OLDER, owners=make_owners(), policy=TWO_BACK)

    def without(*gone: Release) -> Case:
        names = {one.name for one in gone}
        return make_case(base, replace(base, releases=tuple(one for one in base.releases if one.name not in names)))

    assert [one.subject for one in judged(without(OLD), "deployable")] == [OLD.name]
    assert outcomes(without(OLDER), "deployable") == []
    assert outcomes(without(release()), "deployable") == []
    assert outcomes(without(release(), OLD), "deployable") == []


REHEARSED = policy(rehearsedWithin="30d")


def rehearsal(of: Release, back_to: str = OLD.name, age: timedelta = DAY, **fields: Any) -> Evidence:
    """A signed rehearsal."""
    at = NOW - age
    predicate = {
        "release": of.name,
        "backTo": back_to,
        "rehearsedAt": at.isoformat(),
        "where": "simulator",
        "returned": fields.pop("returned", True),
    }
    if "expires" in fields:
        predicate["expiresAt"] = fields.pop("expires")
    digest = of.spec.artifact.digest
    made: dict[str, Any] = {"subjects": (digest,), "signer": "test", "predicate": predicate, **fields}
    return Evidence(path=f"evidence/{digest[7:]}/r.json", predicate_type=REHEARSAL, made_at=at, **made)


NEW = release("5%", supersedes="1.0.0")


@pytest.mark.parametrize(
    ("name", "evidence", "outcome"),
    [
        ("none", [], "fail"),
        ("of the release", [rehearsal(NEW)], "pass"),
        ("of the superseded one", [rehearsal(OLD, OLDER.name)], "pass"),
        ("of another one", [rehearsal(OLDER, OLDEST.name)], "fail"),
        ("to the day", [rehearsal(NEW, age=30 * DAY)], "pass"),
        ("too long ago", [rehearsal(NEW, age=30 * DAY + timedelta(seconds=1))], "fail"),
        ("not expired", [rehearsal(NEW, expires="2999-01-01T00:00:00Z")], "pass"),
        ("expired", [rehearsal(NEW, expires="2000-01-01T00:00:00Z")], "fail"),
        ("expires at no moment", [rehearsal(NEW, expires="soon")], "fail"),
        ("to come", [rehearsal(NEW, age=-DAY)], "fail"),
        ("devices did not come back", [rehearsal(NEW, returned=False)], "fail"),
        ("did not come back the last time", [rehearsal(NEW, age=2 * DAY), rehearsal(NEW, returned=False)], "fail"),
        ("came back the last time", [rehearsal(NEW), rehearsal(NEW, age=2 * DAY, returned=False)], "pass"),
        ("unsigned", [rehearsal(NEW, signer=None)], "fail"),
        ("not believed", [rehearsal(NEW, problem="foreign", problem_kind="foreign")], "fail"),
        ("about another artifact", [rehearsal(NEW, subjects=(OLD.spec.artifact.digest,))], "fail"),
        ("forward", [rehearsal(OLD, NEW.name)], "fail"),
        ("to nowhere", [rehearsal(NEW, "meter-reader/0.0.1")], "fail"),
        ("no rehearsal at all", [rehearsal(NEW, predicate=["returned"])], "fail"),
    ],
)
def test_a_rollback_is_rehearsed(name: str, evidence: list[Evidence], outcome: str) -> None:
    """Signed by a key of the base, from the release or the one it supersedes, back to an older one, not long ago."""
    case = case_of(release(supersedes="1.0.0"), NEW, OLD, OLDER, OLDEST, rules=REHEARSED, evidence=tuple(evidence))

    (found,) = judged(case, "rehearsal")

    assert found.outcome == outcome, name
    assert ("muster evidence rehearsal" in found.hint) is (outcome == "fail")


def test_a_bad_rehearsal_stays_on_record() -> None:
    """A change that deletes it does not get rid of it; one that came back well and is deleted does not count."""
    taken_away = {"evidence": (rehearsal(NEW, age=2 * DAY),), "former_evidence": (rehearsal(NEW, returned=False),)}
    before = release(supersedes="1.0.0")
    assert outcomes(case_of(before, NEW, OLD, rules=REHEARSED, **taken_away), "rehearsal") == ["fail"]
    assert outcomes(case_of(before, NEW, OLD, rules=REHEARSED, former_evidence=(rehearsal(NEW),)), "rehearsal") == [
        "fail"
    ]


def test_a_first_release_has_nothing_to_go_back_to() -> None:
    """So nothing to rehearse."""
    other = make_release("1.2.0", {})
    assert outcomes(case_of(release(), release("5%"), other, rules=REHEARSED), "rehearsal") == []
