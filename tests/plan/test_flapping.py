"""A halted artifact comes back only on purpose: whatever is declared and reported, nothing goes back and forth."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from fleets import PUBLIC_KEY, make_fleet, make_release
from muster.kinds.fleet import Fleet
from muster.kinds.hold import AGAIN, Hold, says_so
from muster.kinds.release import Release
from muster.plan.exposures import exposures
from muster.plan.lapse import Lapse
from muster.plan.planner import Lift, Publish, Revert, Suspend, make_plan
from muster.plan.tallies import Cell, Standing, cells_of
from muster.plan.world import GUARDRAIL, Observed, Published, Suspension, World

ALL = {"canary": "100%", "fleet": "100%"}
OLD = make_release("1.0.0", ALL)
NEW = make_release("1.1.0", ALL, supersedes="1.0.0")
RENAMED = make_release("1.1.1", ALL, supersedes="1.0.0")
RENAMED = RENAMED.model_copy(update={"spec": RENAMED.spec.model_copy(update={"artifact": NEW.spec.artifact})})
FIXED = make_release("1.2.0", ALL, supersedes="1.1.0")
DIGEST = NEW.spec.artifact.digest

REPORTED = ("declare", "rename", "fix", "say so", "fails", "confirms", "git away", "git back", "tick")
BY_HAND = ("suspend", "suspend for a time", "resume", "resume over the guardrail", "roll back")
EVENTS = st.sampled_from([*REPORTED, *BY_HAND])


@dataclass
class Controller:
    """A controller of values: git, the world, and what the executor would make of plans."""

    declared: set[str] = field(default_factory=lambda: {OLD.name})
    world: World = field(
        default_factory=lambda: World(
            signer=PUBLIC_KEY, prepared=frozenset(one.pins for one in (OLD, NEW, RENAMED, FIXED))
        )
    )
    now: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    git_is_there: bool = True
    halts: Counter[str] = field(default_factory=Counter)

    def fleet(self) -> Fleet:
        return make_fleet(*(one for one in (FIXED, RENAMED, NEW, OLD) if one.name in self.declared))

    def tick(self) -> None:
        fleet = self.fleet()
        releases: dict[str, Release] = {one.name: one for one in fleet.releases}
        for action in make_plan(fleet, self.world, self.now).actions:
            match action:
                case Suspend(release, reason):
                    brake = Suspension(release, reason, self.now, "guardrail")
                    digest = releases[release].spec.artifact.digest
                    self.halts[digest] += 1
                    self.world = replace(
                        self.world,
                        suspensions={**self.world.suspensions, release: brake},
                        holds={**self.world.holds, digest: Hold(digest, release, reason, "c" * 40)},
                    )
                case Publish():
                    after = Published(action.generation, action.documents, frozenset(action.artifacts))
                    self.world = replace(self.world, published=after)
                case Revert(release) if self.git_is_there and release != OLD.name:
                    self.declared.discard(release)
                case Lift(release):
                    self.lift(release)
                case Lapse(release, _, generation):
                    self.lift(release)
                    self.world = replace(self.world, resumed={**self.world.resumed, release: generation})
        self.now += timedelta(minutes=1)

    def lift(self, release: str) -> None:
        rest = {name: one for name, one in self.world.suspensions.items() if name != release}
        self.world = replace(self.world, suspensions=rest)

    def suspend_by_hand(self, until: datetime | None) -> None:
        held = self.world.suspensions.get(NEW.name)
        if NEW.name not in self.declared or (held is not None and held.until is None):
            return
        brake = Suspension(NEW.name, "by hand", self.now, "Ada <ada@fleet.example>", until=until)
        self.world = replace(self.world, suspensions={**self.world.suspensions, NEW.name: brake})
        if until is None:
            halted = Hold(DIGEST, NEW.name, "by hand", "c" * 40)
            self.world = replace(self.world, holds={**self.world.holds, DIGEST: halted})

    def resume_by_hand(self, *, over_guardrail: bool) -> int:
        """1 if that offers anew what was held."""
        held = self.world.suspensions.get(NEW.name)
        if held is None or (held.by == GUARDRAIL and not over_guardrail):
            return 0
        self.lift(NEW.name)
        resumed = {**self.world.resumed, NEW.name: self.world.published.generation}
        rest = {digest: one for digest, one in self.world.holds.items() if digest != DIGEST or held.until}
        self.world = replace(self.world, resumed=resumed, holds=rest)
        return int(held.until is None)

    def report(self, phase: str, code: str | None) -> None:
        """Twenty devices of one class try what is on offer first; what was said before stays said."""
        document = self.world.published.documents.get(("meter-reader", "cam-day"))
        entries = [one for one in document.entries if one.release != OLD.name] if document else []
        if not entries:
            return
        generation = self.world.published.generation
        standing = Standing(
            entries[0].release, "cam-day", "", generation, generation, left=False, phase=phase, error_code=code
        )
        tally: Counter[Cell] = Counter(self.world.observed.tally)
        tally.update(dict.fromkeys(cells_of(standing, ()), 20))
        self.world = replace(self.world, observed=Observed(exposures(tally, {}), dict(tally)))

    def offered(self) -> set[str]:
        documents = self.world.published.documents.values()
        return {entry.artifact.digest for document in documents for entry in document.entries}


def play(controller: Controller, event: str) -> int:
    """One event and a tick; 1 if a person said that the halted artifact is to be offered again."""
    said = 0
    match event:
        case "declare" | "rename" | "fix":
            controller.declared.add({"declare": NEW, "rename": RENAMED, "fix": FIXED}[event].name)
        case "say so" if DIGEST in controller.world.holds and not controller.world.suspensions:
            rest = {digest: one for digest, one in controller.world.holds.items() if digest != DIGEST}
            controller.world = replace(controller.world, holds=rest)
            said = 1
        case "fails":
            controller.report("failed", "load_failed")
        case "confirms":
            controller.report("confirmed", None)
        case "suspend" | "suspend for a time":
            controller.suspend_by_hand(controller.now + timedelta(minutes=3) if event != "suspend" else None)
        case "resume" | "resume over the guardrail":
            said = controller.resume_by_hand(over_guardrail=event != "resume")
        case "roll back":
            controller.declared.discard(NEW.name)
        case "git away" | "git back":
            controller.git_is_there = event == "git back"
    controller.tick()
    return said


@settings(max_examples=60, deadline=None)
@given(st.lists(EVENTS, max_size=25))
def test_a_halted_artifact_comes_back_only_on_purpose(events: list[str]) -> None:
    """It is halted at most once more than a person named it anew, and is not on offer in between, by any name."""
    controller = Controller()
    controller.tick()
    said = 0
    for event in events:
        said += play(controller, event)
        assert controller.halts[DIGEST] <= 1 + said
        assert controller.halts[FIXED.spec.artifact.digest] <= 1
        assert controller.offered().isdisjoint(controller.world.holds)


def test_a_bad_release_does_not_block_its_fix() -> None:
    """The same artifact under a new name stays off; a fixed one is offered, and judged on its own evidence."""
    controller = Controller()
    for event in ("tick", "declare", "fails", "tick", "declare", "rename", "tick"):
        play(controller, event)
    assert controller.halts == {DIGEST: 1}
    assert DIGEST not in controller.offered()
    plan = make_plan(controller.fleet(), controller.world, controller.now)
    assert {wait.subject for wait in plan.waits if wait.step == "hold"} == {NEW.name, RENAMED.name}
    for event in ("fix", "confirms", "tick"):
        play(controller, event)
    assert FIXED.spec.artifact.digest in controller.offered()
    assert not controller.world.suspensions


def test_what_says_so() -> None:
    """A trailer with the release's whole name, or git's own words about the revert; nothing less."""
    hold = Hold(DIGEST, NEW.name, "why", "a" * 40)
    assert says_so(hold, [f"Try again\n\n{AGAIN}: {NEW.name}\n"])
    assert says_so(hold, [f'Revert "Revert"\n\nThis reverts commit {"a" * 40}.\n'])
    assert not says_so(hold, [f"{AGAIN}: {NEW.name}0", f"not {AGAIN}: {NEW.name}", "This reverts commit " + "b" * 40])
