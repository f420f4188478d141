"""A whole controller on a scratch repository, without a model to build: its artifacts are prepared beforehand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from fleets import MODEL, make_class, make_cohort, make_policy, make_release
from muster.apply.key_setup import initialise_keys
from muster.apply.prepare import Prepared
from muster.artifacts.bundle import CONFIG, GOLDEN_EXPECTED, GOLDEN_INPUTS, MANIFEST, pack_bundle
from muster.artifacts.bundle import MODEL as MODEL_FILE
from muster.artifacts.store import Store
from muster.attest.state_keys import StateKeys
from muster.daemon import Controller, Settings
from muster.kinds.canonical import canonical_json
from muster.kinds.digest import digest_of
from muster.kinds.phases import Phase
from muster.kinds.release import Artifact, Release
from muster.kinds.resource import Resource
from muster.kinds.telemetry import Report
from muster.observe.inventory import Enrolment, enrol
from muster.observe.reports import take_reports
from muster.observe.storage import writing
from scratch_repository import commit_all, git, write

START = datetime(2026, 1, 1, tzinfo=UTC)
EVERYONE = {"canary": "100%", "fleet": "100%"}
SECRET = "s" * 43


@dataclass
class Scene:
    """A repository, a state folder, and a clock that tests move by hand."""

    folder: Path
    now: datetime = START

    @classmethod
    def set(cls, folder: Path) -> Scene:
        """A fleet of two classes without any release, and a controller's keys declared in it."""
        scene = cls(folder)
        scene.repository.mkdir(parents=True)
        git(scene.repository, "init", "-q", "-b", "main")
        for name in ("cam-day", "cam-lowlight"):
            scene.declare(f"devices/classes/{name}.yaml", make_class(name, may_be_empty=True))
        scene.declare("devices/cohorts/canary.yaml", make_cohort("canary", 1, ring="canary"))
        scene.declare("devices/cohorts/fleet.yaml", make_cohort("fleet", 2))
        scene.declare("policies/default.yaml", make_policy())
        initialise_keys(scene.state, scene.repository, "test", START)
        commit_all(scene.repository, "A fleet without releases")
        return scene

    @property
    def repository(self) -> Path:
        return self.folder / "fleet"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def declare(self, path: str, resource: Resource) -> None:
        write(self.repository, {path: canonical_json(resource.model_dump(mode="json", exclude_none=True))})

    def release(self, version: str, cohorts: Mapping[str, str]) -> Release:
        """A release whose artifact is in the store, packed and signed."""
        release = make_release(version, cohorts)
        files = {
            MODEL_FILE: f"model {version}".encode(),
            CONFIG: canonical_json(release.spec.inference.model_dump(mode="json")),
            MANIFEST: b"{}",
            GOLDEN_INPUTS: b"inputs",
            GOLDEN_EXPECTED: b"expected",
        }
        store = Store(self.state / "store")
        data = pack_bundle(files)
        artifact = Artifact(digest=store.put(data), size=len(data))
        stages = release.spec.stages.model_copy(update={"quantized": digest_of(files[MODEL_FILE])})
        spec = release.spec.model_copy(update={"artifact": artifact, "stages": stages})
        made = release.model_copy(update={"spec": spec})
        self.sign(made)
        return made

    def sign(self, release: Release) -> None:
        """Sign what a release pins, as if it had been built: its artifact is in the store."""
        store = Store(self.state / "store")
        Prepared(store, self.state / "signatures", StateKeys.of(self.state).signing_key()).sign(release)

    def commit_release(self, version: str, cohorts: Mapping[str, str]) -> str:
        self.declare(f"releases/{MODEL}/{version}.yaml", self.release(version, cohorts))
        return commit_all(self.repository, f"Release {version}")

    def controller(self) -> Controller:
        """As after a start: nothing is remembered but what is on disk."""
        return Controller(Settings(str(self.repository), self.state))

    def tick(self, controller: Controller) -> list[str]:
        """One tick, thirty seconds after the last; the names of the steps that were carried out."""
        done = controller.tick(self.now)
        self.now += timedelta(seconds=30)
        return [type(action).__name__.lower() for action in done.plan.actions] if done else []

    def report(
        self, controller: Controller, device_id: str, device_class: str, version: str, phase: Phase, code: str | None
    ) -> None:
        """A device (enrolled on its first report) says how far it came."""
        self.report_many(controller, [(device_id, device_class)], version, phase, code)

    def report_many(
        self,
        controller: Controller,
        devices: Iterable[tuple[str, str]],
        version: str,
        phase: Phase,
        code: str | None,
    ) -> None:
        """Devices, each with its class, say the same, in one transaction."""
        with writing(controller.engine) as connection:
            for device_id, device_class in devices:
                enrolment = Enrolment(
                    device_id=device_id,
                    device_class=device_class,
                    labels={},
                    models=[MODEL],
                    token="t",
                    secret=SECRET,
                )
                enrol(connection, enrolment, self.now)
                report = Report(
                    device_id=device_id,
                    sequence=int((self.now - START).total_seconds() * 1_000) + 1,
                    model=MODEL,
                    device_class=device_class,
                    generation=controller.publisher.published().generation,
                    release=f"{MODEL}/{version}",
                    phase=phase,
                    error_code=code,
                    model_hash=None,
                    config_version=None,
                    runtime_version="1.31.1",
                )
                take_reports(connection, device_id, [report], self.now)
