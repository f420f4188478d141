"""Time, as it is handed to the agent: two clocks, because each is right where the other is wrong.

Windows and pauses are measured on the steady clock, which no time server sets; expiry of metadata needs the date.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import NamedTuple


class Moment(NamedTuple):
    """`steady` in seconds from any origin, never going back; `wall` with its time zone."""

    steady: float
    wall: datetime


def this_moment() -> Moment:
    """Both clocks, read now."""
    return Moment(time.monotonic(), datetime.now(UTC))
