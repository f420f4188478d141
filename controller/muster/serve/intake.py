"""Intake: reports and enrolments are written in groups, and acknowledged when their group is durable.

One commit costs one flush of the disk whether it holds one report or five hundred, so requests that arrive while a
group is being written form the next one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine

from muster.kinds.errors import MusterError, TryAgain
from muster.observe.storage import writing

GROUP = 500
QUEUE = 5_000

Work = Callable[[Connection, datetime], Any]


class BusyError(TryAgain):
    """More requests wait than are worth keeping: come back later."""


@dataclass
class _Request:
    work: Work
    answer: asyncio.Future[Any]


class Intake:
    """A queue in front of the storage. One task writes; `submit` waits for the commit."""

    def __init__(self, engine: Engine, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._engine = engine
        self._clock = clock
        self._queue: asyncio.Queue[_Request] = asyncio.Queue(QUEUE)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to write; call inside the event loop."""
        self._task = asyncio.create_task(self._write_groups())

    async def stop(self) -> None:
        """Write what is waiting, then stop."""
        await self._queue.join()
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def submit(self, work: Work) -> Any:
        """Run `work(connection, now)` in a transaction shared with others; its result, once that is durable.

        Raises what `work` raised (its own changes are undone, those of others are not), or `BusyError`.
        """
        request = _Request(work, asyncio.get_running_loop().create_future())
        try:
            self._queue.put_nowait(request)
        except asyncio.QueueFull:
            raise BusyError("too many requests are waiting", "come back after the time in Retry-After") from None
        return await request.answer

    async def _write_groups(self) -> None:
        while True:
            group = [await self._queue.get()]
            while len(group) < GROUP and not self._queue.empty():
                group.append(self._queue.get_nowait())
            try:
                outcomes = await asyncio.to_thread(self._write, group)
            except Exception as error:  # noqa: BLE001 - whatever the storage raises must reach every waiting request
                outcomes = [TryAgain(f"the storage did not take the reports: {error}")] * len(group)
            for request, outcome in zip(group, outcomes, strict=True):
                if not request.answer.done():
                    if isinstance(outcome, BaseException):
                        request.answer.set_exception(outcome)
                    else:
                        request.answer.set_result(outcome)
                self._queue.task_done()

    def _write(self, group: list[_Request]) -> list[Any]:
        now = self._clock()
        outcomes: list[Any] = []
        with writing(self._engine) as connection:
            for request in group:
                try:
                    with connection.begin_nested():
                        outcomes.append(request.work(connection, now))
                except MusterError as error:
                    outcomes.append(error)
        return outcomes
