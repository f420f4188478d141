"""Who commits for the controller, and to which branch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Identity:
    """`author` is "Name <address>"; `branch` is the one that is declared desired state."""

    author: str
    branch: str
