"""Moments as options take them."""

from __future__ import annotations

from datetime import datetime, timedelta

from muster.kinds.errors import Unusable
from muster.kinds.quantity import parse_duration


def moment(text: str, option: str, now: datetime) -> datetime:
    """`2026-01-31T12:00:00Z`, a day (`2026-01-31`, in UTC), `now`, or a time ago (`90d`, `15m`). Raises `Unusable`."""
    if text == "now":
        return now
    try:
        if text[-1:].isalpha() and text[:1].isdigit() and text[-1] not in "Zz":
            return now - timedelta(microseconds=parse_duration(text))
        at = datetime.fromisoformat(text)
    except (ValueError, OverflowError) as error:
        raise Unusable(
            f"{option}: not a time: {text[:100]!r}", "write 2026-01-31T12:00:00Z, or 90d for so long ago"
        ) from error
    return at if at.tzinfo else at.replace(tzinfo=now.tzinfo)
