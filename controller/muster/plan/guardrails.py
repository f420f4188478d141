"""Guardrails: is a release doing harm, per device class, among the devices that tried it?

Verdicts: *harm* (halt), *holds* (no harm seen, enough devices), *undecided* (not enough devices yet).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from muster.kinds.policy import Guardrail
from muster.kinds.quantity import PPM, format_percent
from muster.plan.world import Exposure

Outcome = Literal["harm", "holds", "undecided"]


@dataclass(frozen=True)
class Verdict:
    """One guardrail on one release in one device class: the numbers it was decided on, and the sentence."""

    release: str
    device_class: str
    guardrail: str
    outcome: Outcome
    failures: int
    tried: int
    limit_ppm: int
    reason: str


def judge(guardrail: Guardrail, release: str, device_class: str, exposure: Exposure) -> Verdict:
    """Compare the failure share with its limit.

    Integers only: failures · 1,000,000 > limit · tried. Harm needs `min_devices` failures' worth of trial, not of
    failure: with `min_devices: 2`, one failure among two devices that tried is judged, one among one is not.
    """
    failures, tried = exposure.failures, exposure.tried
    share = f"{failures} of {tried} devices that tried it failed in {device_class}"
    limit = format_percent(guardrail.limit)
    codes = ", ".join(f"{code} ×{count}" for code, count in sorted(exposure.error_codes.items()))
    outcome: Outcome
    if tried < guardrail.min_devices:
        outcome = "undecided"
        reason = f"{share}; {guardrail.min_devices} devices must have tried it before {guardrail.name} is decided"
    elif failures * PPM > guardrail.limit * tried:
        outcome = "harm"
        reason = f"{share}, more than {guardrail.name} allows ({limit})" + (f": {codes}" if codes else "")
    else:
        outcome = "holds"
        reason = f"{share}, within {guardrail.name} ({limit})"
    return Verdict(release, device_class, guardrail.name, outcome, failures, tried, guardrail.limit, reason)
