"""Who is told when a private key signs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class KeyUse:
    """One use: the id of the key, in which role, about what, and the digest of what is signed (or of the signature)."""

    key: str
    role: str
    subject: str
    signed: str


KeyWatch = Callable[[KeyUse, datetime], None]
"""Told of a use before it happens."""


def nobody(_use: KeyUse, _at: datetime) -> None:
    """Where no ledger is kept."""
