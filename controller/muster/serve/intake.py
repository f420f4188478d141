"""Intake: reports and enrolments are written in groups, and acknowledged when their group is durable.

One commit costs one flush of the disk whether it holds one report or five hundred, so requests that arrive while a
group is being written form the next one.

The storage has one write lock, which the loop needs too. A group holds it for `GROUP_SECONDS` and one request more at
most; then it is the turn of whoever waits in this process. Other processes have no turns (a command that somebody types
beside `muster run`): they find the lock free in a pause, whenever groups have held it for `PAUSE_EVERY` together.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine

from muster.kinds.errors import MusterError, TryAgain
from muster.observe.storage import writing

GROUP = 500
QUEUE = 5_000
GROUP_SECONDS = 0.25
HEAVIEST = 2_000
"""Of what is done together: a fraction of `GROUP_SECONDS`."""
PAUSE_EVERY = 5.0
PAUSE_SECONDS = 0.12
"""SQLite looks for the lock every tenth of a second while it waits: a shorter pause might be missed every time."""

Work = Callable[[Connection, datetime], Any]
Together = Callable[[Connection, Sequence[Any], datetime], Sequence[Any]]
"""Work on many things at once: for each, in their order, its result or the `MusterError` that it is refused with."""


class BusyError(TryAgain):
    """More requests wait than are worth keeping: come back later."""


@dataclass(slots=True)
class _Request:
    """`work` on its own, or `thing` (of `weight`) together with others for which the same is to be done."""

    answer: asyncio.Future[Any]
    work: Work | None = None
    together: Together | None = None
    thing: Any = None
    weight: int = 1


class Intake:
    """A queue in front of the storage. One task writes; `submit` waits for the commit."""

    def __init__(
        self,
        engine: Engine,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._timer = timer
        self._waiting: deque[_Request] = deque()
        self._came = asyncio.Event()
        self._idle = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        # A thread of its own: others may all be busy with strangers.
        self._writer = ThreadPoolExecutor(1, "intake")

    def start(self) -> None:
        """Begin to write; call inside the event loop."""
        self._task = asyncio.create_task(self._write_groups())

    async def stop(self) -> None:
        """Write what is waiting, then stop."""
        await self._idle.wait()
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._writer.shutdown()

    def submit(self, work: Work) -> Awaitable[Any]:
        """Run `work(connection, now)` in a transaction shared with others; its result, once that is durable.

        Raises what `work` raised (its own changes are undone, those of others are not), or `BusyError`.
        """
        return self._queued(_Request(asyncio.get_running_loop().create_future(), work))

    def submit_together(self, together: Together, thing: Any, weight: int) -> Awaitable[Any]:
        """The result for `thing` of `together(connection, things, now)`, once it is durable; `things` are those of
        several requests, of `HEAVIEST` at most unless one alone is heavier. Raises what is said to be its refusal, or
        `BusyError`.
        """
        answer = asyncio.get_running_loop().create_future()
        return self._queued(_Request(answer, None, together, thing, weight))

    def _queued(self, request: _Request) -> Awaitable[Any]:
        if len(self._waiting) >= QUEUE:
            raise BusyError("too many requests are waiting", "come back after the time in Retry-After")
        self._waiting.append(request)
        self._came.set()
        self._idle.clear()
        return request.answer

    async def _write_groups(self) -> None:
        waiting = self._waiting
        held = 0.0
        while True:
            if not waiting:
                self._idle.set()
                self._came.clear()
                await self._came.wait()
            began = self._timer()
            outcomes = await self._outcomes(list(itertools.islice(waiting, GROUP)))
            held += self._timer() - began
            for outcome in outcomes:
                _answer(waiting.popleft(), outcome)
            if held >= PAUSE_EVERY:
                await asyncio.sleep(PAUSE_SECONDS)
                held = 0.0

    async def _outcomes(self, group: list[_Request]) -> list[Any]:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._writer, self._write, group)
        except Exception as error:  # noqa: BLE001 - whatever the storage raises must reach every waiting request
            return [TryAgain(f"the storage did not take the reports: {error}")] * len(group)

    def _write(self, group: list[_Request]) -> list[Any]:
        """Outcomes of the first requests of the group, as many as fit into the time; of one at least."""
        now = self._clock()
        outcomes: list[Any] = []
        with writing(self._engine) as connection:
            began = self._timer()
            while len(outcomes) < len(group):
                outcomes += _done(connection, group[len(outcomes) :], now)
                if self._timer() - began >= GROUP_SECONDS:
                    break
        return outcomes


def _done(connection: Connection, group: Sequence[_Request], now: datetime) -> Sequence[Any]:
    """Outcomes of the first request, and of those behind it that are done together with it."""
    first = group[0]
    if first.together is not None:
        weights = itertools.accumulate(request.weight for request in group)
        run = [
            request.thing
            for request, weight in itertools.takewhile(
                lambda pair: pair[0].together == first.together and (pair[0] is first or pair[1] <= HEAVIEST),
                zip(group, weights, strict=True),
            )
        ]
        return first.together(connection, run, now)
    assert first.work is not None
    try:
        with connection.begin_nested():
            return [first.work(connection, now)]
    except MusterError as error:
        return [error]


def _answer(request: _Request, outcome: Any) -> None:
    if request.answer.done():
        return
    if isinstance(outcome, BaseException):
        request.answer.set_exception(outcome)
    else:
        request.answer.set_result(outcome)
