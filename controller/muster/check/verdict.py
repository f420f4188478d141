"""Verdict: the answer of one rule about one subject. Everything that judges a change answers in these.

Four outcomes, kept apart: `fail` (the value is bad), `error` (it could not be measured or read), `inconclusive` (not
enough yet to tell), `pass`. What blocks is decided here and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from muster.kinds.finding import Place, Pointer
from muster.kinds.policy import Severity, TierName

Outcome = Literal["pass", "fail", "error", "inconclusive"]
Subjects = Literal["change", "gate", "transition", "weakening", "approval", "checklist", "document"]
"""The sections of a report, in which verdicts are shown."""


@dataclass(frozen=True)
class Waived:
    """The waiver that hides a verdict."""

    name: str
    owner: str
    reason: str
    expires: str


@dataclass(frozen=True)
class Verdict:
    """`rule` is `<section>/<name>`: "gate/accuracy", "transition/step", "weakening/threshold", "approval/role".

    `subject` is a release's name, or a path. `gate` is the declared name of a gate ("accuracy-kept"). `measured` and
    `threshold` are texts with their units. `where` points to what a person would edit; `place` is its line, once looked
    up. `message` is one sentence; `hint` says what would make it pass: a command, where there is one.
    """

    rule: str
    subject: str
    outcome: Outcome
    message: str
    hint: str = ""
    severity: Severity = "block"
    tier: TierName | None = None
    gate: str | None = None
    device_class: str | None = None
    slice: str | None = None
    measured: str | None = None
    threshold: str | None = None
    evidence: str | None = None
    lifts_at: str | None = None
    """When a verdict that only time can lift does so, as an ISO time."""
    where: Pointer | None = None
    place: Place | None = None
    waived: Waived | None = None

    @property
    def section(self) -> str:
        """The part of a report that it stands in."""
        return self.rule.partition("/")[0]

    @property
    def blocks(self) -> bool:
        """True if the change may not be merged while this stands.

        `inconclusive` blocks from `production` on, and where no tier says how much is at stake; below it warns.
        """
        if self.outcome == "pass" or self.severity == "warn" or self.waived is not None:
            return False
        return self.outcome != "inconclusive" or self.tier != "research"

    @property
    def warns(self) -> bool:
        """True if it does not hold and does not block."""
        return self.outcome != "pass" and not self.blocks
