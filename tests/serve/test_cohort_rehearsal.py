"""A rehearsal in a staging cohort: a whole controller, its real server, and devices that do what they are offered.

Between two questions of the rehearsal the controller ticks once and every device asks and reports once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from controllers import EVERYONE, SECRET, START, Scene
from fleets import MODEL
from muster.daemon import Controller
from muster.kinds.errors import Refused
from muster.kinds.fleet import Fleet
from muster.kinds.telemetry import Report
from muster.observe.inventory import Enrolment, enrol
from muster.observe.reports import take_reports
from muster.observe.storage import writing
from muster.plan.assignment import choose
from muster.serve.client import ControllerClient
from muster.serve.cohort_rehearsal import CohortRehearsal, Surroundings, refuse_others
from scratch_repository import git
from sites import Site

CLASS = "cam-day"
LABELS = {"canary-0": {"ring": "canary"}, "canary-1": {"ring": "canary"}, "main-0": {}}


@dataclass
class Stage:
    """A scene with its server and devices. A device in `stubborn` stays with what it runs."""

    scene: Scene
    controller: Controller
    site: Site
    stubborn: set[str] = field(default_factory=set)
    runs: dict[str, str] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)

    def moment(self) -> None:
        self.scene.tick(self.controller)
        self.site.published = self.controller.publisher.published()
        document = self.site.published.documents[MODEL, CLASS]
        for name, labels in LABELS.items():
            entry = choose(document, name, labels)
            if entry is None or (name in self.stubborn and self.runs.get(name, entry.release) != entry.release):
                continue
            self.runs[name] = entry.release
            report = Report(
                device_id=name,
                sequence=int((self.scene.now - START).total_seconds() * 1_000) + 1,
                model=MODEL,
                device_class=CLASS,
                generation=document.generation,
                release=entry.release,
                phase="healthy",
                model_hash=entry.model_hash,
                config_version=entry.config_version,
                runtime_version=entry.runtime_version,
            )
            with writing(self.controller.engine) as connection:
                take_reports(connection, name, [report], self.scene.now)

    def rehearsal(self, cohort: str = "canary") -> CohortRehearsal:
        fleet = self.fleet()
        newer, older = fleet.release(f"{MODEL}/1.1.0"), fleet.release(f"{MODEL}/1.0.0")
        assert newer
        assert older
        surroundings = Surroundings(lambda: self.scene.now, self.moment, timedelta(minutes=3))
        client = ControllerClient(self.site.url, self.scene.state)
        return CohortRehearsal(client, surroundings, cohort, newer, older, "Ada <ada@x.example>", self.lines.append)

    def fleet(self) -> Fleet:
        fleet, _ = self.controller._declared(self.scene.now)
        assert fleet
        return fleet


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """1.0.0 runs everywhere; 1.1.0 was just promoted to the canary."""
    scene = Scene.set(tmp_path)
    site = Site(scene.state)
    site.start()
    scene.commit_release("1.0.0", EVERYONE)
    stage = Stage(scene, scene.controller(), site)
    with writing(stage.controller.engine) as connection:
        for name, labels in LABELS.items():
            made = Enrolment(
                device_id=name, device_class=CLASS, labels=labels, models=[MODEL], token="t", secret=SECRET
            )
            enrol(connection, made, scene.now)
    stage.moment()
    scene.commit_release("1.1.0", {"canary": "100%"})
    stage.moment()
    yield stage
    site.stop()
    stage.controller.close()


def test_every_device_comes_back_and_git_says_the_same(stage: Stage) -> None:
    """Through the guard of every step; who is in another cohort never saw it."""
    assert stage.rehearsal().play()
    assert stage.runs == dict.fromkeys(LABELS, f"{MODEL}/1.0.0")
    assert "rehearsal in cohort canary" in git(stage.scene.repository, "log", "-1", "--format=%B")
    assert [line.partition(":")[0] for line in stage.lines] == ["promote", "promote", "revert", "revert"]


def test_a_device_that_does_not_come_back_is_named(stage: Stage) -> None:
    """What was published is not what runs: the rehearsal failed, within its time."""
    stage.stubborn = {"canary-1"}
    began = stage.scene.now
    assert not stage.rehearsal().play()
    assert "canary-1 did not come back" in stage.lines[-1]
    assert stage.scene.now - began < timedelta(minutes=10)


def test_nothing_is_halted_before_every_device_runs_it(stage: Stage) -> None:
    """A device that never took the newer release ends the rehearsal, and the release stays on offer."""
    stage.stubborn = {"canary-0"}
    stage.runs["canary-0"] = f"{MODEL}/1.0.0"
    stage.scene.now += timedelta(seconds=1)
    stage.scene.report(stage.controller, "canary-0", CLASS, "1.0.0", "healthy", None)
    with pytest.raises(Refused, match="canary-0 did not come to run"):
        stage.rehearsal().play()
    assert next(entry.version for entry in stage.site.published.documents[MODEL, CLASS].entries) == "1.1.0"


def test_a_cohort_without_the_release_is_refused(stage: Stage) -> None:
    """With the command that promotes it there."""
    with pytest.raises(Refused, match="no device of cohort fleet") as refusal:
        stage.rehearsal("fleet").play()
    assert "muster promote" in str(refusal.value.hint)


def test_a_release_that_others_have_is_not_halted(stage: Stage) -> None:
    """The halt would take it from them; nor is there a rehearsal in a cohort that nobody declared."""
    fleet = stage.fleet()
    widely, newer = fleet.release(f"{MODEL}/1.0.0"), fleet.release(f"{MODEL}/1.1.0")
    assert widely
    assert newer
    with pytest.raises(Refused, match="is offered to fleet, too"):
        refuse_others(fleet, widely, "canary")
    with pytest.raises(Refused, match="no cohort moon"):
        refuse_others(fleet, newer, "moon")
    refuse_others(fleet, newer, "canary")
