"""Deployments, incidents and measures: what counts, and what does not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from muster.attest.package.ledger_rows import Row
from muster.review.delivery.happened import Happened, read
from muster.review.delivery.measures import Change, Measure, Window, measures

START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
ALL = 1_000_000
WINDOW = Window(START, START + timedelta(days=10))


def row(event: str, hours: float, **body: object) -> Row:
    at = (START + hours * HOUR).isoformat()
    return Row.model_construct(sequence=1, at=at, event=event, key="", body=body, previous="", digest="")


def published(generation: int, hours: float, **shares: int) -> Row:
    """One class, one cohort; `v110=ALL` offers m/1.1.0 to everyone. 1.1.0 and 1.1.1 share an artifact."""
    entries = [
        {"release": f"m/{'.'.join(name[1:4])}", "artifact": name[1:3], "salt": "s", "ppm": {"canary": ppm}}
        for name, ppm in sorted(shares.items(), reverse=True)
    ]
    return row("published", hours, generation=generation, commit=f"{generation:040x}", documents={"m/cam": entries})


def deployed(*rows: Row) -> list[tuple[str, str, bool]]:
    return [(one.release, one.kind, one.failed) for one in read(rows).deployments]


def by_name(happened: Happened, begun: float | None = None, landed: float | None = None) -> dict[str, Measure]:
    """The measures, where every change was begun and landed so many hours before it was published."""
    changes = {
        one: Change(
            one.at - begun * HOUR if begun is not None else None, one.at - landed * HOUR if landed is not None else None
        )
        for one in happened.deployments
    }
    commits = {one: one.ended - HOUR for one in happened.incidents if one.begun is None and one.ended}
    return {measure.name: measure for measure in measures(happened, changes, commits, WINDOW)}


def test_a_new_release_is_code_and_a_wider_one_configuration() -> None:
    """As is a new version of the same artifact, with other thresholds."""
    rows = [published(1, 0, v100=ALL), published(2, 1, v110=50_000, v100=ALL), published(3, 2, v110=ALL)]
    assert deployed(*rows, published(4, 3, v111=ALL)) == [
        ("m/1.0.0", "code", False),
        ("m/1.1.0", "code", False),
        ("m/1.1.0", "configuration", False),
        ("m/1.1.1", "configuration", False),
    ]


def test_a_release_that_comes_back_is_no_deployment() -> None:
    """1.0.0 stands below 1.1.0 and shows again when that is taken away, by a suspension or by a person."""
    out = [published(1, 0, v100=ALL), published(2, 1, v110=ALL)]
    back = published(3, 3, v100=ALL)
    assert deployed(*out, back) == [("m/1.0.0", "code", False), ("m/1.1.0", "code", True)]
    suspended = row("suspended", 2, release="m/1.1.0", reason="harm", commit="c")
    assert deployed(*out, suspended, back) == deployed(*out, back)
    (incident,) = read([*out, suspended, back]).incidents
    assert (incident.begun, incident.ended) == (START + 2 * HOUR, START + 3 * HOUR)
    (by_hand,) = read([*out, back]).incidents
    assert (by_hand.begun, by_hand.ended) == (None, START + 3 * HOUR)


def test_a_release_that_a_newer_one_replaces_has_not_failed() -> None:
    """It leaves the documents, and something newer stands there."""
    rows = [published(1, 0, v100=ALL), published(2, 1, v110=ALL), published(3, 2, v120=ALL)]
    assert [failed for _, _, failed in deployed(*rows)] == [False] * 3
    assert read(rows).incidents == ()


def test_a_failure_belongs_to_the_newest_deployment_of_its_release() -> None:
    """The first steps did well; what widened it last did not."""
    rows = [published(1, 0, v100=ALL), published(2, 1, v110=50_000, v100=ALL), published(3, 2, v110=500_000, v100=ALL)]
    rows += [row("suspended", 3, release="m/1.1.0", reason="harm"), published(4, 3, v100=ALL)]
    assert [failed for _, _, failed in deployed(*rows)] == [False, False, True]


def test_an_open_incident_counts_as_long_as_it_lasts() -> None:
    """Nothing was published since: the way back is not there."""
    rows = [published(1, 0, v100=ALL), row("suspended", 24, release="m/1.0.0", reason="harm")]
    recovery = by_name(read(rows))["time to recovery"]
    assert (recovery.value, recovery.met, recovery.cases) == (9 * 24 * 60, False, 1)


@pytest.mark.parametrize(("hours", "met"), [(3.9, True), (4.0, False), (23.9, False)])
def test_lead_time_has_two_targets(hours: float, met: bool) -> None:
    """What is in time for code may be late for configuration."""
    rows = [published(1, 0, v100=50_000), published(2, 48, v100=ALL)]
    found = by_name(read(rows), begun=hours, landed=hours)
    assert (found["lead time, code"].met, found["lead time, configuration"].met) == (True, met)
    assert found["lead time, configuration"].value == pytest.approx(hours)


def test_daily_when_needed_asks_for_need() -> None:
    """Few deployments are no fault; a change that waited for two days is."""
    happened = read([published(1, 0, v100=ALL)])
    assert by_name(happened)["deployment frequency"].met is None
    assert by_name(happened, landed=1)["deployment frequency"].met is True
    late = by_name(happened, landed=48)["deployment frequency"]
    assert (late.value, late.met) == (0.1, False)


def test_reliability_counts_runs_of_the_pipeline() -> None:
    """Commits taken over and artifacts prepared, against those that were not."""
    good = [row("declared", hour, commit="c", previous=None) for hour in range(19)]
    bad = row("not-prepared", 20, release="m/1.0.0", pins="p", reason="differs")
    assert by_name(read(good))["pipeline reliability"].value == 100
    reliability = by_name(read([*good, bad]))["pipeline reliability"]
    assert (reliability.value, reliability.met, reliability.cases) == (95, False, 20)


def test_nothing_counts_outside_of_the_window_and_no_case_is_no_verdict() -> None:
    """The window's start is in it, its end is not."""
    happened = read([published(1, 240, v100=ALL), row("declared", 240, commit="c", previous=None)])
    found = by_name(happened, begun=1)
    assert [measure.cases for measure in found.values()] == [0] * 6
    assert [measure.met for measure in found.values()] == [None] * 6
