"""Checkpoints: the ledger reaches git as it grows, only forward, and never over another history."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from sqlalchemy import text

from controllers import EVERYONE, Scene
from muster.apply import ledger
from muster.apply.checkpoints import Ledger, push_checkpoints
from muster.apply.identity import Identity
from muster.attest.keys import new_private_key
from muster.attest.ledger.chain import Verified, verify_pushed
from muster.attest.ledger.in_git import REF, anchors_of, read_pushed, tip, trust_at
from muster.attest.state_keys import StateKeys
from muster.kinds.errors import Refused, TryAgain
from muster.kinds.event_kind import missing_fields
from muster.observe.storage import writing
from muster.source.git import Repository
from scratch_repository import git


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene.set(tmp_path)


def verified(scene: Scene) -> Verified:
    """What the fleet's own repository says of the ledger that was pushed to it."""
    repository = Repository(scene.repository)
    head, commit = repository.resolve("main"), tip(repository)
    assert commit
    return verify_pushed(
        read_pushed(repository, commit), trust_at(repository, head), anchors_of(repository, head), scene.now
    )


def halted(scene: Scene) -> Scene:
    """A release that harmed was stopped and reverted."""
    scene.commit_release("1.0.0", EVERYONE)
    controller = scene.controller()
    scene.tick(controller)
    scene.commit_release("1.1.0", {"canary": "100%"})
    scene.tick(controller)
    for number in range(8):
        scene.report(controller, f"low-{number}", "cam-lowlight", "1.1.0", "rolled-back", "low_confidence")
    for _ in range(3):
        scene.tick(controller)
    controller.checkpoints.settle(scene.now, wait=True)
    scene.tick(controller)
    controller.close()
    return scene


def source(scene: Scene, key: bytes | None = None) -> Ledger:
    controller = scene.controller()
    controller.close()
    identity = Identity("Muster controller <muster@localhost>", "main")
    mirror = Repository(scene.state / "repository.git")
    return Ledger(controller.engine, mirror, identity, key or StateKeys.of(scene.state).signing_key())


def enter(pushed: Ledger, scene: Scene, *keys: str) -> None:
    """Events of no consequence."""
    with writing(pushed.engine) as connection:
        for key in keys:
            ledger.append(connection, "lifted", key, {"release": "a/1.0.0", "reason": "why"}, scene.now)


def begun(scene: Scene) -> Ledger:
    """A ledger whose first events are checkpointed."""
    pushed = source(scene)
    enter(pushed, scene, "one", "two", "three")
    assert push_checkpoints(pushed, scene.now)
    return pushed


def test_what_a_controller_does_can_be_verified_in_the_repository_alone(scene: Scene) -> None:
    """Every kind of thing that happened is there, each with the fields of its kind, and nothing is wrong."""
    found = verified(halted(scene))
    assert found.flaws == ()
    events = [row.event for row in found.rows]
    assert set(events) == {
        "declared",
        "published",
        "decided",
        "suspended",
        "reverted",
        "lifted",
        "key-used",
        "alerted",
    }
    assert [missing_fields(row.event, row.body) for row in found.rows] == [()] * len(events)
    roles = {row.body["role"] for row in found.rows if row.event == "key-used"}
    assert roles == {"artifacts", "commits", "tuf-targets", "tuf-snapshot", "tuf-timestamp"}
    with source(scene).engine.connect() as connection:
        assert len(events) == ledger.verify_chain(connection)


def test_the_ref_only_grows(scene: Scene) -> None:
    """Each commit descends from the one before and leaves its segments as they were; without news there is none."""
    pushed = begun(scene)
    before = tip(Repository(scene.repository))
    assert push_checkpoints(pushed, scene.now) == 3
    assert tip(Repository(scene.repository)) == before
    enter(pushed, scene, "one more")
    assert push_checkpoints(pushed, scene.now)
    changed = git(scene.repository, "diff", "--name-status", f"{before}..{REF}").splitlines()
    assert sorted(line.split("\t")[0] for line in changed) == ["A", "A", "M"]
    assert [line.split("\t")[1] for line in changed if line[0] == "M"] == ["checkpoint.json"]
    assert verified(scene).flaws == ()


def test_a_lost_mirror_takes_up_the_ledger_where_it_was(scene: Scene) -> None:
    """The mirror holds nothing of its own: the ledger goes on where the origin has it."""
    begun(scene)
    shutil.rmtree(scene.state / "repository.git")
    pushed = source(scene)
    enter(pushed, scene, "one more")
    assert push_checkpoints(pushed, scene.now)
    assert verified(scene).flaws == ()


def test_a_push_that_is_refused_is_tried_again_and_stops_nothing(scene: Scene) -> None:
    """A hook that refuses the ref: the condition says so, what devices get goes on, and later everything is there."""
    hook = scene.repository / ".git/hooks/pre-receive"
    hook.write_text(f"#!/bin/sh\nwhile read old new ref; do test $ref != {REF} || exit 1; done\n")
    hook.chmod(0o755)
    scene.commit_release("1.0.0", EVERYONE)
    controller = scene.controller()
    assert scene.tick(controller) == ["publish"]
    controller.checkpoints.settle(scene.now, wait=True)
    assert controller.checkpoints.trouble is not None
    assert "refuses the push" in controller.checkpoints.trouble
    scene.commit_release("1.1.0", EVERYONE)
    assert scene.tick(controller) == ["publish"]
    hook.unlink()
    for _ in range(3):
        scene.tick(controller)
        controller.checkpoints.settle(scene.now, wait=True)
    assert controller.checkpoints.trouble is None
    assert verified(scene).flaws == ()
    controller.close()


def test_another_history_at_the_origin_is_told_and_never_written_over(scene: Scene) -> None:
    """Two controllers that both began a ledger: the second one does not push over the first."""
    begun(scene)
    theirs = git(scene.repository, "commit-tree", "HEAD^{tree}", "-m", "theirs")
    git(scene.repository, "update-ref", REF, theirs)
    pushed = source(scene)
    enter(pushed, scene, "one more")
    with pytest.raises(Refused, match="another history"):
        push_checkpoints(pushed, scene.now)
    assert tip(Repository(scene.repository)) == theirs


def test_a_ref_that_was_set_back_is_brought_forward(scene: Scene) -> None:
    """What the origin lost, or somebody cut off, comes back with the next push."""
    pushed = begun(scene)
    for spoiled in ("delete", "back"):
        if spoiled == "delete":
            git(scene.repository, "update-ref", "-d", REF)
        else:
            git(scene.repository, "update-ref", REF, f"{REF}^")
        enter(pushed, scene, spoiled)
        assert push_checkpoints(pushed, scene.now)
        assert verified(scene).flaws == ()


def test_rows_that_do_not_continue_the_checkpoint_are_not_pushed(scene: Scene) -> None:
    """A state folder from an older backup: its rows are fewer, or others."""
    pushed = begun(scene)
    before = tip(Repository(scene.repository))
    with writing(pushed.engine) as connection:
        connection.execute(text("DELETE FROM ledger WHERE sequence > 2"))
    with pytest.raises(Refused, match="truncated, or restored"):
        push_checkpoints(pushed, scene.now)
    enter(pushed, scene, *(f"other {number}" for number in range(3)))
    with pytest.raises(Refused, match="not the one that was checkpointed"):
        push_checkpoints(pushed, scene.now)
    assert tip(Repository(scene.repository)) == before


def test_a_ledger_that_another_key_began_is_not_continued(scene: Scene) -> None:
    """A key that the fleet does not know: what is there is not its own."""
    pushed = source(scene, new_private_key())
    enter(pushed, scene, "one")
    assert push_checkpoints(pushed, scene.now)
    assert {flaw.reason for flaw in verified(scene).flaws} == {"CheckpointByAnotherKey"}
    enter(pushed, scene, "two")
    with pytest.raises(Refused, match="not trusted"):
        push_checkpoints(source(scene), scene.now)


def test_an_origin_that_is_away_is_tried_again(scene: Scene) -> None:
    """No answer is no refusal."""
    pushed = source(scene)
    enter(pushed, scene, "one")
    away = scene.repository.rename(scene.folder / "away")
    with pytest.raises(TryAgain):
        push_checkpoints(pushed, scene.now)
    away.rename(scene.repository)
    assert push_checkpoints(pushed, scene.now)
    assert verified(scene).flaws == ()
