"""Play a scenario under Muster and under the policies beside it: the same devices, the same luck, the same steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from muster.kinds.policy import Policy, TierName
from muster.kinds.scenario import Scenario, ScenarioSpec
from muster.simulate.scenario.declared import Declared, declare
from muster.simulate.scenario.field import Field
from muster.simulate.scenario.muster_policy import MusterPolicy
from muster.simulate.scenario.peers.hawkbit import FixedErrorShare
from muster.simulate.scenario.peers.kayenta import WindowedMannWhitney
from muster.simulate.scenario.peers.mender import TimedPhases
from muster.simulate.scenario.population import MICROSECONDS, Devices, devices_of
from muster.simulate.scenario.record import Outcome, Record, outcome
from muster.simulate.scenario.traffic import traffic

MUSTER: Final = "muster"


class Plays(Protocol):
    """A policy. `play` is called once a tick, in order."""

    record: Record

    def play(self, tick: int) -> None: ...


POLICIES: Final[dict[str, Callable[[Declared, Field], Plays]]] = {
    MUSTER: MusterPolicy,
    "hawkbit": lambda declared, place: FixedErrorShare(declared.tier, place),
    "mender": lambda declared, place: TimedPhases(declared.tier, place),
    "kayenta": lambda declared, place: WindowedMannWhitney(declared.tier, place),
}


@dataclass(frozen=True)
class Played:
    """One scenario: the outcome of every policy, Muster's first, and what each did."""

    name: str
    spec: ScenarioSpec
    first_cohort_steps: int
    outcomes: tuple[Outcome, ...]
    lines: dict[str, tuple[str, ...]]

    @property
    def complaints(self) -> list[str]:
        """What Muster did not do as it should have."""
        muster, *others = self.outcomes
        found = []
        if muster.false_halts:
            found.append(f"{muster.false_halts} halts that nothing called for")
        if self.spec.halts_called_for:
            if muster.detection is None:
                found.append("not halted")
            elif muster.steps >= self.first_cohort_steps:
                found.append("not halted inside the first cohort")
        if any(release.harmful for release in self.spec.releases):
            found += [f"not fewer harmed than {one.policy}" for one in others if muster.harmed >= one.harmed]
        return found


def play(scenario: Scenario, policy: Policy, tier: TierName, policies: Iterable[str], devices: Devices) -> Played:
    """Raises `Unusable` if the policy has no such tier."""
    spec = scenario.spec
    declared = declare(spec, policy, tier)
    outcomes, lines = [], {}
    for name in policies:
        health = declared.tier.health
        place = Field(spec, devices, health.poll_interval // MICROSECONDS, health.window // MICROSECONDS)
        playing = POLICIES[name](declared, place)
        for tick in range(place.ticks):
            playing.play(tick)
        outcomes.append(outcome(playing.record, place, traffic(place, declared.example_document())))
        lines[playing.record.policy] = tuple(playing.record.lines)
    steps = len(declared.tier.steps) if spec.population.canary else 0
    return Played(scenario.metadata.name, spec, steps, tuple(outcomes), lines)


def play_all(
    scenarios: Iterable[Scenario], policy: Policy, tier: TierName, policies: Iterable[str]
) -> Iterator[Played]:
    """One after the other; scenarios with the same devices share them."""
    wanted = tuple(policies)
    kept: tuple[object, Devices] | None = None
    for scenario in scenarios:
        key = (scenario.spec.population, scenario.spec.seed, scenario.spec.devices)
        if kept is None or kept[0] != key:
            kept = key, devices_of(scenario.spec)
        yield play(scenario, policy, tier, wanted, kept[1])
