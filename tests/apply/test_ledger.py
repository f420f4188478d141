"""The ledger: append-only, once per key, and every change in the middle is seen."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from muster.apply import ledger
from muster.kinds.errors import Refused
from muster.observe.storage import open_storage, writing

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    engine = open_storage(tmp_path)
    with writing(engine) as connection:
        for number in range(3):
            ledger.append(connection, "published", f"published:{number}", {"generation": number}, NOW)
        yield connection
    engine.dispose()


def test_a_key_is_recorded_once(connection: Connection) -> None:
    """An effect that is repeated after a crash adds nothing."""
    assert not ledger.append(connection, "published", "published:1", {"generation": 1}, NOW)
    assert ledger.verify_chain(connection) == 3


@pytest.mark.parametrize(
    "change",
    [
        """UPDATE ledger SET body = '{"generation": 9}' WHERE sequence = 2""",
        "DELETE FROM ledger WHERE sequence = 2",
        "UPDATE ledger SET at = '2020-01-01T00:00:00+00:00' WHERE sequence = 1",
    ],
)
def test_a_change_in_the_middle_is_seen(connection: Connection, change: str) -> None:
    """Editing, deleting or redating an event breaks the chain there."""
    connection.execute(text(change))
    with pytest.raises(Refused, match="altered at event"):
        ledger.verify_chain(connection)
