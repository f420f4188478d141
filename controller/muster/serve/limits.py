"""How often somebody may ask: a burst, then a steady rate. What the limits themselves cost is bounded.

The generic cell rate algorithm keeps one number for each key, the moment at which its burst would be whole again
(ITU-T I.371, "virtual scheduling"). When too many keys are known, the one that was longest unheard is forgotten: it
asks little.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

MOST_KEYS = 100_000


@dataclass(frozen=True)
class Rate:
    """`burst` at once, and `per_second` in the long run."""

    burst: int
    per_second: float


class Limiter:
    """The same rate for each key. `timer` in seconds."""

    def __init__(self, rate: Rate, most_keys: int = MOST_KEYS, timer: Callable[[], float] = time.monotonic) -> None:
        self._pause = 1 / rate.per_second
        self._tolerance = (rate.burst - 1) * self._pause
        self._most_keys = most_keys
        self._timer = timer
        self._whole_at: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._whole_at)

    def knows(self, key: str) -> bool:
        """True if the key was heard of, and not so long ago that it was forgotten."""
        return key in self._whole_at

    def wait(self, key: str) -> float:
        """Seconds until the key may ask; 0.0 if it may now. Nothing is taken."""
        return self._early(self._whole_at.get(key, 0.0), self._timer())

    def _early(self, whole_at: float, now: float) -> float:
        return max(0.0, whole_at - self._tolerance - now)

    def take(self, key: str) -> float:
        """The same, and takes one if it may."""
        now, whole_at = self._timer(), self._whole_at.get(key, 0.0)
        if early := self._early(whole_at, now):
            return early
        self._whole_at[key] = max(whole_at, now) + self._pause
        self._whole_at.move_to_end(key)
        if len(self._whole_at) > self._most_keys:
            self._whole_at.popitem(last=False)
        return 0.0
