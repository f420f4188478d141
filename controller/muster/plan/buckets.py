"""Buckets: what a device showed, as a whole number, so that devices can be counted by it.

A share is told apart by hundredths, an amount by the 32nd part of a doubling: a bucket ends 2.19 % above its beginning,
so that a quantile read off buckets is right to that (OpenTelemetry's exponential histogram at scale 5,
https://opentelemetry.io/docs/specs/otel/metrics/data-model/#exponentialhistogram).
"""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import Final

LEVELS: Final = 100
SCALE: Final = 32
LOWEST_BUCKET, HIGHEST_BUCKET = -20 * SCALE, 50 * SCALE
"""A millionth of a unit, and 10^15 units: what lies outside counts in the outermost bucket."""


def level_of(share: float) -> int:
    """0 to `LEVELS`."""
    return round(max(0.0, min(1.0, share)) * LEVELS)


def bucket_of(amount: float) -> int:
    """The bucket of an amount: `edge(bucket) < amount <= edge(bucket + 1)`. Zero, and what is below: the lowest."""
    return max(LOWEST_BUCKET, LOWEST_BUCKET + bisect_left(_EDGES, amount) - 1)


def edge(bucket: int) -> float:
    """The lower edge of a bucket."""
    return math.exp2(bucket / SCALE)


# Looked up, since a logarithm may round to the other side of an edge.
_EDGES: Final = tuple(edge(bucket) for bucket in range(LOWEST_BUCKET, HIGHEST_BUCKET + 1))
