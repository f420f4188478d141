"""When a delivery is tried again: pure, time is a parameter.

After 5 s, then twice as long each time, up to an hour; up to a fifth is added, by the key, so that what failed together
does not come back together. A day after the alert was first to be delivered it is given up.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Final

FIRST_PAUSE: Final = timedelta(seconds=5)
LONGEST_PAUSE: Final = timedelta(hours=1)
GIVEN_UP_AFTER: Final = timedelta(days=1)
_MOST_DOUBLINGS = 10


def next_attempt(
    key: str, attempts: int, since: datetime, now: datetime, asked: timedelta | None = None
) -> datetime | None:
    """When to try again after `attempts` attempts (1 or more); None: given up.

    `asked` is the pause that the other side asked for; it lengthens ours, within an hour.
    """
    pause = min(FIRST_PAUSE * 2 ** min(attempts - 1, _MOST_DOUBLINGS), LONGEST_PAUSE)
    spread = int.from_bytes(hashlib.sha256(f"{key}|{attempts}".encode()).digest()[:2], "big") / 2**16
    pause = max(pause * (1 + spread / 5), min(asked or FIRST_PAUSE, LONGEST_PAUSE))
    return now + pause if now + pause < since + GIVEN_UP_AFTER else None
