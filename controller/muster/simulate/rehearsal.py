"""A rollback, rehearsed: a release goes out to simulated devices, is halted, and every device comes back.

The planner is the real one, with the fleet's own classes, cohorts and tiers. Two ways back are tried, each with a fleet
of its own, because a device takes another one in each:

1. harm     every device that tries the release fails; the guardrails of its tier, if it has any, must stop it
2. recall   every device confirms the release; then a person stops it

What this shows is that the declaration leads back: cohorts, salts, classes and generations. It does not show that a
board boots the older artifact; a rehearsal in a staging cohort does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from muster.kinds.desired import Entry
from muster.kinds.device_class import DeviceClass
from muster.kinds.errors import Refused
from muster.kinds.fleet import Fleet
from muster.kinds.quantity import PPM
from muster.kinds.release import Release, Rollout
from muster.plan.planner import Lift, Publish, Revert, Suspend, make_plan
from muster.plan.world import Published, Suspension, World
from muster.simulate.fleet import SimulatedDevice, SimulatedFleet, no_fault

MOST_TICKS: Final = 12
"""Polls after which a fleet that has not settled counts as stuck."""

_LEAST_DEVICES, _MOST_DEVICES = 20, 500
_TICK = timedelta(seconds=30)


@dataclass(frozen=True)
class Rehearsed:
    """Whether every device came back both ways, and what happened, line by line."""

    returned: bool
    devices: int
    transcript: tuple[str, ...]


def rehearse(declared: Fleet, release: str, back_to: str, now: datetime) -> Rehearsed:
    """Send `release` out, halt it and take it back to `back_to`.

    Raises `Refused` if the fleet does not declare both, or if no device class takes both.
    """
    newer, older = _everywhere(declared, release), _everywhere(declared, back_to)
    if newer.model != older.model or newer.name == older.name:
        raise Refused(f"{release} cannot go back to {back_to}", "name another release of the same model")
    classes = tuple(
        item
        for item in declared.device_classes
        if newer.model in item.spec.models
        and newer.runtime_for(item.metadata.name)
        and older.runtime_for(item.metadata.name)
    )
    if not classes or not declared.cohorts:
        raise Refused(f"no device takes both {release} and {back_to}", "declare a class that both go to, and a cohort")
    tier = declared.tier(newer)
    # Without guardrails nothing but a person stops a release, and that is the other way back.
    ways_back = (True, False) if tier and tier.guardrails else (False,)
    ways = [_Stage(declared, newer, older, classes, now).play(harmful=harmful) for harmful in ways_back]
    return Rehearsed(
        returned=all(way.returned for way in ways),
        devices=len(ways[0].fleet.devices),
        transcript=tuple(line for way in ways for line in way.lines),
    )


def _everywhere(declared: Fleet, name: str) -> Release:
    """The release as if its rollout were complete."""
    release = declared.release(name)
    if release is None:
        raise Refused(f"the fleet declares no release {name}", "rehearse while both releases are declared")
    cohorts = {cohort.metadata.name: PPM for cohort in declared.cohorts}
    rollout = Rollout(cohorts=cohorts, salt=release.spec.rollout.salt)
    return release.model_copy(update={"spec": release.spec.model_copy(update={"rollout": rollout})})


@dataclass
class _Stage:
    """One fleet, and the controller of values that moves it."""

    declared: Fleet
    newer: Release
    older: Release
    classes: tuple[DeviceClass, ...]
    now: datetime
    fleet: SimulatedFleet = field(init=False)
    world: World = field(init=False)
    lines: list[str] = field(default_factory=list)
    returned: bool = False

    def __post_init__(self) -> None:
        keys = self.declared.keys_for("artifacts")
        self.world = World(
            signer=keys[0].spec.public_key if keys else None, prepared=frozenset({self.newer.pins, self.older.pins})
        )
        self.fleet = SimulatedFleet(self.newer.model, self._devices())
        self._commit(self.older)

    def play(self, *, harmful: bool) -> _Stage:
        """The whole way out and back."""
        self._say(f"way back: {'harm' if harmful else 'recall'}; {len(self.fleet.devices)} devices")
        began = self._settle(lambda: self._all_run(self.older))
        self.fleet.fault = self._fails if harmful else no_fault
        self._commit(self.newer, self.older)
        went_out = self._settle(lambda: self._halted() if harmful else self._all_run(self.newer))
        if not self._halted():
            self._suspend("halted by whoever rehearses", "operator")
        came_back = self._settle(lambda: self._only_offers_older() and self._all_run(self.older))
        self.returned = began and went_out and came_back
        self._say(f"{'every device is back on' if self.returned else 'not every device is back on'} {self.older.name}")
        return self

    def _devices(self) -> list[SimulatedDevice]:
        tier = self.declared.tier(self.newer)
        wanted = max([_LEAST_DEVICES, *(guardrail.min_devices for guardrail in (tier.guardrails if tier else ()))])
        return [
            SimulatedDevice(
                f"{item.metadata.name}-{cohort.metadata.name}-{number:03}",
                item.metadata.name,
                cohort.spec.selector.match_labels,
            )
            for item in self.classes
            for cohort in self.declared.cohorts
            for number in range(min(wanted, _MOST_DEVICES))
        ]

    def _fails(self, _device: SimulatedDevice, entry: Entry) -> str | None:
        return "inference_failed" if entry.release == self.newer.name else None

    def _commit(self, *releases: Release) -> None:
        self.git = replace(self.declared, releases=releases, device_classes=self.classes)
        self._say(f"commit: {', '.join(release.name for release in releases)}")

    def _settle(self, done: Callable[[], bool]) -> bool:
        """Tick until it is done; False if it never is."""
        for _ in range(MOST_TICKS):
            self._tick()
            if done():
                return True
        self._say("stuck: " + "; ".join(self.fleet.describe().splitlines()))
        return False

    def _tick(self) -> None:
        """Plan, carry out, let devices poll once, and commit what the controller asks for."""
        self.world = replace(self.world, observed=self.fleet.observed())
        plan = make_plan(self.git, self.world, self.now)
        for action in plan.actions:
            match action:
                case Suspend(_, reason):
                    self._suspend(reason, "guardrail")
                case Publish():
                    if action.generation <= self.world.published.generation:
                        raise AssertionError("a generation never goes down")
                    self._say(f"publish generation {action.generation}")
                    after = Published(action.generation, action.documents, frozenset(action.artifacts))
                    self.world = replace(self.world, published=after)
                case Lift(release):
                    rest = {name: item for name, item in self.world.suspensions.items() if name != release}
                    self.world = replace(self.world, suspensions=rest)
        self.fleet.poll(self.world.published.documents)
        self.now += _TICK
        if any(isinstance(action, Revert) for action in plan.actions):
            self._commit(self.older)

    def _suspend(self, reason: str, by: str) -> None:
        self._say(f"suspend {self.newer.name}: {reason}")
        brake = Suspension(self.newer.name, reason, self.now, by)
        self.world = replace(self.world, suspensions={**self.world.suspensions, self.newer.name: brake})

    def _halted(self) -> bool:
        return self.newer.name in self.world.suspensions or self.newer not in self.git.releases

    def _all_run(self, release: Release) -> bool:
        return all(
            device.trial is None and device.confirmed is not None and device.confirmed.release == release.name
            for device in self.fleet.devices
        )

    def _only_offers_older(self) -> bool:
        documents = self.world.published.documents.values()
        return all(entry.release == self.older.name for document in documents for entry in document.entries)

    def _say(self, line: str) -> None:
        self.lines.append(f"{self.now:%H:%M:%S} {line}")
