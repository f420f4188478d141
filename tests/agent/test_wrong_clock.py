"""A wrong clock can delay but not trick: versions only rise, withholding is noticed, and the running model is kept."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from agent_simulator import WINDOW_SECONDS, Built, build, hash_of
from published_bench import Controller, PublishedFiles, WrongClock, beside

DAY = timedelta(days=1)
YEARS = timedelta(days=3_650)
FIRST, SECOND = build("1.0.0"), build("1.1.0", sharpness=9)


class Scene:
    """A device that confirmed the first release at generation 1, and a mirror before the controller."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.controller = Controller(folder)
        (folder / "bench").mkdir()
        self.bench: WrongClock = beside(self.controller, folder, WrongClock(folder / "bench"))
        self.publish(1, FIRST)
        self.bench.tick()
        self.bench.tick(WINDOW_SECONDS)
        assert self.running == hash_of(FIRST)

    @property
    def running(self) -> str | None:
        return self.bench.running

    @property
    def right(self) -> datetime:
        """What a right clock says."""
        return self.bench.now.wall - self.bench.error

    def publish(self, generation: int, built: Built) -> None:
        self.controller.publish(generation, [built], self.right)

    def keep(self, name: str) -> None:
        """Keep what is published now, as a mirror can."""
        shutil.copytree(self.folder / "public", self.folder / name)

    def show(self, name: str = "public") -> None:
        """Show the device what was kept, or what is published."""
        self.bench.repository.files = PublishedFiles(self.folder / name)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


@pytest.mark.parametrize("error", [2 * DAY, 30 * DAY, YEARS], ids=["days", "month", "years"])
def test_a_clock_that_is_ahead_delays(scene: Scene, error: timedelta) -> None:
    """Everything looks expired: that is reported with what the clock says, and the day it is right, all goes on."""
    scene.publish(2, SECOND)
    scene.bench.error = error
    outcome = scene.bench.tick()
    assert outcome.problem == "metadata_expired"
    assert f"this clock says {scene.bench.now.wall:%Y-%m-%d}" in str(outcome.reason)
    assert scene.running == hash_of(FIRST)
    scene.bench.error = timedelta(0)
    assert scene.bench.tick().problem is None
    assert scene.running == hash_of(SECOND)
    assert scene.bench.server.reports[-1].error_code is None
    assert "metadata_expired" in {report.error_code for report in scene.bench.server.reports}


@pytest.mark.parametrize("error", [-DAY, -YEARS, timedelta(days=-20_000)], ids=["day", "years", "before 1972"])
def test_a_clock_that_is_behind_updates_and_says_so(scene: Scene, error: timedelta) -> None:
    """A device without a clock of its own must not be left behind."""
    scene.bench.error = error
    scene.publish(2, SECOND)
    outcome = scene.bench.tick()
    assert outcome.problem == "clock_behind"
    assert f"{scene.right:%Y-%m-%d}" in str(outcome.reason)
    assert scene.running == hash_of(SECOND)


def test_a_clock_that_is_behind_is_not_turned_back(scene: Scene) -> None:
    """What was true by that clock, all of it once signed and then unexpired, is refused: versions only rise."""
    scene.keep("then")
    scene.publish(2, SECOND)
    scene.bench.tick()
    scene.bench.tick(WINDOW_SECONDS)
    scene.bench.error = -YEARS
    scene.show("then")
    assert scene.bench.tick().problem == "metadata_invalid"
    assert scene.bench.state.generation == 2
    assert scene.running == hash_of(SECOND)
    scene.bench.start()
    assert scene.bench.tick().problem == "metadata_invalid"
    assert scene.running == hash_of(SECOND)


def freeze_by_silence(scene: Scene) -> None:
    """The mirror says that nothing changed."""
    assert scene.bench.server.has_etags


def freeze_by_replay(scene: Scene) -> None:
    """The mirror hands out the same file again."""
    scene.bench.server.has_etags = False


@pytest.mark.parametrize("freeze", [freeze_by_silence, freeze_by_replay])
@pytest.mark.parametrize("error", [timedelta(0), -YEARS], ids=["right clock", "clock years behind"])
def test_a_freeze_is_reported(scene: Scene, error: timedelta, freeze: Callable[[Scene], None]) -> None:
    """A mirror that withholds generation 2 is noticed when the day of the timestamp is over, whatever the date is."""
    scene.bench.error = error
    scene.keep("frozen")
    scene.show("frozen")
    freeze(scene)
    scene.publish(2, SECOND)
    assert scene.bench.tick(60).problem in (None, "clock_behind")
    assert scene.bench.tick(23 * 3_600).problem in (None, "clock_behind")
    for _ in range(3):
        assert scene.bench.tick(3_600).problem == "metadata_expired"
    assert scene.running == hash_of(FIRST)
    assert scene.bench.server.reports[-1].error_code == "metadata_expired"
    scene.controller.publisher.refresh(scene.right)
    scene.show()
    scene.bench.tick()
    assert scene.running == hash_of(SECOND)


def test_a_clock_that_jumps(scene: Scene) -> None:
    """To and fro between decades at every round: the device ends where a right one would, and never before it was."""
    seen = []
    for number, error in enumerate((YEARS, -YEARS, 2 * YEARS, timedelta(0), -2 * YEARS, YEARS, timedelta(0)), 2):
        scene.bench.error = error
        scene.publish(number, SECOND if number % 2 else FIRST)
        scene.bench.tick()
        seen.append(scene.bench.state.generation)
    assert seen == sorted(seen)
    assert seen[-1] == 8
    assert scene.running == hash_of(FIRST)


def test_a_controller_whose_clock_was_ahead(scene: Scene) -> None:
    """What it signed a year ahead is taken, and what it signs after its clock was set right as well."""
    scene.controller.publish(2, [SECOND], scene.right + 365 * DAY)
    assert scene.bench.tick().problem == "clock_behind"
    scene.publish(3, FIRST)
    assert scene.bench.tick().problem is None
    assert scene.running == hash_of(FIRST)


@pytest.mark.parametrize("days", [2, 8, 91, 366], ids=["timestamp", "snapshot", "targets", "root"])
def test_each_role_runs_out(scene: Scene, days: int) -> None:
    """A controller that stood still: nothing is taken from then on, and what runs is kept through a restart."""
    scene.bench.seconds += days * 86_400
    assert scene.bench.tick().problem == "metadata_expired"
    scene.bench.start()
    assert scene.bench.tick().problem == "metadata_expired"
    assert scene.running == hash_of(FIRST)
