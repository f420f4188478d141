"""A cap on what is received: so many bytes a second in the long run, and a short burst.

The generic cell rate algorithm, as for requests (ITU-T I.371, "virtual scheduling"): one number, the moment at which
the burst would be whole again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

BURST_SECONDS = 1.0
"""What may come at once, in seconds of the rate."""


class Bandwidth:
    """`per_second` bytes, for all connections that share this. `timer` in seconds; `pause` waits that long."""

    def __init__(
        self,
        per_second: float,
        timer: Callable[[], float] = time.monotonic,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        self._per_second = per_second
        self._timer = timer
        self._pause = pause
        self._whole_at = 0.0
        self._lock = threading.Lock()

    @property
    def piece(self) -> int:
        """The most bytes to read at once, so that pauses stay short: a quarter of a second's."""
        return max(256, int(self._per_second / 4))

    def spend(self, count: int) -> float:
        """Wait until `count` bytes, which came, are within the rate. Returns the seconds that it took."""
        with self._lock:
            now = self._timer()
            self._whole_at = max(self._whole_at, now) + count / self._per_second
            wait = self._whole_at - now - BURST_SECONDS
        if wait <= 0:
            return 0.0
        self._pause(wait)
        return wait
