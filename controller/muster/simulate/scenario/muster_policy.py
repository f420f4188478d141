"""Muster itself in a scenario: the real planner, and a person who merges the next step when nothing speaks against it.

What is simulated here is git (a commit is a number), the executor (values instead of files), and the clock. Every
decision is `make_plan`'s.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np

from muster.kinds.desired import DesiredDocument
from muster.kinds.fleet import Fleet
from muster.kinds.ppm import PPM
from muster.plan.planner import Action, Lift, Plan, Publish, Revert, Suspend, make_plan
from muster.plan.world import ModelClass, Published, Suspension, World
from muster.simulate.scenario.aggregates import observed
from muster.simulate.scenario.assignment import chosen, goes_to_everybody
from muster.simulate.scenario.declared import CANARY, REST, Declared
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
        figures = any("latency" in guardrail.metric for guardrail in self.declared.tier.guardrails)
        self._told = Told(self.place, self._names, figures=figures)

    def play(self, tick: int) -> None:
        """One tick: git moves, the planner decides, its plan is carried out."""
        self._commit_what_is_due(tick)
        plan = self._plan(tick)
        if self.declared.spec.restarts:
            plan = self._with_restarts(plan, tick)
        else:
            for action in plan.actions:
                self._carry_out(action, tick)
        self._reverts = [self._names.index(one.release) for one in plan.actions if isinstance(one, Revert)]
        self._advance(plan, tick)

    def _with_restarts(self, plan: Plan, tick: int) -> Plan:
        """The controller dies after each step; the next one knows only what was kept, and plans anew."""
        for _ in range(_MOST_RESTARTS):
            steps = [one for one in plan.actions if not isinstance(one, Revert)]
            if not steps:
                break
            self._carry_out(steps[0], tick)
            self._world = _kept(self._world)
            plan = self._plan(tick)
        else:
            raise AssertionError("a plan that is carried out asks for nothing more")
        return plan

    def _plan(self, tick: int) -> Plan:
        now = BEGINNING + timedelta(seconds=tick * self.place.tick)
        self._world = replace(self._world, observed=observed(self._told.aggregates(tick)))
        return make_plan(self._head(), self._world, now)

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
                now = BEGINNING + timedelta(seconds=tick * self.place.tick)
                brake = Suspension(release, reason, now, "guardrail")
                self._world = replace(world, suspensions={**world.suspensions, release: brake})
                self.record.halted[self._names.index(release)] = tick
                self._say(tick, f"suspend {release}: {reason}")
            case Publish():
                if action.generation <= world.published.generation:
                    raise AssertionError("a generation never goes down")
                after = Published(action.generation, action.documents, frozenset(action.artifacts))
                self._world = replace(world, published=after)
                self._say(tick, f"publish generation {action.generation}")
                self._publish(after, tick)
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

    def _advance(self, plan: Plan, tick: int) -> None:
        """Merge the next step of the newest release once it has soaked, if every guardrail holds."""
        number = max(self._git.rollouts)
        name = self._names[number]
        step = self.record.steps.get(number, 0)
        soaked = (tick - self._git.since[number]) * self.place.tick >= self.declared.tier.soak // MICROSECONDS
        verdicts = [one.outcome for one in plan.verdicts if one.release == name]
        holds = all(outcome in ("holds", "no-worse") for outcome in verdicts)
        if (
            number
            and soaked
            and holds
            and name not in self._world.suspensions
            and step + 1 < len(self._steps)
            and self.place.heard(tick)
        ):
            self._widen(number, step + 1, tick)

    def _say(self, tick: int, what: str) -> None:
        self.record.lines.append(f"{timedelta(seconds=tick * self.place.tick)} {what}")


def _kept(world: World) -> World:
    """What a new process reads: documents and suspensions, written out and read back."""
    documents: dict[ModelClass, DesiredDocument] = {
        key: DesiredDocument.model_validate_json(document.model_dump_json())
        for key, document in world.published.documents.items()
    }
    suspensions = {}
    for name, one in world.suspensions.items():
        row = json.loads(json.dumps({**asdict(one), "at": one.at.isoformat()}))
        suspensions[name] = Suspension(**{**row, "at": datetime.fromisoformat(row["at"])})
    published = Published(world.published.generation, documents, world.published.artifacts)
    return replace(world, published=published, suspensions=suspensions)
