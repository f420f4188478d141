"""The calibration table: the range of every tensor, an artifact with a digest of its own.

Floats are written as hexadecimal text (`float.hex`), so that one table has one byte string. Every bound is a float32.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np

from muster.kinds.canonical import canonical_json
from muster.kinds.errors import Refused

MAX_SIZE: Final = 2**24
MAX_TENSORS: Final = 100_000

Kind = Literal["CalibratedRanges", "CalibrationTable"]


@dataclass(frozen=True)
class CalibrationTable:
    """Lowest and highest value per tensor. `kind` tells what was measured from what was snapped."""

    kind: Kind
    method: str
    ranges: Mapping[str, tuple[float, float]]

    def dump(self) -> bytes:
        """Canonical JSON; its digest is the table's digest."""
        tensors = {name: {"highest": high.hex(), "lowest": low.hex()} for name, (low, high) in self.ranges.items()}
        return canonical_json({"apiVersion": "muster/v1", "kind": self.kind, "method": self.method, "tensors": tensors})


def read_table(data: bytes, kind: Kind) -> CalibrationTable:
    """Parse a table. Raises `Refused` unless it is canonical, bounded, finite and in float32."""
    try:
        value = json.loads(data[: MAX_SIZE + 1])
        table = CalibrationTable(kind, value["method"], {n: _range(item) for n, item in value["tensors"].items()})
        canonical = (
            value["kind"] == kind
            and table.dump() == data
            and len(data) <= MAX_SIZE
            and len(table.ranges) <= MAX_TENSORS
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise Refused(f"not a calibration table: {error}", "build the release again without the cache") from error
    if not canonical:
        raise Refused("the calibration table is not in canonical form", "build the release again without the cache")
    return table


def _range(item: Any) -> tuple[float, float]:
    low, high = float.fromhex(item["lowest"]), float.fromhex(item["highest"])
    if not low <= high or any(math.isinf(bound) or float(np.float32(bound)) != bound for bound in (low, high)):
        raise ValueError(f"no range of float32 numbers: {low} to {high}")
    return low, high


def snap_outward(value: float, bits: int, *, up: bool) -> float:
    """The nearest number of `bits` significant bits that is not below (`up`) or not above `value`. Exact.

    With 3 bits: 0.9 up is 1.0, down 0.875; -0.9 up is -0.875, down -1.0; 5.0 stays (binary 101).
    Proved by tests/build/test_calibration_table.py.
    """
    mantissa, exponent = math.frexp(value)
    # In steps of 2**-bits a mantissa in [0.5, 1) is a whole number of at least 2**(bits-1).
    steps = math.ldexp(mantissa, bits)
    return math.ldexp(float(math.ceil(steps) if up else math.floor(steps)), exponent - bits)


def snap_table(ranges: CalibrationTable, bits: int) -> CalibrationTable:
    """Every bound rounded outward to `bits` significant bits."""
    snapped = {
        name: (snap_outward(low, bits, up=False), snap_outward(high, bits, up=True))
        for name, (low, high) in ranges.ranges.items()
    }
    return CalibrationTable("CalibrationTable", ranges.method, snapped)
