"""Quantities: strings with a unit in YAML, integers in the program. No floats anywhere.

| type       | in YAML                       | in the program       |
|------------|-------------------------------|----------------------|
| `Percent`  | "5%", "0.25%"                 | parts per million    |
| `Duration` | "250us", "18.5ms", "30s", "1d"| microseconds         |
| `Size`     | "512B", "64KiB", "1.5GiB"     | bytes                |
| `Rate`     | "2G/s", "800M/s"              | units per second     |
| `Decimal`  | "0.94", "-1.5"                | `decimal.Decimal`    |
| `Threshold`| "0.94", "99%", "20ms", "4MiB" | the text; `measure_of` gives amount and dimension |
"""

from __future__ import annotations

import decimal
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal as _Decimal
from typing import Annotated, Any, Literal, TypeVar, cast

from pydantic import BeforeValidator, PlainSerializer, ValidationInfo, WithJsonSchema

from muster.kinds.ppm import PPM as PPM  # noqa: PLC0414 - it is offered here

Dimension = Literal["number", "time", "size"]

_Amount = TypeVar("_Amount")
_NUMBER = r"(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,6})?"
_PERCENT = re.compile(r"(?:0|[1-9][0-9]{0,2})(?:\.[0-9]{1,4})?%")
_DURATION_UNITS = {"us": 1, "ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}
_SIZE_UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_RATE_UNITS = {"/s": 1, "k/s": 10**3, "M/s": 10**6, "G/s": 10**9, "T/s": 10**12}
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,9})?")


def parse_percent(text: Any) -> int:
    """Parts per million of a percentage with at most four decimals.

    Raises `ValueError` for anything outside "0%" to "100%".
    """
    if not isinstance(text, str) or not _PERCENT.fullmatch(text):
        raise ValueError(f'not a percentage: {text!r}; write "5%" or "0.25%", in quotes, with at most four decimals')
    ppm = int(_Decimal(text[:-1]) * 10_000)
    if ppm > PPM:
        raise ValueError(f'{text} is more than "100%"')
    return ppm


def format_percent(ppm: int) -> str:
    """The shortest text that `parse_percent` reads back."""
    return f"{_plain(_Decimal(ppm) / 10_000)}%"


def _parse_unit(text: Any, units: dict[str, int], what: str, example: str) -> int:
    pattern = rf"({_NUMBER})({'|'.join(map(re.escape, units))})"
    match = re.fullmatch(pattern, text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"not a {what}: {text!r}; write {example}, in quotes, with one of {', '.join(units)}")
    amount = _Decimal(match[1]) * units[match[2]]
    if amount != int(amount):
        smallest = next(iter(units))
        raise ValueError(f"{text} is not a whole number of {smallest}")
    return int(amount)


def _format_unit(amount: int, units: dict[str, int]) -> str:
    for unit, factor in reversed(units.items()):
        if amount and amount % factor == 0:
            return f"{amount // factor}{unit}"
    return f"{amount}{next(iter(units))}"


def parse_duration(text: Any) -> int:
    """Microseconds. Raises `ValueError` for a missing or unknown unit."""
    return _parse_unit(text, _DURATION_UNITS, "duration", '"30m" or "18.5ms"')


def format_duration(microseconds: int) -> str:
    """The largest unit that divides the amount."""
    return _format_unit(microseconds, _DURATION_UNITS)


def parse_size(text: Any) -> int:
    """Bytes. Raises `ValueError` for a missing or unknown unit."""
    return _parse_unit(text, _SIZE_UNITS, "size", '"64MiB"')


def format_size(size: int) -> str:
    """The largest unit that divides the amount."""
    return _format_unit(size, _SIZE_UNITS)


def parse_rate(text: Any) -> int:
    """Units per second. Raises `ValueError` for a missing or unknown unit."""
    return _parse_unit(text, _RATE_UNITS, "rate", '"2G/s"')


def format_rate(rate: int) -> str:
    """The largest unit that divides the amount."""
    return _format_unit(rate, _RATE_UNITS)


def parse_decimal(text: Any) -> _Decimal:
    """An exact decimal. Raises `ValueError` for exponents, signs other than minus, and numbers outside quotes."""
    if isinstance(text, _Decimal):
        text = _plain(text)
    if not isinstance(text, str) or not _DECIMAL.fullmatch(text):
        raise ValueError(f'not a decimal: {text!r}; write "0.94", in quotes')
    return _Decimal(text)


@dataclass(frozen=True)
class Measure:
    """An exact amount with its dimension: a plain number (a share is one: "99%" is 0.99), µs, or bytes."""

    amount: _Decimal
    dimension: Dimension

    def __str__(self) -> str:
        if self.dimension == "number" or self.amount != int(self.amount):
            return _plain(self.amount) + {"number": "", "time": "us", "size": "B"}[self.dimension]
        return {"time": format_duration, "size": format_size}[self.dimension](int(self.amount))


def measure_of(text: Any) -> Measure:
    """The amount that a threshold names. Raises `ValueError` for what is neither number, percentage, time nor size."""
    if isinstance(text, str) and text.endswith("%"):
        return Measure(_Decimal(parse_percent(text)) / PPM, "number")
    if isinstance(text, str) and text.endswith("B"):
        return Measure(_Decimal(parse_size(text)), "size")
    if isinstance(text, str) and text[-1:].isalpha():
        return Measure(_Decimal(parse_duration(text)), "time")
    return Measure(parse_decimal(text), "number")


def _threshold(text: Any) -> str:
    try:
        measure_of(text)
    except ValueError as error:
        raise ValueError(f'not a threshold: {text!r}; write "0.99", "99%", "20ms" or "4MiB", in quotes') from error
    return str(text)


def _plain(value: _Decimal) -> str:
    return f"{value.normalize(decimal.Context(prec=40)):f}"


def _reader(parse: Callable[[Any], _Amount]) -> Callable[[Any, ValidationInfo], _Amount]:
    """What YAML and JSON hold is parsed; the program's own integers and decimals are taken as they are."""

    def read(value: Any, info: ValidationInfo) -> _Amount:
        if info.mode == "python" and isinstance(value, int | _Decimal) and not isinstance(value, bool):
            return cast("_Amount", value)
        return parse(value)

    return read


def _schema(pattern: str, description: str, *examples: str) -> WithJsonSchema:
    return WithJsonSchema(
        {"type": "string", "pattern": f"^{pattern}$", "description": description, "examples": list(examples)}
    )


def _unit_pattern(units: dict[str, int]) -> str:
    return f"{_NUMBER}({'|'.join(units)})"


Percent = Annotated[
    int,
    BeforeValidator(_reader(parse_percent)),
    PlainSerializer(format_percent),
    _schema(_PERCENT.pattern, "A percentage from 0% to 100%, at most four decimals.", "5%", "0.25%"),
]
Duration = Annotated[
    int,
    BeforeValidator(_reader(parse_duration)),
    PlainSerializer(format_duration),
    _schema(_unit_pattern(_DURATION_UNITS), "A duration with its unit.", "30m", "18.5ms"),
]
Size = Annotated[
    int,
    BeforeValidator(_reader(parse_size)),
    PlainSerializer(format_size),
    _schema(_unit_pattern(_SIZE_UNITS), "A number of bytes with its unit.", "64MiB"),
]
Rate = Annotated[
    int,
    BeforeValidator(_reader(parse_rate)),
    PlainSerializer(format_rate),
    _schema(_unit_pattern(_RATE_UNITS), "A rate per second.", "2G/s"),
]
Decimal = Annotated[
    _Decimal,
    BeforeValidator(_reader(parse_decimal)),
    PlainSerializer(_plain),
    _schema(_DECIMAL.pattern, "An exact decimal number.", "0.94"),
]
Threshold = Annotated[
    str,
    BeforeValidator(_threshold),
    _schema(
        f"({_DECIMAL.pattern}|{_PERCENT.pattern}|{_unit_pattern(_DURATION_UNITS)}|{_unit_pattern(_SIZE_UNITS)})",
        "What a gate compares with: a number, a percentage, a duration or a size.",
        "0.99",
        "20ms",
    ),
]
