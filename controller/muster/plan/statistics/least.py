"""The least sum of a rising and a falling function over numbered cells.

A comparison of two arms does not know where the control lies, and takes the least evidence over all places.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

SHARP = 0.02
"""How far below the least sum the answer may lie: rounding errs towards no evidence."""


def least(rising: Callable[[int], float], falling: Callable[[int], float], cells: int) -> float:
    """A lower bound within `SHARP` of the least `rising(cell) + falling(cell)` over cells 0 to `cells` - 1.

    Branch and bound: on cells i to j the sum is at least `rising(i) + falling(j)`; of one cell that is the sum itself.
    """
    up, down = cache(rising), cache(falling)
    ranges = [(up(0) + down(cells - 1), 0, cells - 1)]
    reached = float("inf")
    while True:
        bound, first, last = min(ranges)
        if first == last or reached - bound <= SHARP:
            return bound
        ranges.remove((bound, first, last))
        middle = (first + last) // 2
        reached = min(reached, up(middle) + down(middle))
        ranges += [(up(first) + down(middle), first, middle), (up(middle + 1) + down(last), middle + 1, last)]
