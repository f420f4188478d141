"""Muster itself in a scenario: the real planner, which takes the next step where the tier says that it does.

A person merges what is left to people: after the soak, the steps of a tier that are taken by hand, once every guardrail
says that the release is no worse; and once the longest wait of the tier is over, what is too small to decide. Never
while something cannot be told.

What is simulated here is git (a commit is a number), the executor (values instead of files), and the clock. Every
decision is `make_plan`'s.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np

from muster.kinds.desired import DesiredDocument
from muster.kinds.field_state import Step
from muster.kinds.fleet import Fleet
from muster.kinds.ppm import PPM
from muster.plan.advance import Advance
from muster.plan.judging import judging_of
from muster.plan.planner import Action, Lift, Plan, Publish, Revert, Suspend, make_plan
from muster.plan.statistics.decide import decide
from muster.plan.statistics.explain import explain
from muster.plan.world import GUARDRAIL, ModelClass, Published, Suspension, World
from muster.simulate.scenario.aggregates import LATENCY, observed
from muster.simulate.scenario.assignment import chosen, goes_to_everybody
from muster.simulate.scenario.declared import CANARY, OS_VERSION, REST, RUNTIME, Declared
from muster.simulate.scenario.field import Field
from muster.simulate.scenario.population import MICROSECONDS
from muster.simulate.scenario.record import Record
from muster.simulate.scenario.steps import steps_of
from muster.simulate.scenario.told import Told

BEGINNING: Final = datetime(2026, 1, 5, tzinfo=UTC)
_MOST_RESTARTS = 50


@dataclass
class Git:
    """What the newest commit declares. `since`: the tick in which a release's percentages were committed."""

    rollouts: dict[int, dict[str, int]]
    since: dict[int, int]
    commits: int = 1


@dataclass
class MusterPolicy:
    """One controller, and its repository."""

    declared: Declared
    place: Field
    record: Record = field(default_factory=lambda: Record("Muster"))

    def __post_init__(self) -> None:
        self._git = Git({0: {CANARY: PPM, REST: PPM}}, {0: 0})
        self._steps = steps_of(self.declared.spec, self.declared.tier)
        self._names = [self.declared.name(number) for number in range(len(self.declared.spec.releases))]
        pins = frozenset(self.declared.release(number, {}).pins for number in range(len(self._names)))
        self._world = World(signer=self.declared.signer, prepared=pins)
        self._fleet: tuple[int, Fleet] | None = None
        self._reverts: list[int] = []
        self._cohort = np.where(self.place.devices.canary, 0, 1).astype(np.uint8)
        self._told = Told(self.place, self._names, self._strata(), figures=LATENCY in judging_of(self._head()).readings)

    def _strata(self) -> list[str]:
        """What the devices of each cell are judged with."""
        judging, devices = judging_of(self._head()), self.place.devices
        return [
            judging.stratum(devices.classes[cell // 2], devices.labels(cell), OS_VERSION, RUNTIME["version"])
            for cell in range(devices.cells)
        ]

    def play(self, tick: int) -> None:
        """One tick: git moves, the planner decides, its plan is carried out."""
        if self.declared.spec.restarts:
            self._die()
        self._commit_what_is_due(tick)
        plan = self._plan(tick)
        if self.declared.spec.restarts:
            plan = self._with_restarts(plan, tick)
        else:
            for action in plan.actions:
                self._carry_out(action, tick)
        self._reverts = [self._names.index(one.release) for one in plan.actions if isinstance(one, Revert)]
        if not any(isinstance(one, Advance) for one in plan.actions):
            self._merge(plan, tick)

    def _with_restarts(self, plan: Plan, tick: int) -> Plan:
        """The controller dies after each step; the next one knows only what was kept, and plans anew."""
        for _ in range(_MOST_RESTARTS):
            steps = [one for one in plan.actions if not isinstance(one, Revert)]
            if not steps:
                break
            self._carry_out(steps[0], tick)
            self._die()
            plan = self._plan(tick)
        else:
            raise AssertionError("a plan that is carried out asks for nothing more")
        return plan

    def _die(self) -> None:
        """Nothing is left of the controller but what it wrote; what it had worked out, it works out again."""
        self._world = _world_of(_written(self._world))
        self._fleet = None
        decide.cache_clear()
        explain.cache_clear()

    def _plan(self, tick: int) -> Plan:
        told = observed(self._told.aggregates(tick), self._world.published.generation)
        self._world = replace(self._world, observed=told)
        return make_plan(self._head(), self._world, self._at(tick))

    def _at(self, tick: int) -> datetime:
        return BEGINNING + timedelta(seconds=tick * self.place.tick)

    def _head(self) -> Fleet:
        if self._fleet is None or self._fleet[0] != self._git.commits:
            self._fleet = self._git.commits, self.declared.commit(self._git.rollouts, self._git.commits)
        return self._fleet[1]

    def _commit_what_is_due(self, tick: int) -> None:
        for number in self._reverts:
            if self._git.rollouts.pop(number, None) is not None:
                self._commit(tick, f"revert {self._names[number]}")
                self.record.reverted[number] = tick
        for number, release in enumerate(self.declared.spec.releases[1:], 1):
            if number not in self.record.offered and release.at // MICROSECONDS <= tick * self.place.tick:
                self.record.offered[number] = tick
                self._widen(number, 0, tick)

    def _widen(self, number: int, step: int, tick: int) -> None:
        self._git.rollouts[number] = self._steps[step].cohorts
        self._git.since[number] = tick
        self.record.widen(number, step, self._steps[step].share)
        cohorts = ", ".join(f"{name} {ppm / 10_000:g}%" for name, ppm in self._steps[step].cohorts.items() if ppm)
        self._commit(tick, f"{self._names[number]} to {cohorts}")

    def _commit(self, tick: int, what: str) -> None:
        self._git.commits += 1
        self._say(tick, f"commit: {what}")

    def _carry_out(self, action: Action, tick: int) -> None:
        world = self._world
        match action:
            case Suspend(release, reason):
                brake = Suspension(release, reason, self._at(tick), GUARDRAIL)
                self._world = replace(world, suspensions={**world.suspensions, release: brake})
                self.record.halted[self._names.index(release)] = tick
                self._say(tick, f"suspend {release}: {reason}")
            case Publish():
                if action.generation <= world.published.generation:
                    raise AssertionError("a generation never goes down")
                after = Published(action.generation, action.documents, frozenset(action.artifacts))
                self._world = replace(world, published=after, steps=_steps(after, world.steps, self._at(tick)))
                self._say(tick, f"publish generation {action.generation}")
                self._publish(after, tick)
            case Advance(release, cohort=cohort, after=after):
                number = self._names.index(release)
                cohorts = {**self._git.rollouts[number], cohort: after}
                self._widen(number, [step.cohorts for step in self._steps].index(cohorts), tick)
            case Lift(release):
                rest = {name: one for name, one in world.suspensions.items() if name != release}
                self._world = replace(world, suspensions=rest)

    def _publish(self, published: Published, tick: int) -> None:
        """What every device should run by the documents, as each would work it out for itself."""
        desired = self.place.runs.copy()
        for (_, name), document in published.documents.items():
            here = np.flatnonzero(self.place.devices.cell // 2 == self.place.devices.classes.index(name))
            salts = {entry.salt for entry in document.entries if not goes_to_everybody(document, entry)}
            of_salt = {salt: self.place.devices.buckets(salt)[here] for salt in salts}
            desired[here] = chosen(document, self._cohort[here], of_salt, self._names)
        self.place.move(desired, tick, published.generation)

    def _merge(self, plan: Plan, tick: int) -> None:
        """The next step of the newest release, if a person takes it."""
        number = max(self._git.rollouts)
        step = self.record.steps.get(number, 0)
        if number and step + 1 < len(self._steps) and self._merges(plan, number, tick):
            self._widen(number, step + 1, tick)

    def _merges(self, plan: Plan, number: int, tick: int) -> bool:
        name, tier = self._names[number], self.declared.tier
        outcomes = {one.outcome for one in plan.verdicts if one.release == name and one.severity == "halt"}
        stood = (tick - self._git.since[number]) * self.place.tick * MICROSECONDS
        if name in self._world.suspensions or stood < tier.soak or outcomes & {"harm", "cannot-tell"}:
            return False
        if outcomes == {"no-worse"}:
            return tier.advance == "by-hand"
        return tier.longest_wait is not None and stood > tier.longest_wait

    def _say(self, tick: int, what: str) -> None:
        self.record.lines.append(f"{timedelta(seconds=tick * self.place.tick)} {what}")


def _steps(published: Published, before: Mapping[tuple[str, str], Step], now: datetime) -> dict[tuple[str, str], Step]:
    """Since when each cohort has its percentage; every class has the same here."""
    shares = {
        (entry.release, cohort): ppm
        for document in published.documents.values()
        for entry in document.entries
        for cohort, ppm in entry.ppm.items()
    }
    return {
        place: before[place] if place in before and before[place].ppm == ppm else Step(ppm, now, published.generation)
        for place, ppm in shares.items()
    }


def _written(world: World) -> str:
    """What a controller keeps on disk: what it published, what it suspended, and what it prepared."""
    published = world.published
    return json.dumps(
        {
            "generation": published.generation,
            "documents": [[*key, document.model_dump_json()] for key, document in published.documents.items()],
            "artifacts": sorted(published.artifacts),
            "suspensions": [{**asdict(one), "at": one.at.isoformat()} for one in world.suspensions.values()],
            "steps": [[*key, step.ppm, step.since.isoformat(), step.generation] for key, step in world.steps.items()],
            "signer": world.signer,
            "prepared": sorted(world.prepared),
        }
    )


def _world_of(written: str) -> World:
    """What a new process knows before it has looked around."""
    said = json.loads(written)
    documents: dict[ModelClass, DesiredDocument] = {
        (model, name): DesiredDocument.model_validate_json(body) for model, name, body in said["documents"]
    }
    brakes = [Suspension(**{**row, "at": datetime.fromisoformat(row["at"])}) for row in said["suspensions"]]
    return World(
        signer=said["signer"],
        published=Published(said["generation"], documents, frozenset(said["artifacts"])),
        prepared=frozenset(said["prepared"]),
        suspensions={one.release: one for one in brakes},
        steps={(name, to): Step(ppm, datetime.fromisoformat(at), since) for name, to, ppm, at, since in said["steps"]},
    )
