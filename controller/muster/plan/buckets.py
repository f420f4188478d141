"""Buckets: what a device showed, as a small whole number, so that devices can be counted by it.

A share is told apart by thousandths. An amount falls into one of about 1,700 buckets that each end 2 % above their
beginning (below 50, one unit above), so that a quantile read off them is right to 2 %. Integers only: two machines
never disagree about a bucket.
"""

from __future__ import annotations

from bisect import bisect_right
from functools import cache

SHARES = 1_000
MOST = 10**15


def share_bucket(ppm: int) -> int:
    """0 to 1,000, half up."""
    return (min(max(ppm, 0), 1_000_000) + 500) // 1_000


def share_of(bucket: int) -> float:
    """The share in the middle of a bucket."""
    return bucket / SHARES


def amount_bucket(amount: int) -> int:
    """The bucket of a whole amount from 0 to `MOST`; what lies beyond falls into the last."""
    return bisect_right(_edges(), min(max(amount, 0), MOST)) - 1


def amount_range(bucket: int) -> tuple[int, int]:
    """The least amount in the bucket, and the least above it."""
    edges = _edges()
    return edges[bucket], edges[bucket + 1]


@cache
def _edges() -> tuple[int, ...]:
    edges = [0]
    while edges[-1] <= MOST:
        edges.append(max(edges[-1] + 1, edges[-1] * 51 // 50))
    return tuple(edges)
