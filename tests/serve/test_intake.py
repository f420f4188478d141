"""Group commit: one bad request harms no other, and nothing is acknowledged before it is durable."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, select

from muster.kinds.errors import Refused
from muster.observe.status import write_status
from muster.observe.storage import open_storage, status, writing
from muster.serve.intake import HEAVIEST, BusyError, Intake

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
        waiting = [asyncio.ensure_future(intake.submit(lambda _c, _a: None)) for _ in range(5_000)]
        await asyncio.sleep(0)
        with pytest.raises(BusyError):
            await intake.submit(lambda _c, _a: None)
        intake.start()
        await asyncio.gather(*waiting)
        await intake.stop()

    asyncio.run(main())
    engine.dispose()


def test_a_group_is_bounded_by_the_time_it_holds_the_lock(tmp_path: Path) -> None:
    """Requests that take a tenth of a second each are written three at a time, and every one of them is answered."""
    engine = open_storage(tmp_path / "state")
    passed = 0.0
    groups = 0

    def work(_connection: Connection, _now: datetime) -> None:
        nonlocal passed
        passed += 0.1

    def clock() -> datetime:
        """Asked once for each group."""
        nonlocal groups
        groups += 1
        return NOW

    async def main() -> None:
        intake = Intake(engine, clock, lambda: passed)
        waiting = [asyncio.ensure_future(intake.submit(work)) for _ in range(7)]
        await asyncio.sleep(0)
        intake.start()
        await asyncio.gather(*waiting)
        await intake.stop()

    asyncio.run(main())
    assert groups == 3
    engine.dispose()


def test_the_loop_gets_the_lock_while_requests_keep_coming(tmp_path: Path) -> None:
    """Another writer waits for a group and the pause after it, not for the end of the queue."""
    engine = open_storage(tmp_path / "state")
    answered = 0

    def work(_connection: Connection, _now: datetime) -> None:
        nonlocal answered
        answered += 1
        threading.Event().wait(0.05)

    def write() -> int:
        with writing(engine):
            return answered

    async def main() -> int:
        intake = Intake(engine)
        intake.start()
        waiting = [asyncio.ensure_future(intake.submit(work)) for _ in range(60)]
        await asyncio.sleep(0.1)
        seen = await asyncio.to_thread(write)
        for request in waiting:
            request.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        await intake.stop()
        return seen

    assert asyncio.run(main()) < 30
    engine.dispose()


def test_what_is_done_together_is_done_in_order_and_bounded(tmp_path: Path) -> None:
    """Things of neighbouring requests come in one call, up to a weight; each request gets its own outcome."""
    engine = open_storage(tmp_path)
    calls: list[list[int]] = []

    def together(_connection: Connection, things: Sequence[int], _now: datetime) -> list[Any]:
        calls.append(list(things))
        return [Refused("not this one") if thing == 3 else thing for thing in things]

    async def main() -> list[Any]:
        intake = Intake(engine, lambda: NOW)
        weights = [1, 1, 1, 1, HEAVIEST - 2, 1, HEAVIEST * 2]
        waiting: list[Awaitable[Any]] = []
        for n, weight in enumerate(weights):
            if n == 2:
                waiting.append(intake.submit(lambda _c, _a: "alone"))
            waiting.append(intake.submit_together(together, n, weight))
        intake.start()
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        await intake.stop()
        return outcomes

    outcomes = asyncio.run(main())
    assert calls == [[0, 1], [2, 3, 4], [5], [6]]
    assert isinstance(outcomes.pop(4), Refused)
    assert outcomes == [0, 1, "alone", 2, 4, 5, 6]
    engine.dispose()
