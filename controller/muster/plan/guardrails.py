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
    limit = guardrail.limit_ppm
    if guardrail.metric != "failure-share" or limit is None:
        # Phases say nothing about it, and what nobody judged must not pass.
        reason = f"how far devices came says nothing about {guardrail.name} ({guardrail.metric})"
        return Verdict(release, device_class, guardrail.name, "undecided", 0, exposure.tried, 0, reason)
    return _failure_share(guardrail, limit, (release, device_class), exposure)


def _failure_share(guardrail: Guardrail, limit: int, where: tuple[str, str], exposure: Exposure) -> Verdict:
    failures, tried = exposure.failures, exposure.tried
    share = f"{failures} of {tried} devices that tried it failed in {where[1]}"
    codes = ", ".join(f"{code} ×{count}" for code, count in sorted(exposure.error_codes.items()))
    outcome: Outcome
    if tried < guardrail.min_devices:
        outcome = "undecided"
        reason = f"{share}; {guardrail.min_devices} devices must have tried it before {guardrail.name} is decided"
    elif failures * PPM > limit * tried:
        outcome = "harm"
        reason = f"{share}, more than {guardrail.name} allows ({format_percent(limit)})" + (
            f": {codes}" if codes else ""
        )
    else:
        outcome = "holds"
        reason = f"{share}, within {guardrail.name} ({format_percent(limit)})"
    return Verdict(*where, guardrail.name, outcome, failures, tried, limit, reason)
