"""Moments as statements write them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, StringConstraints


def utc_text(moment: datetime) -> str:
    """As evidence writes times: whole seconds, UTC, `Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment_of(text: str) -> datetime:
    """The moment that a text names. Raises `ValueError`."""
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError as error:
        raise ValueError(f"no such moment: {text}; write 2026-01-05T08:00:00Z") from error


def _checked(text: str) -> str:
    moment_of(text)
    return text


UtcMoment = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$"),
    AfterValidator(_checked),
]
"""A moment in UTC, as `2026-01-05T08:00:00Z`."""
