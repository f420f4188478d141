"""The verdict: what was decided, on which numbers, and what would change it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["harm", "no-worse", "undecided", "cannot-tell"]
"""harm: halt. no-worse: advance. undecided: hold, until the declared longest wait. cannot-tell: hold, and say whose
telemetry is missing."""


@dataclass(frozen=True)
class Sample:
    """Devices of one arm: `judged` showed what is asked for, the others are what is left out, and why."""

    judged: int
    failed: int
    pending: int
    missing: int
    recalled: int


@dataclass(frozen=True)
class Verdict:
    """One question, answered.

    estimate, control      what ended trials show in each arm; None: nothing yet
    boundary               beyond it is harm
    lower, upper           between these the true value lies, with the declared error, at all times together; None: open
                           (`decide` does not ask, `explain` does)
    harm, no_worse         natural logarithms of the e-processes
    harm_needed, no_worse_needed   what they are compared with
    too_few                fewer devices tried than must have, before their evidence counts
    error_ppm              error that a verdict of harm spends of the release's declared one
    """

    outcome: Outcome
    reason: str
    lifted_by: str
    boundary: float
    estimate: float | None = None
    control: float | None = None
    lower: float | None = None
    upper: float | None = None
    harm: float = 0.0
    no_worse: float = 0.0
    harm_needed: float = 0.0
    no_worse_needed: float = 0.0
    candidate_sample: Sample = Sample(0, 0, 0, 0, 0)
    control_sample: Sample = Sample(0, 0, 0, 0, 0)
    exposure_ppm: int = 0
    error_ppm: int = 0
    too_few: bool = False

    def record(self) -> dict[str, object]:
        """For the ledger: whole numbers and text only, so that canonical JSON takes it."""
        return {
            "outcome": self.outcome,
            "reason": self.reason,
            "liftedBy": self.lifted_by,
            "boundary": number(self.boundary),
            "estimate": number(self.estimate),
            "control": number(self.control),
            "lower": number(self.lower),
            "upper": number(self.upper),
            "evidence": {"harm": number(self.harm), "noWorse": number(self.no_worse)},
            "needed": {"harm": number(self.harm_needed), "noWorse": number(self.no_worse_needed)},
            "candidate": vars(self.candidate_sample) | {},
            "controlArm": vars(self.control_sample) | {},
            "exposurePpm": self.exposure_ppm,
            "errorPpm": self.error_ppm,
        }


def number(value: float | None) -> str | None:
    """A number as text, to six significant digits."""
    return None if value is None else f"{value:.6g}"
