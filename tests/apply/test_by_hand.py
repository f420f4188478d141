"""Suspending and resuming by hand, through a whole controller: tick by tick, with restarts in between."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from controllers import EVERYONE, Scene
from fleets import MODEL
from muster.apply import ledger
from muster.apply.by_hand import ByHand, resume_by_hand, suspend_by_hand
from muster.apply.holds import load_holds
from muster.apply.suspensions import load_suspensions
from muster.cli.rollback import rollback
from muster.daemon import Controller
from muster.kinds.errors import Refused
from muster.kinds.hold import AGAIN, Hold
from muster.observe.status import read_status
from muster.observe.storage import writing
from muster.plan.world import Suspension
from scratch_repository import git

NEW = f"{MODEL}/1.1.0"
ADA = "Ada <ada@fleet.example>"


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """1.0.0 is everywhere, 1.1.0 on offer to the canary; both published."""
    scene = Scene.set(tmp_path)
    scene.commit_release("1.0.0", EVERYONE)
    scene.commit_release("1.1.0", {"canary": "100%"})
    return scene


@pytest.fixture
def controller(scene: Scene) -> Controller:
    controller = scene.controller()
    scene.tick(controller)
    return controller


def suspend(scene: Scene, controller: Controller, until: datetime | None = None, release: str = NEW) -> Suspension:
    with writing(controller.engine) as connection:
        asked = ByHand(release, ADA, "smells of smoke")
        return suspend_by_hand(connection, asked, until, controller.publisher.published(), scene.now)


def resume(scene: Scene, controller: Controller, *, over_guardrail: bool = False) -> Suspension:
    with writing(controller.engine) as connection:
        asked, published = ByHand(NEW, ADA, "it was the kettle"), controller.publisher.published()
        return resume_by_hand(connection, asked, published, scene.now, over_guardrail=over_guardrail)


def offered(controller: Controller) -> list[tuple[str, int]]:
    """Versions on offer to cam-lowlight, and since which generation."""
    document = controller.publisher.published().documents[MODEL, "cam-lowlight"]
    return [(entry.version, entry.since) for entry in document.entries]


def halted(controller: Controller) -> list[str]:
    return [halt.release for halt in controller.publisher.published().documents[MODEL, "cam-lowlight"].halted]


def events(controller: Controller) -> list[tuple[str, dict[str, Any]]]:
    with controller.engine.connect() as connection:
        ledger.verify_chain(connection)
        found = [(event.event, dict(event.body)) for event in ledger.events(connection)]
    return [(name, body) for name, body in found if name not in ("declared", "decided", "key-used", "alerted")]


def fail(scene: Scene, controller: Controller, first: int = 0) -> None:
    for number in range(first, first + 8):
        scene.report(controller, f"low-{number}", "cam-lowlight", "1.1.0", "rolled-back", "low_confidence")


def test_for_a_time(scene: Scene, controller: Controller) -> None:
    """Devices leave at the next tick, git stays; it survives restarts and ends by itself."""
    head = git(scene.repository, "rev-parse", "HEAD")
    suspend(scene, controller, scene.now + timedelta(minutes=2))
    assert scene.tick(controller) == ["publish"]
    assert offered(controller) == [("1.0.0", 1)]
    assert halted(controller) == [NEW]
    restarted = scene.controller()
    assert scene.tick(restarted) == []
    assert halted(restarted) == [NEW]
    scene.now += timedelta(minutes=2)
    assert scene.tick(restarted) == ["lapse", "publish"]
    assert offered(restarted) == [("1.1.0", 3), ("1.0.0", 1)]
    assert scene.tick(restarted) == []
    assert git(scene.repository, "rev-parse", "HEAD") == head
    assert [name for name, _ in events(restarted)] == ["published", "suspended", "published", "lapsed", "published"]


def test_who_why_and_until_when_are_recorded_and_shown(scene: Scene, controller: Controller) -> None:
    """In the ledger for good, and in the status while it holds."""
    until = scene.now + timedelta(hours=2)
    suspend(scene, controller, until)
    scene.tick(controller)
    body = dict(events(controller))["suspended"]
    assert (body["by"], body["reason"], body["until"]) == (ADA, "smells of smoke", "2026-01-01T02:00:30Z")
    with controller.engine.connect() as connection:
        shown = read_status(connection, "loop")
        waits = read_status(connection, "plan")["waits"]
    assert (shown["health"], shown["sync"]) == ("Suspended", "OutOfSync")
    assert shown["suspensions"][0]["by"] == ADA
    assert datetime.fromisoformat(shown["suspensions"][0]["until"]) == until
    assert [wait["reason"] for wait in waits if wait["subject"] == NEW] == [f"suspended by {ADA}: smells of smoke"]


def test_for_good_is_followed_by_the_revert(scene: Scene, controller: Controller) -> None:
    """As after a guardrail's verdict: the same tick commits it, with the reason."""
    suspend(scene, controller)
    assert scene.tick(controller) == ["publish", "revert"]
    assert "smells of smoke" in git(scene.repository, "log", "-1", "--format=%B")
    assert scene.tick(controller) == ["publish", "lift"]
    assert scene.tick(controller) == []
    with pytest.raises(Refused, match="is not suspended"):
        resume(scene, controller)


def test_a_guardrails_suspension_is_resumed_only_explicitly(scene: Scene, controller: Controller) -> None:
    """While git is away, so that its revert cannot settle the matter first."""
    fail(scene, controller)
    scene.repository.rename(scene.folder / "away")
    scene.tick(controller)
    with pytest.raises(Refused, match="by a guardrail") as refusal:
        resume(scene, controller)
    assert "--over-guardrail" in str(refusal.value.hint)
    assert halted(controller) == [NEW]
    assert resume(scene, controller, over_guardrail=True).by == "guardrail"
    assert scene.tick(controller) == ["publish"]
    assert offered(controller)[0][0] == "1.1.0"


def test_what_was_resumed_is_judged_by_what_devices_show_from_there_on(scene: Scene, controller: Controller) -> None:
    """The failures it was halted for say nothing any more; the same failures again halt it again."""
    fail(scene, controller)
    scene.repository.rename(scene.folder / "away")
    scene.tick(controller)
    resume(scene, controller, over_guardrail=True)
    assert scene.tick(controller) == ["publish"]
    assert scene.tick(scene.controller()) == []
    fail(scene, controller)
    assert scene.tick(controller)[:2] == ["suspend", "publish"]


def test_resumed_before_anything_was_published(scene: Scene, controller: Controller) -> None:
    """The entry never left what devices can fetch: it gets a new generation all the same, once."""
    suspend(scene, controller, scene.now + timedelta(hours=1))
    resume(scene, controller)
    assert scene.tick(controller) == ["publish"]
    assert offered(controller) == [("1.1.0", 2), ("1.0.0", 1)]
    assert scene.tick(controller) == []


def test_harm_ends_a_suspension_for_a_time_for_good(scene: Scene, controller: Controller) -> None:
    """A guardrail goes on judging what is suspended; its verdict outlives the end that a person gave."""
    suspend(scene, controller, scene.now + timedelta(minutes=1))
    scene.tick(controller)
    fail(scene, controller)
    assert scene.tick(controller) == ["suspend", "publish", "revert"]
    scene.now += timedelta(hours=1)
    assert scene.tick(controller) == ["publish", "lift"]
    assert [version for version, _ in offered(controller)] == ["1.0.0"]


def test_evidence_of_an_earlier_attempt_does_not_count_while_suspended(scene: Scene, controller: Controller) -> None:
    """It was halted once, and resumed: what it showed then says nothing about this attempt."""
    fail(scene, controller)
    away = scene.repository.rename(scene.folder / "away")
    scene.tick(controller)
    resume(scene, controller, over_guardrail=True)
    scene.tick(controller)
    away.rename(scene.repository)
    suspend(scene, controller, scene.now + timedelta(hours=1))
    assert scene.tick(controller) == ["publish"]
    assert scene.tick(controller) == []


def test_another_end_replaces_the_one_before(scene: Scene, controller: Controller) -> None:
    """Longer or shorter; and a suspension for a time can be made one for good."""
    suspend(scene, controller, scene.now + timedelta(hours=1))
    suspend(scene, controller, scene.now + timedelta(minutes=1))
    scene.tick(controller)
    scene.now += timedelta(minutes=1)
    assert scene.tick(controller) == ["lapse", "publish"]
    suspend(scene, controller, scene.now + timedelta(hours=1))
    suspend(scene, controller)
    assert "revert" in scene.tick(controller)
    with pytest.raises(Refused, match=f"is suspended already: by {ADA} since"):
        suspend(scene, controller, scene.now + timedelta(hours=1))


@pytest.mark.parametrize(
    ("release", "until", "message"),
    [
        ("meter-reader/9.9.9", None, "knows no release"),
        (NEW, timedelta(0), "is past"),
        (NEW, timedelta(days=400), "more than a year away"),
    ],
    ids=["unknown release", "past", "far away"],
)
def test_refused(scene: Scene, controller: Controller, release: str, until: timedelta | None, message: str) -> None:
    """Nothing is suspended, nothing recorded."""
    with pytest.raises(Refused, match=message):
        suspend(scene, controller, scene.now + until if until is not None else None, release)
    with controller.engine.connect() as connection:
        assert load_suspensions(connection) == {}
    assert [name for name, _ in events(controller)] == ["published"]


def hold_of(controller: Controller) -> Hold | None:
    with controller.engine.connect() as connection:
        return next((one for one in load_holds(connection).values() if one.release == NEW), None)


def waits(controller: Controller) -> set[str]:
    with controller.engine.connect() as connection:
        return {wait["step"] for wait in read_status(connection, "plan")["waits"] if wait["subject"] == NEW}


def test_what_is_suspended_for_good_and_reverted_is_held(scene: Scene, controller: Controller) -> None:
    """Like a guardrail's halt: declared again, it is not offered until a commit after the revert says so."""
    suspend(scene, controller)
    scene.tick(controller)
    scene.tick(controller)
    held = hold_of(controller)
    assert held is not None
    assert held.after == git(scene.repository, "rev-parse", "HEAD")
    assert ADA in held.reason
    scene.commit_release("1.1.0", {"canary": "100%"})
    scene.tick(scene.controller())
    assert [version for version, _ in offered(controller)] == ["1.0.0"]
    assert "hold" in waits(controller)
    git(scene.repository, "commit", "--allow-empty", "-qm", f"On purpose\n\n{AGAIN}: {NEW}")
    scene.tick(controller)
    assert hold_of(controller) is None
    assert [version for version, _ in offered(controller)] == ["1.1.0", "1.0.0"]


def test_a_suspension_for_a_time_holds_nothing(scene: Scene, controller: Controller) -> None:
    """Nor does its end take a hold off."""
    suspend(scene, controller, scene.now + timedelta(minutes=2))
    assert hold_of(controller) is None
    suspend(scene, controller)
    assert hold_of(controller) is not None
    resume(scene, controller)
    assert hold_of(controller) is None


def test_a_guardrails_hold_is_forgotten_where_a_person_resumes(scene: Scene, controller: Controller) -> None:
    """Which takes saying so."""
    fail(scene, controller)
    scene.repository.rename(scene.folder / "away")
    scene.tick(controller)
    assert hold_of(controller) is not None
    resume(scene, controller, over_guardrail=True)
    assert hold_of(controller) is None


def test_a_rollback_by_hand_does_not_name_the_release_anew(scene: Scene, controller: Controller) -> None:
    """Although its commit says that it reverts the one at which the release was halted."""
    suspend(scene, controller)
    halted_at = git(scene.repository, "rev-parse", "HEAD")
    done = CliRunner().invoke(rollback, [NEW, "--repository", str(scene.repository), "--why", "it smokes"])
    assert done.exit_code == 0, done.output
    assert f"This reverts commit {halted_at}" in git(scene.repository, "log", "-1", "--format=%B")
    while "lift" not in scene.tick(controller):
        assert NEW in halted(controller) or offered(controller) == [("1.0.0", 1)]
    scene.tick(controller)
    held = hold_of(controller)
    assert held is not None
    assert held.after == git(scene.repository, "rev-parse", "HEAD")
