"""waivers: what they hide, for how long, and what they never hide."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleets import MODEL, make_release
from muster.check.approvals import needed_approvals
from muster.check.case import Case
from muster.check.verdict import Verdict, Waived
from muster.check.waivers import apply_waivers, new_waivers, waiver_complaints
from muster.kinds.evidence import REBUILD, Evidence
from muster.kinds.waiver import Waiver
from reviewed_cases import NOW, make_base, make_case, make_owners, make_tiers, with_releases

RELEASE = f"{MODEL}/1.1.0"
NEW = make_release("1.1.0", {"canary": "5%"}, supersedes="1.0.0")
FAILED = Verdict("gate/accuracy", RELEASE, "fail", "0.97 < 0.99", tier="production", gate="accuracy-kept")


def make_waiver(**spec: str) -> Waiver:
    """A waiver in force on the day of the cases."""
    fields = {
        "gate": "accuracy-kept",
        "release": RELEASE,
        "owner": "sam",
        "reason": "cameras of the old series",
        "granted": "2026-03-01",
        "expires": "2026-03-31",
        **spec,
    }
    return Waiver.model_validate({"metadata": {"name": "old-cameras"}, "spec": fields})


def waived_case(*waivers: Waiver, now: datetime = NOW, **case) -> Case:
    """A release is added; the base has these waivers."""
    base = make_base(owners=make_owners(), waivers=waivers)
    return make_case(base, with_releases(base, NEW), now=now, **case)


def applied(verdict: Verdict, *waivers: Waiver, now: datetime = NOW) -> Verdict:
    """What becomes of one verdict."""
    return apply_waivers([verdict], waived_case(*waivers, now=now))[0]


HIDDEN = Waived("old-cameras", "sam", "cameras of the old series", "2026-03-31")


@pytest.mark.parametrize("outcome", ["fail", "error", "inconclusive"])
def test_the_hidden_verdict_is_still_shown(outcome):
    """A waiver of the base takes away that a verdict blocks, and nothing else."""
    verdict = Verdict("gate/accuracy", RELEASE, outcome, "0.97", tier="production", gate="accuracy-kept")
    found = applied(verdict, make_waiver())
    assert (HIDDEN, False, outcome, verdict.message) == (found.waived, found.blocks, found.outcome, found.message)


REFUSED = {
    "expired": (make_waiver(granted="2026-02-20", expires="2026-03-09"), "expired on 2026-03-09"),
    "longer than 30 days": (make_waiver(granted="2026-03-01", expires="2026-04-01"), "lasts 31 days"),
    "from the future": (make_waiver(granted="2026-03-11"), "before 2026-03-11"),
    "ends before it begins": (make_waiver(granted="2026-03-09", expires="2026-03-08"), "before it is granted"),
    "no such day": (make_waiver(expires="2026-02-30"), "2026-02-30 is no day"),
    "owner is nobody": (make_waiver(owner="mallory"), "no policy owner"),
    "owner is no policy owner": (make_waiver(owner="ada"), "no policy owner"),
}


@pytest.mark.parametrize(("waiver", "why"), REFUSED.values(), ids=REFUSED.keys())
def test_a_waiver_that_does_not_hold_says_why(waiver, why):
    """What it would hide stays as it is, with the reason."""
    found = applied(FAILED, waiver)
    assert (found.waived, found.blocks, found.outcome) == (None, True, "fail")
    assert why in found.message


def test_expired_means_failed():
    """A gate that could not be decided fails once its waiver has expired, whatever is at stake."""
    unsure = Verdict("gate/accuracy", RELEASE, "inconclusive", "?", tier="research", gate="accuracy-kept")
    expired = make_waiver(granted="2026-02-20", expires="2026-03-09")
    assert applied(unsure, expired).blocks
    assert not applied(unsure, make_waiver(owner="ada")).blocks
    (_, told) = apply_waivers([unsure], waived_case(expired))
    assert (told.rule, told.outcome, told.subject) == ("gate/waiver", "fail", RELEASE)
    assert "expired on 2026-03-09" in told.message


def test_an_expired_waiver_is_told_until_it_is_removed():
    """It fails wherever anybody looks, without blocking changes that have nothing to do with it."""
    expired = make_waiver(granted="2026-02-20", expires="2026-03-09")
    base = make_base(owners=make_owners(), waivers=[expired])
    (told,) = apply_waivers([], make_case(base))
    assert (told.outcome, told.blocks) == ("fail", False)
    assert apply_waivers([], make_case(base, make_base(owners=make_owners()))) == ()


OTHERS = {
    "another gate": make_waiver(gate="fast-enough"),
    "another release": make_waiver(release=f"{MODEL}/1.0.0"),
}


@pytest.mark.parametrize("waiver", OTHERS.values(), ids=OTHERS.keys())
def test_one_gate_one_release(waiver):
    """A waiver touches no verdict but those of its gate and its release."""
    assert applied(FAILED, waiver) == FAILED


@pytest.mark.parametrize("rule", ["transition/soak", "weakening/gate", "approval/role", "checklist/a", "change/pins"])
def test_only_gates_are_waived(rule):
    """A verdict of another section is not hidden, even if it carries the name of a gate."""
    verdict = Verdict(rule, RELEASE, "fail", "no", gate="accuracy-kept")
    assert applied(verdict, make_waiver()) == verdict


def test_waivers_of_the_head_hide_nothing():
    """The base judges the head: a waiver takes effect once it is merged, and its merge needs a policy owner."""
    base = make_base(owners=make_owners())
    head = with_releases(make_base(owners=make_owners(), waivers=[make_waiver()]), NEW)
    case = make_case(base, head)
    assert apply_waivers([FAILED], case) == (FAILED,)
    assert "a policy owner for waiver old-cameras" in [one.what for one in needed_approvals(case, weakenings=False)]


def test_an_edited_waiver_is_new():
    """To prolong or move a waiver is to grant one; to remove it is not."""
    old, new = make_base(waivers=[make_waiver()]), make_base(waivers=[make_waiver(expires="2026-03-30")])
    assert new_waivers(make_case(old, new).change) == new.waivers
    assert new_waivers(make_case(old, old).change) == ()
    assert new_waivers(make_case(old, make_base()).change) == ()


@pytest.mark.parametrize("metric", ["signature", "provenance"])
def test_nobody_vouching_is_never_hidden(metric):
    """A waiver cannot let bytes through that nobody vouches for."""
    verdict = Verdict(f"gate/{metric}", RELEASE, "fail", "missing", gate="vouched")
    found = applied(verdict, make_waiver(gate="vouched"))
    assert found.blocks
    assert "cannot hide" in found.message


def rebuild(verdict: str, signer: str | None = "builder") -> Evidence:
    """A rebuild of the release."""
    predicate = {"verdict": verdict}
    return Evidence("evidence/x/rebuild.json", (NEW.spec.artifact.digest,), REBUILD, predicate, NOW, signer)


@pytest.mark.parametrize(
    ("evidence", "blocks"),
    [((), False), ((rebuild("GOOD"),), False), ((rebuild("BAD"),), True), ((rebuild("BAD", None),), False)],
)
def test_a_bad_rebuild_is_never_hidden(evidence, blocks):
    """That nobody built it again may be waived; that it came out different may not, if the rebuilder is trusted."""
    verdict = Verdict("gate/reproducibility", RELEASE, "fail", "L1", gate="accuracy-kept")
    case = waived_case(make_waiver())
    with_evidence = Case(case.change, case.request, case.now, evidence=evidence)
    assert apply_waivers([verdict], with_evidence)[0].blocks == blocks


@given(st.integers(-40, 40), st.integers(-40, 40), st.integers(0, 23))
def test_exactly_the_days_between(granted, expires, hour):
    """A waiver holds from the day it is granted to the end of the day it expires, for 30 days at most."""
    start, end = (date(2026, 3, 10) + timedelta(days=days) for days in (granted, expires))
    waiver = make_waiver(granted=start.isoformat(), expires=end.isoformat())
    found = applied(FAILED, waiver, now=datetime(2026, 3, 10, hour, 59, 59, tzinfo=UTC))
    assert (found.waived is not None) == (granted <= 0 <= expires and expires - granted <= 30)


def test_days_are_counted_in_utc():
    """In the evening of the last day in UTC it holds, though the day is over further east."""
    east = timezone(timedelta(hours=9))
    assert applied(FAILED, make_waiver(), now=datetime(2026, 4, 1, 8, 59, tzinfo=east)).waived == HIDDEN
    assert applied(FAILED, make_waiver(), now=datetime(2026, 4, 1, 9, 0, tzinfo=east)).waived is None


GATES = [
    {"name": "accuracy-kept", "metric": "accuracy", "comparator": ">=", "threshold": "0.99"},
    {"name": "vouched", "metric": "signature", "comparator": "==", "threshold": "1"},
]
COMPLAINTS = {
    "in order": (make_waiver(), []),
    "no day": (make_waiver(granted="2026-13-01"), [("granted", "waiver")]),
    "too long": (make_waiver(expires="2027-03-01"), [("expires", "waiver")]),
    "backwards": (make_waiver(expires="2026-02-01"), [("expires", "waiver")]),
    "a gate that no tier has": (make_waiver(gate="gone"), [("gate", "dangling")]),
    "a gate that is never hidden": (make_waiver(gate="vouched"), [("gate", "waiver")]),
    "a release that is gone": (make_waiver(release=f"{MODEL}/9.9.9"), [("release", "dangling")]),
}


@pytest.mark.parametrize(("waiver", "expected"), COMPLAINTS.values(), ids=COMPLAINTS.keys())
def test_complaints_at_load(waiver, expected):
    """What is wrong whatever day it is, is said when the fleet is loaded."""
    found = waiver_complaints(
        {"policies/waivers/old-cameras.yaml": waiver}, [RELEASE], [make_tiers(production={"gates": GATES})]
    )
    assert [(one.pointer.path[-1], one.rule) for one in found] == expected
