"""What operators have written: in one transaction, by a thread of its own, refused with the status that says why."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

from sqlalchemy import Connection, Engine

from muster.observe.storage import writing
from muster.serve.answers import answered

_Written = TypeVar("_Written")


async def written(engine: Engine, work: Callable[[Connection, datetime], _Written]) -> _Written:
    """What `work` gives, once it is durable. Raises `HttpError`: 409 if it is refused, 503 if the storage is busy."""

    def write() -> _Written:
        with writing(engine) as connection:
            return work(connection, datetime.now(UTC))

    with answered(refused=409):
        return await asyncio.to_thread(write)
