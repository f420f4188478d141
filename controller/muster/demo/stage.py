"""Setting the stage: everything that the story needs, in one folder, and taking it down again."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from muster.apply.key_setup import ROOT_FILE, initialise_keys
from muster.artifacts.store import Store
from muster.attest.state_keys import StateKeys
from muster.demo.agents import AgentHosts
from muster.demo.chaos import Chaos
from muster.demo.mixed import MixedHosts
from muster.demo.observer import Observer, Snapshot
from muster.demo.processes import Daemon
from muster.demo.proof import check_proof, prove
from muster.demo.report import Report
from muster.demo.scratch import MODEL, ScratchRepository
from muster.demo.story import ACTS, BAD, GOOD, PATIENCE, Story
from muster.kinds.errors import TryAgain, Unusable
from muster.serve.client import ControllerClient

HEALTH_WINDOW = "3s"
POLL_INTERVAL = "1s"
TRAIN_SECONDS = 300


@dataclass(frozen=True)
class Plot:
    """How to play: devices per class, and how often the daemon is killed on the way."""

    devices_per_class: int = 16
    canaries_per_class: int = 4
    kills: int = 0
    seed: int = 0
    mixed: bool = False
    """One class has DDI clients in place of agents."""


@dataclass(frozen=True)
class Audience:
    """Who watches: `say` gets one line, `show` gets the fleet at one moment and what is waited for."""

    say: Callable[[str], None]
    show: Callable[[Snapshot, str], None]


def play(source: Path, folder: Path, plot: Plot, audience: Audience) -> Report:
    """Set the stage in `folder`, play the story, take everything down. Raises `MusterError`."""
    state = folder / "state"
    audience.say("Training the source models (integer arithmetic, from scikit-learn's digits)")
    field = _train(source, state / "store")
    scratch = ScratchRepository.make(source, folder)
    audience.say("Making keys, and declaring their public halves in the scratch repository")
    initialise_keys(state, scratch.clone, "demo", datetime.now(UTC))
    audience.say(f"Building {GOOD} again; an identity signs the verdict keyless, at a Sigstore on 127.0.0.1")
    proof = prove(scratch.clone, state, f"releases/{MODEL}/{GOOD}.yaml")
    daemon = Daemon(scratch.remote, state, folder / "daemon.log")
    kind = MixedHosts if plot.mixed else AgentHosts
    hosts = kind(folder / "devices", daemon.server, plot.devices_per_class, plot.canaries_per_class)
    files = {**proof.files, **hosts.declarations(state, scratch.clone)}
    scratch.begin(HEALTH_WINDOW, POLL_INTERVAL, files)
    client = ControllerClient(daemon.server, state)

    def between() -> None:
        hosts.must_run()
        if not plot.kills:
            daemon.must_run()

    with _running(daemon, hosts, audience), _killing(daemon, plot) as chaos:
        audience.say(f"Enrolling {hosts.devices} devices")
        hosts.enrol(StateKeys.of(state).enrolment_token(), scratch.clone / ROOT_FILE)
        observer = Observer(client, audience.show, between)
        observer.wait_for("the first generation is published", lambda seen: seen.status["generation"] > 0, PATIENCE)
        hosts.start(Store(state / "store"), field, POLL_INTERVAL)
        report = Story(scratch, observer, chaos, hosts.devices).play()
    return replace(report, checks=(*report.checks, *hosts.checks(BAD), check_proof(proof, scratch.clone)))


def _train(source: Path, store: Path) -> str:
    """Fill the store; the digest of the snapshot that cameras replay."""
    if not (source / "training" / "meter_reader").is_dir():
        raise Unusable(f"{source} has no training/meter_reader", "run the demo in a clone of this project")
    command = [sys.executable, "-m", "training.meter_reader", "--json", "--store", str(store.absolute())]
    done = subprocess.run(  # noqa: S603 - our own program
        command, cwd=source, capture_output=True, text=True, timeout=TRAIN_SECONDS, check=False
    )
    if done.returncode:
        raise TryAgain(f"the source models could not be trained: {done.stderr.strip()[-500:]}")
    digest: str = json.loads(done.stdout)["snapshots"]["field"]["digest"]
    return digest


@contextlib.contextmanager
def _running(daemon: Daemon, hosts: AgentHosts, audience: Audience) -> Iterator[None]:
    audience.say(f"Starting the daemon at {daemon.server}")
    daemon.start()
    try:
        daemon.wait_until_up()
        yield
    finally:
        hosts.stop()
        daemon.stop()


@contextlib.contextmanager
def _killing(daemon: Daemon, plot: Plot) -> Iterator[Chaos]:
    chaos = Chaos(daemon, plot.kills, ACTS, plot.seed)
    try:
        yield chaos
    finally:
        chaos.stop()
