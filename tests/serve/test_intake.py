"""Group commit: one bad request harms no other, and nothing is acknowledged before it is durable."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, select

from muster.kinds.errors import Refused
from muster.observe.status import write_status
from muster.observe.storage import open_storage, status
from muster.serve.intake import BusyError, Intake

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_requests_share_a_transaction_but_not_their_failures(tmp_path: Path) -> None:
    """Of a group of ten with one refusal, nine are durable when they are acknowledged, and the tenth left nothing."""
    engine = open_storage(tmp_path)

    def work(number: int) -> Any:
        def run(connection: Connection, at: datetime) -> int:
            write_status(connection, f"subject-{number}", number, at)
            if number == 3:
                raise Refused("not this one")
            return number

        return run

    async def main() -> list[Any]:
        intake = Intake(engine, lambda: NOW)
        intake.start()
        outcomes = await asyncio.gather(*(intake.submit(work(n)) for n in range(10)), return_exceptions=True)
        await intake.stop()
        return outcomes

    outcomes = asyncio.run(main())
    assert [n for n in range(10) if n != 3] == [outcome for outcome in outcomes if isinstance(outcome, int)]
    assert isinstance(outcomes[3], Refused)
    with engine.connect() as connection:
        subjects = set(connection.execute(select(status.c.subject)).scalars())
    assert subjects == {f"subject-{n}" for n in range(10) if n != 3}
    engine.dispose()


def test_a_full_queue_answers_at_once(tmp_path: Path) -> None:
    """Past its bound the intake refuses, instead of growing."""
    engine = open_storage(tmp_path)

    async def main() -> None:
        intake = Intake(engine, lambda: NOW)
        waiting = [asyncio.create_task(intake.submit(lambda _c, _a: None)) for _ in range(5_000)]
        await asyncio.sleep(0)
        with pytest.raises(BusyError):
            await intake.submit(lambda _c, _a: None)
        intake.start()
        await asyncio.gather(*waiting)
        await intake.stop()

    asyncio.run(main())
    engine.dispose()
