"""Kinds as plain data, for a process that has no library to declare them with.

A kind is written as its fields, its properties and the JSON that it dumps; there it is read as a value with the same
attributes. Only attributes, `model_dump` and comparisons of plain values work on it: stages need no more.
"""

from __future__ import annotations

import copy
from decimal import Decimal
from typing import Any, Final

KIND: Final = "$kind"
DECIMAL: Final = "$decimal"
TUPLE: Final = "$tuple"


class Values:
    """Attributes by name, as the kind had them."""

    def __init__(self, attributes: dict[str, Any], dumped: Any) -> None:
        self.__dict__.update(attributes)
        self._dumped = dumped

    def model_dump(self, **_: Any) -> Any:
        """The JSON that the kind dumped, for cache keys."""
        return copy.deepcopy(self._dumped)


def read_values(value: Any) -> Any:
    """What was written: see above. Raises `KeyError` for what was not written so."""
    if isinstance(value, list):
        return [read_values(item) for item in value]
    if not isinstance(value, dict):
        return value
    if DECIMAL in value:
        return Decimal(value[DECIMAL])
    if TUPLE in value:
        return tuple(read_values(item) for item in value[TUPLE])
    if KIND in value:
        return Values({name: read_values(item) for name, item in value[KIND].items()}, value["dump"])
    return {name: read_values(item) for name, item in value.items()}
