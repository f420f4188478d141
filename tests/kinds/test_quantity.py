"""Quantities: what is read back is what was written, and what has no unit is refused."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from muster.kinds import quantity


@given(st.integers(0, quantity.PPM))
def test_percentages_round_trip(ppm: int) -> None:
    """Every share that the format can hold survives writing and reading."""
    assert quantity.parse_percent(quantity.format_percent(ppm // 100 * 100)) == ppm // 100 * 100


@pytest.mark.parametrize(
    ("parse", "write", "largest"),
    [
        (quantity.parse_duration, quantity.format_duration, 10**14),
        (quantity.parse_size, quantity.format_size, 2**45),
        (quantity.parse_rate, quantity.format_rate, 10**14),
    ],
    ids=["duration", "size", "rate"],
)
def test_units_round_trip(parse, write, largest) -> None:
    """The printer chooses a unit that loses nothing."""

    @given(st.integers(0, largest))
    def check(amount: int) -> None:
        assert parse(write(amount)) == amount

    check()


@pytest.mark.parametrize(
    ("text", "expected"),
    [("18.5ms", 18_500), ("1d", 86_400_000_000), ("0s", 0), ("250us", 250)],
)
def test_durations(text: str, expected: int) -> None:
    """Durations are whole microseconds."""
    assert quantity.parse_duration(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "5",
        "5 %",
        "-1%",
        "101%",
        "100.0001%",
        "1.23456%",
        "1e2%",
        "%",
        "٥%",
        "5%\n",
        "05%",
        5,
        5.0,
        None,
        True,
        [],
        "٣٣%",
    ],
)
def test_what_is_no_percentage_is_refused(text: object) -> None:
    """No sign, no exponent, no other digits, no number outside quotes, at most four decimals and 100 %."""
    with pytest.raises(ValueError, match=r"percentage|more than"):
        quantity.parse_percent(text)


@pytest.mark.parametrize("text", ["10", "10 ms", "ms", "1.5us", "1h30m", "-5s", "10MS", 10, 1.5, None])
def test_what_is_no_duration_is_refused(text: object) -> None:
    """A number needs its unit, and must be whole in the smallest one."""
    with pytest.raises(ValueError, match=r"duration|whole number"):
        quantity.parse_duration(text)


@given(st.one_of(st.integers(), st.floats(), st.booleans(), st.none(), st.text(max_size=8)))
def test_json_holds_quantities_as_strings_only(value: object) -> None:
    """From YAML and JSON nothing but a string with its unit becomes a quantity."""
    adapter = TypeAdapter(quantity.Percent)
    try:
        adapter.validate_json(json.dumps(value))
    except (ValidationError, ValueError):
        return
    assert isinstance(value, str)
    assert value.endswith("%")


@given(st.text(max_size=30))
def test_parsers_refuse_with_a_hint(text: str) -> None:
    """Whatever the text: an amount, or a ValueError that says what would be right."""
    for parse in (quantity.parse_percent, quantity.parse_duration, quantity.parse_size, quantity.parse_decimal):
        with contextlib.suppress(ValueError), _hinting():
            parse(text)


@contextlib.contextmanager
def _hinting() -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        if not re.search("in quotes|whole number|more than", str(error)):
            pytest.fail(f"no hint in: {error}")
        raise
