"""Devices by cohort: the storage counts what `cohort_of` would say of every single device."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, delete, insert, text

from muster.kinds.cohort import Selector
from muster.kinds.desired import OrderedCohort
from muster.observe.cohort_counts import cohort_counts
from muster.observe.storage import devices, open_storage, writing
from muster.plan.assignment import cohort_of

KEYS = ("ring", "site.eu/place", "a-b")
labels = st.dictionaries(st.sampled_from(KEYS), st.sampled_from(["canary", "x", "1", "null"]))


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return open_storage(tmp_path_factory.mktemp("counts") / "state")


def cohorts_of(selectors: list[dict[str, str]]) -> list[OrderedCohort]:
    """Cohorts c0, c1 and so on."""
    return [OrderedCohort(name=f"c{n}", selector=Selector(match_labels=one)) for n, one in enumerate(selectors)]


def put(engine: Engine, fleet: list[tuple[str, dict[str, str]]]) -> None:
    """These devices, and no others."""
    rows: list[dict[str, Any]] = [
        {
            "device_id": f"d{number}",
            "device_class": device_class,
            "labels": given_labels,
            "models": ["meter-reader"],
            "secret_hash": "0",
            "enrolled_at": "2026-01-01T00:00:00+00:00",
        }
        for number, (device_class, given_labels) in enumerate(fleet)
    ]
    with writing(engine) as connection:
        connection.execute(delete(devices))
        if rows:
            connection.execute(insert(devices), rows)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["cam-a", "cam-b", "cam-c"]), labels), max_size=12),
    st.lists(labels, max_size=4),
    st.lists(labels, max_size=4),
)
def test_counts_are_those_of_the_assignment(
    engine: Engine, fleet: list[tuple[str, dict[str, str]]], one: list[dict[str, str]], other: list[dict[str, str]]
) -> None:
    """The first cohort that matches, per class; a class without cohorts, and a device in none, are not counted."""
    put(engine, fleet)
    by_class = {"cam-a": cohorts_of(one), "cam-b": cohorts_of(one), "cam-c": cohorts_of(other)}

    with engine.connect() as connection:
        found = cohort_counts(connection, by_class)

    expected = Counter((name, cohort_of(by_class[name], given_labels)) for name, given_labels in fleet)
    assert found == {key: count for key, count in expected.items() if key[1] is not None}


def test_counting_reads_an_index_only(engine: Engine) -> None:
    """Not the wide rows of the inventory."""
    query = "EXPLAIN QUERY PLAN SELECT device_class, labels FROM devices WHERE device_class IN ('a', 'b')"
    with engine.connect() as connection:
        plan = connection.execute(text(query)).all()

    assert "COVERING INDEX devices_by_labels" in plan[0][-1]


def test_an_older_database_gets_the_index(tmp_path: Path) -> None:
    """One that was made before there was one."""
    with writing(open_storage(tmp_path / "state")) as connection:
        connection.execute(text("DROP INDEX devices_by_labels"))

    with open_storage(tmp_path / "state").connect() as connection:
        names = connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'index'")).scalars().all()

    assert "devices_by_labels" in names
