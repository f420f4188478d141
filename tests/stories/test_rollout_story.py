"""The story of 1.2.0, told to the planner with simulated devices: canary, harm, halt, revert, recovery.

The transcript is golden: run with `MUSTER_WRITE_GOLDEN=1` to write it anew, and read the difference.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from fleets import MODEL, PUBLIC_KEY, make_fleet, make_release
from muster.kinds.desired import Entry
from muster.kinds.fleet import Fleet
from muster.plan.planner import Lift, Plan, Publish, Revert, Suspend, make_plan
from muster.plan.world import Published, Suspension, World
from muster.simulate.fleet import SimulatedDevice, SimulatedFleet

GOLDEN = Path(__file__).with_name("rollout_story.txt")
ALL = {"canary": "100%", "fleet": "100%"}
STABLE = make_release("1.1.0", ALL)
BAD = make_release("1.2.0", {"canary": "100%"}, supersedes="1.1.0")


def dark_frames(device: SimulatedDevice, entry: Entry) -> str | None:
    """1.2.0 cannot read the frames of low-light cameras."""
    return "low_confidence" if entry.version == "1.2.0" and device.device_class == "cam-lowlight" else None


@dataclass
class Story:
    """A controller of values: carries plans out on a world, and writes down what it did."""

    fleet: SimulatedFleet
    declared: Fleet
    world: World = field(default_factory=lambda: World(signer=PUBLIC_KEY, prepared=frozenset({STABLE.pins, BAD.pins})))
    now: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    lines: list[str] = field(default_factory=list)

    def commit(self, declared: Fleet, subject: str) -> None:
        self.declared = declared
        self.lines.append(f"\n# commit: {subject}")

    def tick(self) -> None:
        """Plan, carry out, let devices poll once."""
        self.world = replace(self.world, observed=self.fleet.observed())
        plan = make_plan(self.declared, self.world, self.now)
        self._write(plan)
        for action in plan.actions:
            match action:
                case Suspend(release, reason):
                    brake = Suspension(release, reason, self.now, "guardrail")
                    self.world = replace(self.world, suspensions={**self.world.suspensions, release: brake})
                case Publish():
                    after = Published(action.generation, action.documents, frozenset(action.artifacts))
                    self.world = replace(self.world, published=after)
                case Lift(release):
                    rest = {k: v for k, v in self.world.suspensions.items() if k != release}
                    self.world = replace(self.world, suspensions=rest)
        self.fleet.poll(self.world.published.documents)
        self.now += timedelta(seconds=30)
        if any(isinstance(action, Revert) for action in plan.actions):
            self.commit(make_fleet(STABLE), "Revert 1.2.0 (by the controller)")

    def _write(self, plan: Plan) -> None:
        self.lines.append(f"{self.now:%H:%M:%S} generation {plan.generation}")
        for action in plan.actions:
            subject = getattr(action, "release", None) or f"generation {action.generation}"
            reason = getattr(action, "reason", "")
            self.lines.append(f"  {type(action).__name__.lower()} {subject}" + (f": {reason}" if reason else ""))
        self.lines += [f"  waits: {wait.subject}: {wait.reason}" for wait in plan.waits]
        self.lines += [f"  | {line}" for line in self.fleet.describe().splitlines()]


def devices() -> list[SimulatedDevice]:
    return [
        SimulatedDevice(f"{name}-{number:03d}", name, {"ring": "canary"} if number < 6 else {})
        for name in ("cam-day", "cam-lowlight")
        for number in range(10)
    ]


def test_a_bad_release_is_halted_in_its_canary_and_taken_back() -> None:
    """From canary to recovery, six devices fail and every device ends on 1.1.0, confirmed."""
    story = Story(SimulatedFleet(MODEL, devices(), dark_frames), make_fleet(STABLE))
    story.commit(make_fleet(STABLE), "1.1.0 for everyone")
    for _ in range(4):
        story.tick()
    story.commit(make_fleet(BAD, STABLE), "1.2.0 to its canary")
    for _ in range(6):
        story.tick()
    transcript = "\n".join(story.lines) + "\n"
    if os.environ.get("MUSTER_WRITE_GOLDEN"):
        GOLDEN.write_text(transcript)
    assert GOLDEN.read_text() == transcript
    assert all(device.running == f"{MODEL}/1.1.0" for device in story.fleet.devices)
    failed = [d for d in story.fleet.devices if d.outcomes.get(f"{MODEL}/1.2.0", ("", None))[1]]
    assert [device.device_class for device in failed] == ["cam-lowlight"] * 6


def test_an_offline_device_returns_to_the_head() -> None:
    """A device that slept through the whole story takes the newest release at once; nothing is replayed."""
    story = Story(SimulatedFleet(MODEL, devices(), dark_frames), make_fleet(STABLE))
    sleeper = story.fleet.devices[15]
    sleeper.online = False
    for _ in range(3):
        story.tick()
    assert sleeper.running is None
    sleeper.online = True
    story.tick()
    assert sleeper.running == f"{MODEL}/1.1.0"
