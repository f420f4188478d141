"""Statements that every report runs: made and compiled once, and run on rows as the driver takes and gives them.

SQLAlchemy works out anew for each row which value goes where, and how it is written, and for each statement what comes
back. That costs more than SQLite takes to do it. Names and types are those of the tables all the same.
"""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, Final

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Executable,
    String,
    Table,
    bindparam,
    column,
    func,
    select,
)
from sqlalchemy.dialects.sqlite import Insert, insert, pysqlite
from sqlalchemy.sql.expression import ClauseElement

_DIALECT: Final = pysqlite.dialect()
_MOST_DECODED: Final = 4_096
_LONGEST_DECODED: Final = 512
_ASKED: Final = "asked"
_IN: Final = "in_"
"""Before the name of a parameter: the name of a column alone is taken, in an update."""


class Compiled:
    """One statement."""

    def __init__(self, statement: Executable) -> None:
        assert isinstance(statement, ClauseElement)
        compiled = statement.compile(dialect=_DIALECT)
        names = getattr(compiled, "positiontup", None) or [_ASKED]
        self._values = itemgetter(*(name.removeprefix(_IN) for name in names))
        self._text = str(compiled)

    def write(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> int:
        """Run it once for each row, which has the values of its parameters by name. JSON is text in these (see
        `encoded`). Returns how many rows it changed.
        """
        if not rows:
            return 0
        with _cursor(connection) as cursor:
            cursor.executemany(self._text, [self._values(row) for row in rows])
            return int(cursor.rowcount)

    def read(self, connection: Connection, asked: Iterable[str]) -> Sequence[Sequence[Any]]:
        """The rows for the ids that `is_asked` is about, as they are stored (see `decoded`)."""
        with _cursor(connection) as cursor:
            return list(cursor.execute(self._text, (json.dumps(list(asked)),)).fetchall())


def _cursor(connection: Connection) -> contextlib.closing[Any]:
    """The driver's own: within the transaction of `observe.storage.writing`, which knows its errors."""
    return contextlib.closing(connection.connection.cursor())


def upsert(table: Table) -> Insert:
    """Write a row as a whole, over the one of the same primary key if there is one."""
    keys = [column.name for column in table.primary_key]
    new = insert(table)
    rest = {column.name: new.excluded[column.name] for column in table.columns if column.name not in keys}
    return new.on_conflict_do_update(index_elements=keys, set_=rest)


def given(name: str) -> BindParameter[Any]:
    """The value that a row has under this name, in the condition or the assignments of an update."""
    return bindparam(_IN + name)


def is_asked(of: ColumnElement[Any]) -> ColumnElement[bool]:
    """The condition that this is one of the ids that `Compiled.read` is given, however many those are."""
    asked = func.json_each(bindparam(_ASKED, type_=String)).table_valued(column("value", String))
    return of.in_(select(asked.c.value))


def encoded(value: Any) -> str | None:
    """A value for a JSON column."""
    if value == {}:
        # As most are; to make an encoder costs more than the rest of a row.
        return "{}"
    return None if value is None else json.dumps(value)


def decoded(text: str | None) -> Any:
    """What a JSON column holds. Not to be changed: devices whose labels are the same share them."""
    if text is None:
        return None
    return _remembered(text) if len(text) <= _LONGEST_DECODED else json.loads(text)


_remembered = functools.lru_cache(_MOST_DECODED)(json.loads)
