"""Since when a percentage is published: read from the ledger, and only what is new of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, delete

from muster.apply import ledger
from muster.apply.published_steps import PublishedSteps
from muster.kinds.field_state import Step
from muster.observe.storage import ledger as ledger_table
from muster.observe.storage import open_storage, writing

START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
NAME = "meter-reader/1.1.0"


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return open_storage(tmp_path / "state")


def publish(engine: Engine, hour: int, salt: str | None = NAME, **documents: dict[str, int]) -> None:
    """A generation in which documents (by device class) offer 1.1.0 at these ppm."""
    body: dict[str, Any] = {
        "generation": hour,
        "documents": {
            f"meter-reader/{name}": [{"release": NAME, "artifact": "sha256:0", "ppm": ppm, "salt": salt}] if ppm else []
            for name, ppm in documents.items()
        },
    }
    with writing(engine) as connection:
        ledger.append(connection, "published", f"published:{hour}", body, START + hour * HOUR)


def steps(engine: Engine, known: PublishedSteps | None = None) -> dict[str, tuple[int, int]]:
    """Cohort → (ppm, hour of publication)."""
    with engine.connect() as connection:
        found = (known or PublishedSteps()).steps(connection)
    assert {release for release, _ in found} <= {NAME}
    return {cohort: (step.ppm, (step.since - START) // HOUR) for (_, cohort), step in found.items()}


def test_a_step_counts_from_its_first_publication(engine: Engine) -> None:
    """Later generations that say the same change nothing; another percentage begins anew."""
    assert steps(engine) == {}
    publish(engine, 1, cam={"canary": 50_000})
    publish(engine, 2, cam={"canary": 50_000, "fleet": 50_000})
    publish(engine, 3, cam={"canary": 250_000, "fleet": 50_000})

    assert steps(engine) == {"canary": (250_000, 3), "fleet": (50_000, 2)}


def test_what_was_taken_away_begins_again(engine: Engine) -> None:
    """Suspended and back, or drawn anew with another salt."""
    publish(engine, 1, cam={"canary": 50_000})
    publish(engine, 2, cam={})
    publish(engine, 3, cam={"canary": 50_000})
    assert steps(engine) == {"canary": (50_000, 3)}

    publish(engine, 4, salt="sticky/other", cam={"canary": 50_000})
    assert steps(engine) == {"canary": (50_000, 4)}


def test_the_last_class_counts(engine: Engine) -> None:
    """Where classes got it one after the other, or have different percentages."""
    publish(engine, 1, day={"canary": 50_000})
    publish(engine, 2, day={"canary": 50_000}, night={"canary": 50_000})
    assert steps(engine) == {"canary": (50_000, 2)}

    publish(engine, 3, day={"canary": 250_000}, night={"canary": 50_000})
    assert steps(engine) == {"canary": (50_000, 3)}


def test_what_was_read_is_kept_and_says_the_same(engine: Engine) -> None:
    """Asked after every event, or once at the end: one answer. Another ledger is read from its beginning."""
    known = PublishedSteps()
    for hour, ppm in enumerate((50_000, 50_000, 250_000), 1):
        publish(engine, hour, cam={"canary": ppm})
        assert steps(engine, known) == steps(engine)

    with writing(engine) as connection:
        connection.execute(delete(ledger_table))
    publish(engine, 9, cam={"fleet": 50_000})
    publish(engine, 10, cam={"fleet": 50_000})
    publish(engine, 11, cam={"fleet": 50_000})
    assert steps(engine, known) == {"fleet": (50_000, 9)}


def test_events_of_an_older_program_are_read(engine: Engine) -> None:
    """They do not name the salt."""
    body = {"generation": 1, "documents": {"m/c": [{"release": NAME, "artifact": "sha256:0", "ppm": {"canary": 1}}]}}
    with writing(engine) as connection:
        ledger.append(connection, "published", "published:1", body, START)

    with engine.connect() as connection:
        assert PublishedSteps().steps(connection) == {(NAME, "canary"): Step(1, START, 1)}
