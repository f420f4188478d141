"""What devices run, told apart by class, model, model file, config and runtime: what there is, how many, and who.

The index `running_by_what` is walked from one value to the next, so that finding what there is costs what is different,
not how many devices there are; counting costs the devices that are counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, and_, func, select

from muster.observe.storage import running
from muster.plan.drift import Runs

MOST_KINDS = 2_000
"""Different things that are looked at; a fleet has a few for each class, and only a hostile device makes thousands."""

_COLUMNS: tuple[Column[Any], ...] = (
    running.c.device_class,
    running.c.model,
    running.c.model_hash,
    running.c.config_version,
    running.c.runtime_version,
)

Seen = tuple[str, str, Runs]
"""(device class, model, what is run)"""


def seen(connection: Connection) -> list[Seen]:
    """What devices say that they run, each once; devices that run nothing are left out."""
    found: list[Seen] = []
    for device_class, model, *what in _walk(connection, (), _COLUMNS):
        found.append((device_class, model, Runs(*what)))
        if len(found) >= MOST_KINDS:
            break
    return found


def count(connection: Connection, one: Seen) -> int:
    """How many devices run this."""
    return int(connection.execute(select(func.count()).select_from(running).where(_is(one))).scalar_one())


def names(connection: Connection, one: Seen, limit: int) -> list[str]:
    """The first devices that run this, by their ids."""
    query = select(running.c.device_id).where(_is(one)).order_by(running.c.device_id).limit(limit)
    return list(connection.execute(query).scalars())


def _is(one: Seen) -> ColumnElement[bool]:
    device_class, model, runs = one
    values = (device_class, model, runs.model_hash, runs.config_version, runs.runtime_version)
    return and_(*(_equals(column, value) for column, value in zip(_COLUMNS, values, strict=True)))


def _equals(column: Column[Any], value: str | None) -> ColumnElement[bool]:
    return column.is_(None) if value is None else column == value


def _walk(
    connection: Connection, known: tuple[str | None, ...], columns: Sequence[Column[Any]]
) -> Iterator[tuple[Any, ...]]:
    """Every combination of values, below the values that are known of the columns before."""
    if not columns:
        yield known
        return
    bound = [_equals(column, value) for column, value in zip(_COLUMNS, known, strict=False)]
    column, *rest = columns
    # A device that runs nothing has no model file; what it has besides is no drift.
    if column.nullable and column is not running.c.model_hash:
        nothing = select(column).where(*bound, column.is_(None)).limit(1)
        if connection.execute(nothing).first() is not None:
            yield from _walk(connection, (*known, None), rest)
    value: str | None = connection.execute(select(func.min(column)).where(*bound)).scalar()
    while value is not None:
        yield from _walk(connection, (*known, value), rest)
        value = connection.execute(select(func.min(column)).where(*bound, column > value)).scalar()
