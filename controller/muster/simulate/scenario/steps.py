"""The steps of a rollout, the same for every policy beside another one: cohort by cohort, by the steps of the tier."""

from __future__ import annotations

from dataclasses import dataclass

from muster.kinds.policy import Tier
from muster.kinds.ppm import PPM
from muster.kinds.scenario import ScenarioSpec
from muster.simulate.scenario.declared import CANARY, REST


@dataclass(frozen=True)
class Step:
    """So much of each cohort; `share` of the whole fleet, in ppm."""

    cohorts: dict[str, int]
    share: int


def steps_of(spec: ScenarioSpec, tier: Tier) -> tuple[Step, ...]:
    """All of the first cohort, then all of the second."""
    canary = spec.population.canary
    first = [Step({CANARY: ppm, REST: 0}, canary * ppm // PPM) for ppm in tier.steps] if canary else []
    second = [Step({CANARY: PPM, REST: ppm}, canary + (PPM - canary) * ppm // PPM) for ppm in tier.steps]
    return (*first, *second)
