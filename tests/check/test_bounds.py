"""A fleet that passes the checks fits into desired documents."""

from __future__ import annotations

from fleets import make_class, make_cohort, make_policy, make_release
from muster.check.references import complaints
from muster.kinds.cohort import MOST_COHORTS, MOST_ENTRIES

EVERYONE = {"fleet": "100%"}


def fleet(*, cohorts: int, releases: int) -> dict:
    """A fleet of one class, by file path."""
    found: dict = {
        "devices/classes/cam-day.yaml": make_class("cam-day"),
        "devices/cohorts/fleet.yaml": make_cohort("fleet", 1_000),
        "policies/default.yaml": make_policy(),
    }
    for number in range(cohorts - 1):
        name = f"ring-{number:03d}"
        found[f"devices/cohorts/{name}.yaml"] = make_cohort(name, number, ring=name)
    for number in range(releases):
        version = f"1.{number}.0"
        release = make_release(version, EVERYONE, classes=("cam-day",))
        found[f"releases/{release.model}/{version}.yaml"] = release
    return found


def rules(resources: dict) -> set[str]:
    return {complaint.rule for complaint in complaints(resources)}


def test_as_many_as_a_document_holds_pass() -> None:
    """The bounds themselves are possible."""
    assert "bounds" not in rules(fleet(cohorts=MOST_COHORTS, releases=1))
    assert "bounds" not in rules(fleet(cohorts=1, releases=MOST_ENTRIES))


def test_one_more_is_a_complaint() -> None:
    """Not an exception in the planner, after the merge."""
    assert "bounds" in rules(fleet(cohorts=MOST_COHORTS + 1, releases=1))
    assert "bounds" in rules(fleet(cohorts=1, releases=MOST_ENTRIES + 1))
