"""Alerts are made purely of what happened: with the numbers, the owner whose component failed, and the action."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from alert_cases import NOW, RELEASE

from fleets import make_policy
from muster.apply.alerts import making
from muster.apply.alerts.alert import LONGEST_TEXT, Alert
from muster.apply.alerts.making import Ground, measured_by
from muster.kinds.alert_reason import ALERT_KINDS, known_reason
from muster.kinds.canonical import canonical_json
from muster.kinds.components import Components
from muster.kinds.fleet import Fleet
from muster.plan.conditions import condition
from muster.plan.guardrails import Outcome, Verdict
from muster.plan.statistics import verdict as statistics
from muster.plan.statistics.verdict import Sample
from muster.plan.world import Suspension

_COMPONENT = {"dataTypes": ["x"], "retention": "x", "failureModes": ["x"], "trustBoundary": "all"}
COMPONENTS = Components.model_validate(
    {
        "metadata": {"name": "components"},
        "spec": {
            "boundaries": [{"id": "all", "title": "All", "trusts": "x"}],
            "components": [
                {
                    "id": "loader",
                    "title": "Loader",
                    "owner": "firmware",
                    "playbook": "model-fails-to-load",
                    "errorCodes": ["load_failed"],
                    **_COMPONENT,
                },
                {
                    "id": "trial",
                    "title": "Trial",
                    "owner": "ml",
                    "playbook": "accuracy-drop",
                    "errorCodes": ["low_confidence"],
                    **_COMPONENT,
                },
                {"id": "planner", "title": "Planner", "owner": "backend", "playbook": "unchanged", **_COMPONENT},
            ],
        },
    }
)
FLEET = Fleet.of([RELEASE, make_policy()], "c" * 40)
GROUND = Ground(FLEET, COMPONENTS, 7, NOW)
SUSPENSION = Suspension(RELEASE.name, "3 of 12 devices that tried it failed", NOW, "guardrail")


def verdict(device_class: str, outcome: Outcome, failed: int, judged: int) -> Verdict:
    """Against a limit of 5 %."""
    numbers = Sample(judged=judged, failed=failed, pending=0, missing=0, recalled=0)
    found = statistics.Verdict(
        outcome, "why", "more devices", boundary=0.05, estimate=failed / judged, candidate_sample=numbers
    )
    return Verdict(
        release=RELEASE.name,
        device_class=device_class,
        stratum="os=14",
        guardrail="failures",
        against="limit",
        outcome=outcome,
        reason=found.reason,
        lifted_by=found.lifted_by,
        record=found.record(),
    )


VERDICTS = (verdict("cam-day", "no-worse", 0, 20), verdict("cam-lowlight", "harm", 3, 12))


def suspended(ground: Ground) -> Alert:
    return making.of_suspension(ground, SUSPENSION, measured_by(VERDICTS))


def test_a_suspension_says_everything() -> None:
    """Artifact, generation, cohorts, strata, numbers against bounds, owner, playbook, action: all of it."""
    alert = suspended(replace(GROUND, error_codes={"load_failed": 2, "low_confidence": 1}))
    assert (RELEASE.spec.artifact.digest, 7, "c" * 40) == (alert.artifact, alert.generation, alert.commit)
    assert alert.cohorts == {"canary": "100%", "fleet": "5%"}
    worst, other = alert.measured
    assert (
        worst.device_class,
        worst.measured,
        worst.bound,
        worst.devices,
        worst.outcome,
    ) == ("cam-lowlight", "0.25 (3 of 12 devices)", "limit 0.05", 12, "harm")
    assert (other.outcome, other.measured) == ("no-worse", "0")
    assert alert.responsible is not None
    assert (
        alert.responsible.owner,
        alert.responsible.component,
        alert.responsible.playbook,
    ) == ("firmware", "loader: Loader", "docs/playbooks/model-fails-to-load.md")
    assert "return to what they confirmed" in alert.action


def test_the_code_that_most_devices_report_tells_the_owner() -> None:
    """Else the reason's component; without components whoever owns the release; an unknown release has nobody."""
    most = suspended(replace(GROUND, error_codes={"load_failed": 1, "low_confidence": 5}))
    none = suspended(replace(GROUND, error_codes={"never_heard_of": 5}))
    unread = suspended(replace(GROUND, components=None))
    unknown = suspended(replace(GROUND, components=None, fleet=Fleet.of([], None)))
    owners = [alert.responsible and alert.responsible.owner for alert in (most, none, unread, unknown)]
    assert owners == ["ml", "backend", "ml@fleet.example", None]


def test_the_same_thing_has_the_same_key() -> None:
    """Whenever it is told again; another suspension of the same release has another key."""
    later = suspended(replace(GROUND, now=NOW + timedelta(hours=1)))
    assert later.key == suspended(GROUND).key
    again = making.of_suspension(GROUND, replace(SUSPENSION, at=NOW + timedelta(days=1)), ())
    reverted = making.of_revert(GROUND, SUSPENSION, "d" * 40)
    assert len({later.key, again.key, reverted.key}) == 3
    assert reverted.commit == "d" * 40


def test_what_does_not_get_prepared_is_told_once_a_day() -> None:
    """However often it is tried on one day."""
    keys = {
        making.of_preparation(replace(GROUND, now=NOW + timedelta(hours=hours)), RELEASE.name, "sha256:1", "why").key
        for hours in (0, 1, 11, 12)
    }
    assert len(keys) == 2


def test_hostile_texts_fit() -> None:
    """Whatever a reason holds, the alert is made, bounded, and fit for the ledger."""
    hostile = replace(SUSPENSION, reason="\x1b[2J\u202e<!channel>" + "x" * 100_000)
    alert = making.of_suspension(GROUND, hostile, ())
    assert len(alert.summary) == LONGEST_TEXT
    assert Alert.of_body(alert.body()) == alert
    assert canonical_json(alert.body())


def test_conditions_are_told_under_their_own_reason() -> None:
    """A reason that the table does not know is told as `Other`, and named in the text."""
    known = condition("RepositoryReachable", holds=False, reason="FetchFailed", message="m", now=NOW, generation=7)
    alert = making.of_condition(GROUND, known)
    assert (alert.reason, alert.severity, alert.subject) == ("FetchFailed", "warning", "RepositoryReachable")
    new = making.of_condition(GROUND, replace(known, reason="Brand New"))
    assert new.reason == known_reason("Brand New") == "Other"
    assert "Brand New" in new.summary
    over = making.resolved(alert, NOW, "fetched")
    assert (over.state, over.severity, over.key) == ("resolved", "warning", f"{alert.key}:resolved")


def test_decisions_that_suspend_nothing_are_told_too() -> None:
    """An advance, a warning, missing telemetry: with the numbers they rest on."""
    for reason in ("ReleaseAdvanced", "GuardrailWarned", "TelemetryMissing"):
        said = ("to 25%", "committed")
        alert = making.of_decision(GROUND, reason, RELEASE.name, said, measured_by(VERDICTS), NOW)
        assert (alert.reason, alert.severity) == (reason, ALERT_KINDS[reason].severity)
        assert (alert.summary, alert.action, len(alert.measured)) == ("to 25%", "committed", 2)
