"""Many agents behind the fault proxy, each with a folder and a clock of its own; and what must never happen to them.

The server, its TUF repository and the sockets are real. Time between polls is simulated, as is the runtime. As a
program: `fault_fleet.py AGENTS RELEASES RATE SEED` says what was dealt, and ends with 1 if anything went wrong.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import urllib3
from agent_simulator import CLASS_NAME, MODEL_NAME, Built
from fault_proxy import FAULTS, FaultProxy
from lossy_disk import QuickDisk
from published_bench import Controller
from simulated_runtime import SimulatedRuntime, SimulatedSession, simulated
from sqlalchemy import select

from muster.agent.agent import Agent
from muster.agent.connections import Limits, make_pool
from muster.agent.device import Surroundings
from muster.agent.enrol import enrol
from muster.agent.folder import DeviceFolder
from muster.agent.http_server import HttpServer
from muster.agent.identity import make_identity
from muster.agent.moment import Moment
from muster.agent.rehash import Rehash
from muster.agent.schedule import next_poll, phase
from muster.kinds.digest import digest_of
from muster.kinds.errors import MusterError
from muster.kinds.release import Inference
from muster.observe.storage import running
from sites import Site

LIMITS = Limits(connect=5.0, header=2.0, idle=1.0, whole=2.0, slowest=2**20)
"""Short, and long enough for a machine that does other work."""
MOST_ROUNDS = 400
THREADS = 16


@dataclass
class WitnessRuntime(SimulatedRuntime):
    """Keeps the digest of everything that was ever loaded."""

    loaded: set[str] = field(default_factory=set)

    def load(self, model: bytes, provider: str, config: Inference) -> SimulatedSession:
        self.loaded.add(digest_of(model))
        return super().load(model, provider, config)


class FaultyDevice:
    """One agent behind its line of the proxy."""

    def __init__(self, folder: Path, url: str, device_id: str, pool: urllib3.PoolManager) -> None:
        self.device_id = device_id
        self.url = f"{url}/{device_id}"
        self.folder = DeviceFolder(folder, QuickDisk())
        self.server = HttpServer(self.url, pool)
        self.runtime = WitnessRuntime()
        self.rounds = 0
        self.problems: set[str] = set()
        self._seconds = 1_000_000.0
        self._agent: Agent | None = None

    def enrol(self, token: str, root: Path) -> None:
        """Until it is done: a failed enrolment may be repeated."""
        identity = make_identity(
            device_id=self.device_id, device_class=CLASS_NAME, labels={}, models=(MODEL_NAME,), server=self.url
        )
        for _ in range(MOST_ROUNDS):
            try:
                enrol(self.folder, self.server, identity, token, root)
            except MusterError:
                continue
            return
        raise AssertionError(f"{self.device_id} could not be enrolled")

    def follow(self, wanted: Built, known: dict[str, Built]) -> None:
        """Poll at the slots of the schedule until `wanted` is confirmed and everything was told."""
        agent = self._agent or self._start()
        failures = 0
        for _ in range(MOST_ROUNDS):
            generation = agent.models[0].state.generation
            outcome = agent.tick(self._now)
            self.rounds += 1
            if outcome.problem:
                self.problems.add(outcome.problem)
            self._must_be_right(agent, known, generation)
            state = agent.models[0].state
            arrived = state.confirmed is not None and state.confirmed.artifact == wanted.artifact and not state.trial
            if arrived and not (outcome.problem or outcome.waiting_reports):
                return
            failures = failures + 1 if outcome.away else 0
            self._seconds = next_poll(
                self._seconds,
                outcome.poll_interval,
                phase(self.device_id),
                failures=failures,
                retry_after=outcome.retry_after,
            )
        raise AssertionError(f"{self.device_id} does not get to {wanted.release}: {outcome}")

    def _start(self) -> Agent:
        surroundings = Surroundings(self.server, self.runtime, thermal_state=lambda: "nominal")
        self._agent = Agent(self.folder, surroundings, self._now)
        self._agent.start(self._now)
        return self._agent

    @property
    def _now(self) -> Moment:
        return Moment(self._seconds, datetime.now(UTC) + timedelta(seconds=self._seconds - 1_000_000))

    def _must_be_right(self, agent: Agent, known: dict[str, Built], generation: int) -> None:
        """Every byte that was ever loaded was published; what runs is what the journal says, whole on the disk."""
        assert self.runtime.loaded <= set(known), self.device_id
        model = agent.models[0]
        running, loaded = model.state.running, model.worker.model
        assert (loaded.model_hash if loaded else None) == (running.entry.model_hash if running else None)
        assert model.state.generation >= generation
        assert model.state.quarantine == {}
        if running:
            assert running.artifact == known[running.entry.model_hash].artifact
            assert Rehash(agent.device.slots.place(running.artifact), running).round() is None


@dataclass
class FaultFleet:
    """`agents` devices, `releases` one after the other; of three and more, the way back to the first at the end."""

    folder: Path
    agents: int
    releases: int
    rate: float
    seed: int

    def run(self) -> dict[str, object]:
        """What was dealt, and what came of it. Raises `AssertionError` if something wrong happened."""
        began = time.monotonic()
        with ExitStack() as held:
            site = Site(self.folder / "state")
            controller = Controller(self.folder, site.state / "public")
            site.start()
            held.callback(site.stop)
            proxy = FaultProxy(site.port, self.seed, self.rate)
            url = held.enter_context(proxy.served())
            pool = make_pool(LIMITS)
            held.callback(pool.clear)
            found = self._found(url, pool)
            root = self.folder / "root.json"
            root.write_bytes(controller.publisher.init_root(datetime.now(UTC)))
            workers = held.enter_context(ThreadPoolExecutor(THREADS))
            token = site.keys.enrolment_token()
            list(workers.map(lambda device: device.enrol(token, root), found))
            self._releases(controller, workers, found, site)
        return {
            "agents": len(found),
            "requests": proxy.asked,
            "dealt": {fault: sum(n for (f, _), n in proxy.dealt.items() if f == fault) for fault in FAULTS},
            "asked for": sorted({kind for _, kind in proxy.dealt}),
            "rounds": sum(device.rounds for device in found),
            "most rounds": max(device.rounds for device in found),
            "problems": sorted(set().union(*(device.problems for device in found))),
            "seconds": round(time.monotonic() - began, 1),
        }

    def _found(self, url: str, pool: urllib3.PoolManager) -> Sequence[FaultyDevice]:
        names = [f"device-{number:04d}" for number in range(self.agents)]
        return [FaultyDevice(self.folder / name, url, name, pool) for name in names]

    def _releases(
        self, controller: Controller, workers: ThreadPoolExecutor, found: Sequence[FaultyDevice], site: Site
    ) -> None:
        offered = [simulated(f"1.{number}.0", 8.0 + number) for number in range(self.releases)]
        story = [*offered, offered[0]] if len(offered) > 2 else offered
        known: dict[str, Built] = {}
        for generation, built in enumerate(story, 1):
            known[built.entry(1).model_hash] = built
            controller.publish(generation, [built], datetime.now(UTC))
            wanted = built
            list(workers.map(lambda device: device.follow(wanted, dict(known)), found))  # noqa: B023 - done before the next
            with site.engine.connect() as connection:
                told = connection.execute(select(running.c.release, running.c.model_hash)).all()
            assert set(told) == {(built.release, built.entry(1).model_hash)}
            assert len(told) == self.agents


def main() -> None:
    """Run as a program."""
    agents, releases, rate, seed = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
    with tempfile.TemporaryDirectory() as folder:
        found = FaultFleet(Path(folder), agents, releases, rate, seed).run()
    sys.stdout.write(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
