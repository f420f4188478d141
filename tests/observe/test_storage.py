"""The storage under several writers."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Connection, func, select

from muster.apply import ledger
from muster.kinds.errors import Refused
from muster.observe.storage import ledger as table
from muster.observe.storage import open_storage, writing

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_writers_that_read_first_wait_for_each_other(tmp_path: Path) -> None:
    """Four threads append to the ledger, each reading its head first: nothing is lost, refused or forked."""
    engine = open_storage(tmp_path)

    def append(writer: int) -> None:
        for number in range(25):
            with writing(engine) as connection:
                ledger.append(connection, "published", f"{writer}:{number}", {}, NOW)

    threads = [threading.Thread(target=append, args=(writer,)) for writer in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with engine.connect() as connection:
        assert ledger.verify_chain(connection) == 100
    engine.dispose()


def test_what_raises_leaves_nothing(tmp_path: Path) -> None:
    """A transaction is whole or absent."""
    engine = open_storage(tmp_path)

    def fail(connection: Connection) -> None:
        ledger.append(connection, "published", "a", {}, NOW)
        raise RuntimeError

    with pytest.raises(RuntimeError), writing(engine) as connection:
        fail(connection)
    with engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(table)).scalar() == 0
    engine.dispose()


def test_the_database_is_its_owners_alone(tmp_path: Path) -> None:
    """Made 0600 in a folder 0700, and refused where others could replace it."""
    state = tmp_path / "state"
    open_storage(state).dispose()
    assert (state.stat().st_mode & 0o777, (state / "muster.db").stat().st_mode & 0o777) == (0o700, 0o600)
    state.chmod(0o775)
    open_storage(state).dispose()
    assert state.stat().st_mode & 0o777 == 0o755
    state.chmod(0o777)
    with pytest.raises(Refused, match="others can write"):
        open_storage(state)
