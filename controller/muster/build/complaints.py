"""Other libraries' complaints in one line."""

from __future__ import annotations


def first_line(error: Exception) -> str:
    """The first line of an error's text, at most 300 characters; its type if it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
