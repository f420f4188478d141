"""The demo's story on a mixed fleet, in seconds: cam-day has simulated agents, cam-lowlight simulated DDI clients.

Controller, statistics, git, packages, HTTP server and clients are those of `muster demo --mixed`; there is no model and
no camera here: each application says by the version that it loaded whether it answers well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest
import urllib3

from controllers import EVERYONE
from ddi_fleet import DDI_CLASS, DdiFleet
from fleets import MODEL, make_policy
from muster.artifacts.bundle import MODEL as MODEL_FILE
from muster.artifacts.bundle import read_bundle
from muster.demo.ddi_client import Line, SimulatedClient
from muster.kinds.digest import digest_of
from muster.kinds.release import Release
from muster.simulate.fleet import SimulatedDevice, SimulatedFleet
from reporting_fleet import ReportingFleet
from scratch_repository import commit_all, git
from sites import SECRET

DEVICES, CANARIES = 7, 6


class MixedFleet:
    """Both kinds of devices before one controller, and what they run."""

    def __init__(self, folder: Path) -> None:
        self.ddi = DdiFleet(folder)
        self.ddi.scene.now = datetime.now(UTC)
        quick = {"window": "1us", "pollInterval": "1s"}
        self.ddi.scene.declare("policies/default.yaml", make_policy(limit="25%", health=quick))
        self.releases: dict[str, Release] = {}
        agents = [
            SimulatedDevice(f"agent-{number}", "cam-day", {"ring": "canary"} if number < CANARIES else {})
            for number in range(DEVICES)
        ]
        self.agents = ReportingFleet(SimulatedFleet(MODEL, agents, lambda _device, _entry: None), self.releases)
        self.clients = [self._client(number) for number in range(DEVICES)]

    def _client(self, number: int) -> SimulatedClient:
        device_id = f"client-{number}"
        labels = {"ring": "canary"} if number < CANARIES else {}
        assert self.ddi.site.enrol(device_id, device_class=DDI_CLASS, labels=labels)[0] == 201
        base = f"{self.ddi.site.url}/DEFAULT/controller/v1/{device_id}"
        return SimulatedClient(device_id, Line(base, SECRET, urllib3.PoolManager()), self._says)

    def _says(self, bundle: bytes) -> Mapping[str, str]:
        """The application: 1.2.0 cannot read the frames of low-light cameras."""
        loaded = read_bundle(bundle)[MODEL_FILE]
        release = self.releases[f"{MODEL}/{loaded.decode().removeprefix('model ')}"]
        return {
            "muster.runtime_version": "1.31.1",
            f"muster.{MODEL}.model_hash": digest_of(loaded),
            f"muster.{MODEL}.config_version": release.spec.config_version,
            f"muster.{MODEL}.health": "low_confidence" if release.name == f"{MODEL}/1.2.0" else "ok",
        }

    def offer(self, version: str, shares: Mapping[str, str], subject: str) -> None:
        release = self.releases[f"{MODEL}/{version}"] = self.ddi.scene.release(version, shares)
        self.ddi.scene.declare(f"releases/{MODEL}/{version}.yaml", release)
        commit_all(self.ddi.scene.repository, subject)

    def go_on(self, rounds: int = 1) -> None:
        """Tick; then every device polls until it is healthy: a client installs and says so, and says so once more."""
        for _ in range(rounds):
            self.ddi.tick()
            for _ in range(3):
                self.agents.poll(self.ddi.controller, self.ddi.scene.now)
            for client in [*self.clients, *self.clients]:
                client.step()

    def run(self) -> Counter[tuple[str, str, str, bool]]:
        """(class, release, phase, as git declares) as the server knows it, counted."""
        _, page = self.ddi.site.ask("GET", "/v1/devices", headers=self.ddi.operator)
        return Counter((one["deviceClass"], one["running"], one["phase"], one["synced"]) for one in page["items"])


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[MixedFleet]:
    made = MixedFleet(tmp_path)
    yield made
    made.ddi.stop()


def everybody(version: str) -> Counter[tuple[str, str, str, bool]]:
    release = f"{MODEL}/{version}"
    return Counter({(name, release, "healthy", True): DEVICES for name in ("cam-day", DDI_CLASS)})


def test_a_mixed_fleet_follows_git_and_its_harm_is_found(fleet: MixedFleet) -> None:
    """1.1.0 is promoted to all; 1.2.0 fails on the DDI clients, which only their applications tell; the statistics halt
    it, the daemon commits the revert, and every device of both kinds is back on what git declares.
    """
    fleet.offer("1.0.0", EVERYONE, "1.0.0 for everyone")
    fleet.go_on()
    assert fleet.run() == everybody("1.0.0")
    fleet.offer("1.1.0", {"canary": "100%", "fleet": "0%"}, "1.1.0 to its canary")
    fleet.go_on()
    assert sum(client.fetched["1.1.0"] for client in fleet.clients) == CANARIES
    fleet.offer("1.1.0", EVERYONE, "1.1.0 for everyone")
    fleet.go_on()
    assert fleet.run() == everybody("1.1.0")

    fleet.offer("1.2.0", {"canary": "100%", "fleet": "0%"}, "1.2.0 to its canary")
    fleet.go_on(2)
    repository = fleet.ddi.scene.repository
    assert git(repository, "log", "-1", "--format=%s").strip() == 'Revert "1.2.0 to its canary"'
    assert not (repository / f"releases/{MODEL}/1.2.0.yaml").exists()
    assert fleet.run() == everybody("1.1.0")
    assert all(read_bundle(client.installed or b"")[MODEL_FILE] == b"model 1.1.0" for client in fleet.clients)
    assert {client.device_id for client in fleet.clients if client.fetched["1.2.0"]} == {
        f"client-{number}" for number in range(CANARIES)
    }
    [harmed] = [row for row in fleet.ddi.status()["releases"] if row["release"] == f"{MODEL}/1.2.0" and row["failures"]]
    assert (harmed["deviceClass"], harmed["failures"]) == (DDI_CLASS, CANARIES)
