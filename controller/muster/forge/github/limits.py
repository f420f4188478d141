"""When to ask again: rate limits as GitHub announces them, and back-off for its own failures. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

SECONDARY = 60.0
"""GitHub's advice where a secondary limit names no time: at least a minute."""

_NUMBER = re.compile(r"[0-9]{1,12}")


def is_limited(status: int, headers: Mapping[str, str], body: bytes) -> bool:
    """True if the request was turned away for its number, and was not carried out."""
    if status == 429:
        return True
    told = "retry-after" in headers or headers.get("x-ratelimit-remaining") == "0"
    return status == 403 and (told or b"rate limit" in body[:10_000].lower())


def limited_for(headers: Mapping[str, str], now: float, attempt: int) -> float:
    """Seconds to wait before a limited request is sent again. `now` counts seconds since 1970."""
    after = _NUMBER.fullmatch(headers.get("retry-after", ""))
    if after:
        return float(after[0])
    reset = _NUMBER.fullmatch(headers.get("x-ratelimit-reset", ""))
    if headers.get("x-ratelimit-remaining") == "0" and reset:
        return max(1.0, float(reset[0]) - now + 1.0)
    return SECONDARY * float(2**attempt)


def backoff(attempt: int) -> float:
    """Seconds before attempt number `attempt` + 1 after a failure of the server: 1, 2, 4, 8, 16."""
    return float(2 ** min(attempt, 4))
