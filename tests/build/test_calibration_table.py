"""Ranges: snapped outward exactly, written as one byte string, read with suspicion."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from muster.build.calibration_table import CalibrationTable, read_table, snap_outward, snap_table
from muster.kinds.errors import Refused

FLOATS = st.floats(-(2.0**100), 2.0**100, width=32)
BITS = st.integers(6, 24)


@given(value=FLOATS, bits=BITS, up=st.booleans())
def test_snapping_is_outward_near_and_on_the_grid(value: float, bits: int, up: bool) -> None:
    """Never inward, never more than one step of the grid away, and a float32 on the grid afterwards."""
    snapped = snap_outward(value, bits, up=up)
    assert snapped >= value if up else snapped <= value
    assert abs(Fraction(snapped) - Fraction(value)) <= abs(Fraction(value)) / 2 ** (bits - 1)
    mantissa, _ = math.frexp(snapped)
    assert mantissa * 2**bits == int(mantissa * 2**bits)
    assert snapped == float(np.float32(snapped))


@given(value=FLOATS, bits=BITS, up=st.booleans())
def test_snapping_twice_is_snapping_once(value: float, bits: int, up: bool) -> None:
    """A table is its own snapped table."""
    once = snap_outward(value, bits, up=up)
    assert once == snap_outward(once, bits, up=up)


@given(value=FLOATS, bits=BITS)
def test_snapping_is_symmetric(value: float, bits: int) -> None:
    """Up is down in the mirror."""
    assert snap_outward(value, bits, up=True) == -snap_outward(-value, bits, up=False)


@pytest.mark.parametrize(
    ("value", "up", "expected"),
    [(0.9, True, 1.0), (0.9, False, 0.875), (-0.9, True, -0.875), (-0.9, False, -1.0), (5.0, True, 5.0), (0, True, 0)],
)
def test_worked_examples(value: float, up: bool, expected: float) -> None:
    """With three bits, as the docstring tells."""
    assert expected == snap_outward(value, 3, up=up)


@given(st.dictionaries(st.text(min_size=1, max_size=5), st.tuples(FLOATS, FLOATS), max_size=5), BITS)
def test_tables_round_trip(ranges: dict[str, tuple[float, float]], bits: int) -> None:
    """Every bit of every bound survives, and the snapped table holds the measured one."""
    assume(all(name.isprintable() for name in ranges))
    ordered = {name: (min(pair) + 0.0, max(pair) + 0.0) for name, pair in ranges.items()}
    table = CalibrationTable("CalibratedRanges", "minmax", ordered)
    assert ordered == read_table(table.dump(), "CalibratedRanges").ranges
    snapped = read_table(snap_table(table, bits).dump(), "CalibrationTable")
    for name, (low, high) in ordered.items():
        assert snapped.ranges[name][0] <= low <= high <= snapped.ranges[name][1]


GOOD = CalibrationTable("CalibrationTable", "minmax", {"x": (-1.0, 2.0)}).dump()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b"[" * 100_000,
        GOOD + b" ",
        GOOD.replace(b"CalibrationTable", b"CalibratedRanges"),
        GOOD.replace(b"0x1.0000000000000p+1", b"inf"),
        GOOD.replace(b"0x1.0000000000000p+1", b"nan"),
        GOOD.replace(b"0x1.0000000000000p+1", b"0x1.0000000000001p+1"),
        GOOD.replace(b"0x1.0000000000000p+1", b"0x1.0p+1"),
        GOOD.replace(b"0x1.0000000000000p+1", b"-0x1.0000000000000p+1"),
        GOOD.replace(b"0x1.0000000000000p+1", b"0x1.0000000000000p+9999"),
        GOOD.replace(b'"0x1.0000000000000p+1"', b"2.0"),
    ],
)
def test_what_is_no_table_is_refused(data: bytes) -> None:
    """A pinned table comes from a store, and is not believed."""
    assert data != GOOD
    with pytest.raises(Refused, match="calibration table"):
        read_table(data, "CalibrationTable")
