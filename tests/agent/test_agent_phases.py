"""The table of phases against real agents: whatever happens to a device, what it reports follows the table."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from functools import cache
from itertools import pairwise

import pytest
from agent_simulator import WINDOW_SECONDS, Bench, Built, build

from muster.artifacts.bundle import MANIFEST
from muster.kinds.desired import Halt
from muster.kinds.phases import CONCLUDED, TRANSITIONS, Phase

EDGES = {(before, after) for (before, event), after in TRANSITIONS.items() if event not in CONCLUDED}
STEPS = 40
WALKS = int(os.environ.get("MUSTER_WALKS", "6"))


@cache
def releases() -> tuple[Built, ...]:
    """Three that work, and one between them that does not load."""
    good = [build(version, sharpness=7 + number) for number, version in enumerate(("1.0.0", "1.1.0", "1.3.0"), 1)]
    return (*good[:2], build("1.2.0", model=b"\x08\x08garbage"), good[2])


class Walk:
    """A device to which things happen in random order: new documents, halts, restarts, losses, dead lines."""

    def __init__(self, bench: Bench, seed: int) -> None:
        self.bench = bench
        self.random = random.Random(seed)
        self.generation = 0
        self.since: dict[str, int] = {}
        bench.start()
        self.publish()
        for _ in range(STEPS):
            self.random.choice(self.events)()
            bench.tick(self.random.choice((1, 1, WINDOW_SECONDS)))
            bench.server.away, bench.server.cut_after = False, None
        bench.tick()

    @property
    def events(self) -> list[Callable[[], object]]:
        return [
            *[self.publish] * 5,
            self.halt,
            self.halt,
            self.bench.start,
            self.lose_journal,
            self.rot,
            self.cut,
            self.go,
        ]

    def publish(self, halted: tuple[Halt, ...] = ()) -> None:
        """Some of the releases, newest first; one that comes back is named again on purpose."""
        self.generation += 1
        built = self.random.sample(releases(), self.random.randint(1, 3))
        built.sort(key=lambda one: one.version, reverse=True)
        self.since = {one.version: self.since.get(one.version, self.generation) for one in built}
        entries = [one.entry(self.since[one.version]) for one in built]
        self.bench.repository.publish(self.generation, entries, artifacts=tuple(built), halted=halted)

    def halt(self) -> None:
        one = self.random.choice(releases())
        self.publish((Halt(release=one.release, artifact=one.artifact, reason="harm"),))

    def lose_journal(self) -> None:
        for path in (self.bench.folder.journal, self.bench.folder.journal_backup):
            path.unlink(missing_ok=True)
        self.bench.start()

    def rot(self) -> None:
        """A file of some slot is damaged, and the device starts again."""
        places = sorted(self.bench.folder.slots.glob("*/"))
        if places:
            (self.random.choice(places) / MANIFEST).write_bytes(b"rot")
        self.bench.start()

    def cut(self) -> None:
        self.bench.server.cut_after = 512

    def go(self) -> None:
        self.bench.server.away = True


def pairs(bench: Bench) -> set[tuple[Phase, Phase]]:
    """Consecutive phases of one release, as the server heard them."""
    found = set()
    for release in releases():
        told = [phase for phase, _ in bench.story(release) if phase]
        found |= {(before, after) for before, after in pairwise(told) if before != after}
    return found


@pytest.fixture(scope="module")
def walks(tmp_path_factory: pytest.TempPathFactory) -> list[Bench]:
    """Devices after a walk each."""
    benches = [Bench(tmp_path_factory.mktemp(f"walk-{seed}")) for seed in range(WALKS)]
    for seed, bench in enumerate(benches):
        Walk(bench, seed)
    return benches


def test_what_a_device_reports_follows_the_table(walks: list[Bench]) -> None:
    """Consecutive phases of a release are an edge each, whatever happens in between; the first is the offer."""
    for seed, bench in enumerate(walks):
        assert pairs(bench) - EDGES == set(), f"walk {seed}"
        for release in releases():
            assert bench.story(release)[:1] in ([], [("offered", None)]), f"walk {seed}"


def test_the_walks_leave_the_beaten_track(walks: list[Bench]) -> None:
    """They meet what a straight rollout does not: returns to kept slots, and files that are gone."""
    met = set().union(*(pairs(bench) for bench in walks))
    assert {
        ("rolled-back", "activated"),
        ("healthy", "rolled-back"),
        ("healthy", "activated"),
        ("healthy", "offered"),
        ("verified", "failed"),
        ("failed", "offered"),
    } <= met
