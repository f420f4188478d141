"""What a controller knows of its fleet, as far as a pull request is judged by it. None of it is in git."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal


@dataclass(frozen=True)
class GuardrailFact:
    """One guardrail's verdict on a release in a device class."""

    device_class: str
    guardrail: str
    outcome: Literal["harm", "no-worse", "undecided", "cannot-tell"]
    reason: str


@dataclass(frozen=True)
class Step:
    """The percentage of a cohort that is published now, and since when; `generation` is the first that had it."""

    ppm: int
    since: datetime
    generation: int = 0


@dataclass(frozen=True)
class FieldState:
    """`devices` counts by (device class, cohort); the others by release name, `steps` by (release name, cohort)."""

    at: datetime
    devices: Mapping[tuple[str, str], int] = field(default_factory=dict)
    guardrails: Mapping[str, tuple[GuardrailFact, ...]] = field(default_factory=dict)
    steps: Mapping[tuple[str, str], Step] = field(default_factory=dict)
    stored: frozenset[str] = frozenset()
    """Artifact digests whose bytes the controller has at hand."""
    suspended: frozenset[str] = frozenset()
    """Names of releases under a suspension."""
