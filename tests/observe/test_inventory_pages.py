"""Pages of the inventory are read from indexes, and an older database gets them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine, delete

from muster.observe.inventory import NewDevice, add, remove, set_labels
from muster.observe.inventory_pages import Wanted, page_of_devices
from muster.observe.storage import device_labels, open_storage, writing

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state") / "state"


@pytest.fixture(scope="module")
def engine(folder: Path) -> Engine:
    engine = open_storage(folder)
    with writing(engine) as connection:
        for number in range(1_000):
            labels = {"site": f"s{number % 10}", "ring": "canary" if number % 100 == 0 else "main"}
            new = NewDevice(f"dev-{number:04d}", f"class-{number % 2}", ("m",), labels, {}, "0" * 64)
            assert add(connection, new, NOW)
        connection.exec_driver_sql("ANALYZE")
    return engine


def ids(engine: Engine, wanted: Wanted) -> list[str]:
    with engine.connect() as connection:
        return [row.device_id for row in connection.execute(page_of_devices(wanted))]


def expected(engine: Engine, wanted: Wanted) -> list[str]:
    """The same, by looking at all of them."""
    with engine.connect() as connection:
        rows = connection.execute(page_of_devices(Wanted())).all()
    fits = [
        row.device_id
        for row in rows
        if wanted.labels.items() <= row.labels.items()
        and wanted.device_class in (None, row.device_class)
        and row.device_id > wanted.after
    ]
    return fits[: wanted.limit]


CASES = [
    Wanted(limit=7),
    Wanted(device_class="class-1", limit=7),
    Wanted(labels={"site": "s3"}, limit=7),
    Wanted(labels={"site": "s0", "ring": "canary"}, limit=3),
    Wanted(labels={"site": "s0", "ring": "canary"}, device_class="class-0", after="dev-0250", limit=3),
    Wanted(labels={"site": "s3"}, device_class="class-0", limit=7),
    Wanted(labels={"never": "set"}, limit=7),
    Wanted(device_class="class-1", after="dev-0990", limit=100),
]


@pytest.mark.parametrize("wanted", CASES, ids=str)
def test_a_page_is_what_a_look_at_everything_finds(engine: Engine, wanted: Wanted) -> None:
    """Class, labels, place and size, together."""
    assert ids(engine, wanted) == expected(engine, wanted)


@pytest.mark.parametrize("wanted", CASES, ids=str)
def test_a_page_is_read_by_an_index(engine: Engine, wanted: Wanted) -> None:
    """No table is walked from its start, and nothing is sorted."""
    statement = page_of_devices(wanted).compile(engine)
    with engine.connect() as connection:
        parameters = tuple(statement.params[name] for name in statement.positiontup or ())
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
    steps = [row[3] for row in plan]
    assert [step for step in steps if "TEMP B-TREE" in step or step.startswith("SCAN")] == [], steps


def test_labels_that_change_are_found_under_the_new_ones(engine: Engine) -> None:
    """And a device that was removed under none."""
    with writing(engine) as connection:
        set_labels(connection, "dev-0003", {"site": "moved"})
        remove(connection, "dev-0013")
    assert ids(engine, Wanted(labels={"site": "moved"})) == ["dev-0003"]
    assert not {"dev-0003", "dev-0013"} & set(ids(engine, Wanted(labels={"site": "s3"})))


def test_an_older_database_gets_its_labels_indexed(engine: Engine, folder: Path) -> None:
    """As it is opened."""
    before = ids(engine, Wanted(labels={"site": "s3"}))
    with writing(engine) as connection:
        connection.execute(delete(device_labels))
    engine.dispose()
    assert ids(engine, Wanted(labels={"site": "s3"})) == []
    assert ids(open_storage(folder), Wanted(labels={"site": "s3"})) == before
