"""Why a device did not get further, with the code that it reports.

| setback     | what happens next                                                           |
|-------------|------------------------------------------------------------------------------|
| `StepFailed`| the artifact is quarantined until it is named again on purpose               |
| `Postponed` | the same step is tried again later; what runs keeps running                  |
"""

from __future__ import annotations

import errno

from muster.kinds.errors import Refused, TryAgain

AWAY = "server_away"


class StepFailed(Refused):
    """The release cannot run on this device. `error_code` is a key of telemetry."""

    def __init__(self, error_code: str, message: str, hint: str | None = None) -> None:
        super().__init__(message, hint)
        self.error_code = error_code


class Postponed(TryAgain):
    """Not this time. `retry_after` in seconds is what the server asked for, if it asked."""

    def __init__(self, error_code: str, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.error_code = error_code
        self.retry_after = retry_after


def server_away(message: str, retry_after: float | None = None) -> Postponed:
    """The server did not answer, or not as it should."""
    return Postponed(AWAY, message, retry_after=retry_after)


def disk_full(message: str) -> Postponed:
    """The device has no room."""
    return Postponed("disk_full", message)


def disk_failed(message: str, error: BaseException) -> Postponed:
    """The disk took no write: no room, or another refusal (read-only, no permission, damaged)."""
    cause = error if isinstance(error, OSError) else error.__cause__
    if isinstance(cause, OSError) and cause.errno not in (errno.ENOSPC, errno.EDQUOT):
        return Postponed("disk_refused", message)
    return disk_full(message)
