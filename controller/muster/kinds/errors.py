"""Errors that say what happens next. Only these cross from one part to another.

| error       | what happens next                                  | exit |
|-------------|----------------------------------------------------|------|
| `Refused`   | somebody changes what was refused                   | 1    |
| `Unusable`  | somebody corrects the call, the file or the set-up  | 2    |
| `TryAgain`  | nothing is wrong here; the same call may work later | 2    |
"""

from __future__ import annotations


class MusterError(Exception):
    """What went wrong, and what would be right."""

    exit_code = 2

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Refused(MusterError):
    """The question was understood and the answer is no."""

    exit_code = 1


class Unusable(MusterError):
    """The question could not be understood: bad usage, unreadable input, missing set-up."""


class TryAgain(MusterError):
    """The world did not answer: network, lock, disk."""
