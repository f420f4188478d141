"""The controller on a real repository and real published files: tick by tick."""

from __future__ import annotations

import shutil
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from controllers import EVERYONE, Scene
from fleets import MODEL
from muster.apply import ledger
from muster.apply.key_setup import initialise_keys
from muster.apply.suspensions import load_suspensions
from muster.daemon import Controller
from muster.observe.status import read_status
from scratch_repository import commit_all, git, write


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene.set(tmp_path)


def conditions(controller: Controller) -> dict[str, str]:
    with controller.engine.connect() as connection:
        return {item["type"]: item["status"] for item in read_status(connection, "loop")["conditions"]}


def said(controller: Controller, key: str) -> object:
    with controller.engine.connect() as connection:
        return read_status(connection, "loop")[key]


def versions(controller: Controller, device_class: str = "cam-day") -> list[str]:
    return [entry.version for entry in controller.publisher.published().documents[MODEL, device_class].entries]


def fail_canary(scene: Scene, controller: Controller) -> None:
    """Eight devices of one class leave 1.1.0 by themselves."""
    for number in range(8):
        scene.report(controller, f"low-{number}", "cam-lowlight", "1.1.0", "rolled-back", "low_confidence")


def test_a_commit_is_published_once(scene: Scene) -> None:
    """The first tick publishes generation 1; the second has nothing to do."""
    commit = scene.commit_release("1.0.0", EVERYONE)
    controller = scene.controller()
    assert scene.tick(controller) == ["publish"]
    assert scene.tick(controller) == []
    assert (controller.publisher.published().generation, versions(controller)) == (1, ["1.0.0"])
    assert said(controller, "commit") == commit
    assert {name for name, status in conditions(controller).items() if status != "True"} == set()


def test_a_bad_commit_changes_nothing(scene: Scene) -> None:
    """A commit that does not pass the checks leaves what is published, and the condition says where it fails."""
    scene.commit_release("1.0.0", EVERYONE)
    controller = scene.controller()
    scene.tick(controller)
    write(scene.repository, {f"releases/{MODEL}/1.1.0.yaml": "kind: Release\n"})
    git(scene.repository, "add", "-A")
    git(scene.repository, "commit", "-qm", "Broken")
    assert scene.tick(controller) == []
    assert versions(controller) == ["1.0.0"]
    assert conditions(controller)["DeclarationValid"] == "False"
    restarted = scene.controller()
    assert scene.tick(restarted) == []
    assert versions(restarted) == ["1.0.0"]


def test_a_revert_is_published_as_a_higher_generation(scene: Scene) -> None:
    """`git revert` brings the old digest back, never an old generation."""
    scene.commit_release("1.0.0", EVERYONE)
    controller = scene.controller()
    scene.tick(controller)
    scene.commit_release("1.1.0", EVERYONE)
    scene.tick(controller)
    assert versions(controller) == ["1.1.0"]
    git(scene.repository, "revert", "--no-edit", "HEAD")
    scene.tick(controller)
    assert (controller.publisher.published().generation, versions(controller)) == (3, ["1.0.0"])


def test_harm_is_suspended_published_and_reverted_in_one_tick(scene: Scene) -> None:
    """The tick that sees the harm stops the release, and commits the revert with the reason and the ledger's head."""
    scene.commit_release("1.0.0", EVERYONE)
    controller = scene.controller()
    scene.tick(controller)
    bad = scene.commit_release("1.1.0", {"canary": "100%"})
    scene.tick(controller)
    fail_canary(scene, controller)
    assert scene.tick(controller) == ["suspend", "publish", "revert"]
    message = git(scene.repository, "log", "-1", "--format=%an|%B")
    assert message.startswith('Muster controller|Revert "Release 1.1.0"')
    assert bad in message
    assert "low_confidence" in message
    assert "Muster-Ledger: sha256:" in message
    assert not (scene.repository / f"releases/{MODEL}/1.1.0.yaml").exists()
    assert scene.tick(controller) == ["publish", "lift"]
    assert scene.tick(controller) == []
    assert versions(controller, "cam-lowlight") == ["1.0.0"]
    with controller.engine.connect() as connection:
        entered = [event.event for event in ledger.events(connection)]
        assert ledger.verify_chain(connection) == len(entered)
    told = [before for before, event in pairwise(entered) if event == "alerted"]
    assert told == ["suspended", "reverted", "lifted"]
    happened = [event for event in entered if event not in ("declared", "decided", "key-used", "alerted")]
    assert happened == ["published", "published", "suspended", "published", "reverted", "published", "lifted"]


def test_a_suspension_holds_while_git_is_away_and_the_commit_follows(scene: Scene) -> None:
    """Devices are protected at once; git says the same as soon as it can be reached."""
    scene.commit_release("1.0.0", EVERYONE)
    controller = scene.controller()
    scene.tick(controller)
    scene.commit_release("1.1.0", {"canary": "100%"})
    scene.tick(controller)
    fail_canary(scene, controller)
    away = scene.repository.rename(scene.folder / "away")
    scene.tick(controller)
    assert versions(controller) == ["1.0.0"]
    assert conditions(controller)["RepositoryReachable"] == "False"
    assert conditions(controller)["StepsCarriedOut"] == "False"
    away.rename(scene.repository)
    scene.tick(scene.controller())
    assert "Revert" in git(scene.repository, "log", "-1", "--format=%s")


def test_a_push_that_lost_the_race_is_made_again_on_the_new_commit(scene: Scene) -> None:
    """Somebody commits between the tick's look and its push: the next tick reverts on top of that."""
    scene.commit_release("1.0.0", EVERYONE)
    controller = scene.controller()
    scene.tick(controller)
    scene.commit_release("1.1.0", {"canary": "100%"})
    scene.tick(controller)
    fail_canary(scene, controller)
    plan = controller.preview(scene.now).plan
    fleet, _ = controller._declared(scene.now)
    assert plan
    assert fleet
    write(scene.repository, {"README.md": "moved on\n"})
    git(scene.repository, "add", "-A")
    git(scene.repository, "commit", "-qm", "Unrelated")
    failed = controller._executor.execute(plan, fleet, scene.now)
    assert [type(item.action).__name__ for item in failed] == ["Revert"]
    assert git(scene.repository, "log", "-1", "--format=%s") == "Unrelated"
    scene.tick(controller)
    subjects = git(scene.repository, "log", "-3", "--format=%s").splitlines()
    assert subjects[:2] == ['Revert "Release 1.1.0"', "Unrelated"]


def test_a_restart_repeats_nothing(scene: Scene) -> None:
    """A controller that is started again finds everything done."""
    scene.commit_release("1.0.0", EVERYONE)
    controller = scene.controller()
    scene.tick(controller)
    with controller.engine.connect() as connection:
        before = ledger.events(connection)
    restarted = scene.controller()
    assert scene.tick(restarted) == []
    assert restarted.publisher.published().generation == 1
    assert [event.event for event in before].count("published") == 1
    with restarted.engine.connect() as connection:
        assert ledger.events(connection) == before


def test_a_damaged_artifact_of_another_release_does_not_keep_the_brake_off(scene: Scene) -> None:
    """One flipped bit in 1.0.0's stored artifact: the halt of 1.1.0 is published within the next ticks all the same."""
    first = scene.release("1.0.0", EVERYONE)
    scene.declare(f"releases/{MODEL}/1.0.0.yaml", first)
    bad = scene.release("1.1.0", {"canary": "100%"})
    scene.declare(f"releases/{MODEL}/1.1.0.yaml", bad)
    commit_all(scene.repository, "Two releases")
    controller = scene.controller()
    scene.tick(controller)
    digest = first.spec.artifact.digest.removeprefix("sha256:")
    stored = scene.state / "store" / "sha256" / digest[:2] / digest
    stored.chmod(0o644)
    stored.write_bytes(b"x" + stored.read_bytes()[1:])
    fail_canary(scene, controller)
    scene.tick(controller)
    scene.tick(controller)
    assert "1.1.0" not in versions(controller)
    with controller.engine.connect() as connection:
        still_published = any(
            entry.version == "1.1.0"
            for document in controller.publisher.published().documents.values()
            for entry in document.entries
        )
        assert load_suspensions(connection) or not still_published


def test_a_key_that_was_removed_does_not_keep_a_halt_from_being_published(scene: Scene) -> None:
    """Without its declared key the controller prepares nothing new, and stops what does harm."""
    scene.commit_release("1.0.0", EVERYONE)
    controller = scene.controller()
    scene.tick(controller)
    scene.commit_release("1.1.0", {"canary": "100%"})
    scene.tick(controller)
    (scene.repository / "policies/keys/test.yaml").unlink()
    commit_all(scene.repository, "Remove the key")
    fail_canary(scene, controller)
    scene.tick(controller)
    assert versions(controller) == ["1.0.0"]


@pytest.mark.parametrize("how", ["branch renamed", "tree bomb"])
def test_a_commit_that_cannot_be_read_switches_nothing_off(scene: Scene, how: str) -> None:
    """Guardrails go on judging by the last valid commit, and the metadata stays fresh."""
    scene.commit_release("1.0.0", EVERYONE)
    controller = scene.controller()
    scene.tick(controller)
    scene.commit_release("1.1.0", {"canary": "100%"})
    scene.tick(controller)
    if how == "branch renamed":
        git(scene.repository, "branch", "-m", "main", "trunk")
    else:
        plant_tree_bomb(scene.repository)
    fail_canary(scene, controller)
    scene.tick(controller)
    assert versions(controller) == ["1.0.0"]
    assert conditions(controller)["DeclarationValid"] == "False"
    scene.now += timedelta(hours=20)
    scene.tick(controller)
    assert controller.publisher.expires() > scene.now


def plant_tree_bomb(repository: Path) -> None:
    """Six nested trees of ten entries each: a few kilobytes that list as a million files."""
    blob = git(repository, "hash-object", "-w", "--stdin", given=b"kind: Release\n")
    tree = git(repository, "mktree", given="".join(f"100644 blob {blob}\t{n}.yaml\n" for n in range(10)).encode())
    for _ in range(5):
        tree = git(repository, "mktree", given="".join(f"040000 tree {tree}\t{n}\n" for n in range(10)).encode())
    top = git(repository, "ls-tree", "HEAD").splitlines()
    listed = [line for line in top if not line.endswith("\treleases")] + [f"040000 tree {tree}\treleases"]
    root = git(repository, "mktree", given=("\n".join(listed) + "\n").encode())
    commit = git(repository, "commit-tree", root, "-p", "HEAD", "-m", "Bomb")
    git(repository, "update-ref", "refs/heads/main", commit)


def test_the_plan_is_made_for_the_newest_commit(scene: Scene) -> None:
    """A preview sees what was committed since the last tick, and changes nothing."""
    scene.commit_release("1.0.0", EVERYONE)
    controller = scene.controller()
    scene.tick(controller)
    commit = scene.commit_release("1.1.0", EVERYONE)
    plan = controller.preview(scene.now).plan
    assert plan
    assert plan.commit == commit
    assert controller.publisher.published().generation == 1


def test_a_publication_is_recorded_under_its_own_commit(scene: Scene) -> None:
    """Killed between publication and ledger: the next start records it, though a newer commit is there by then."""
    first = scene.commit_release("1.0.0", EVERYONE)
    controller = scene.controller()
    plan = controller.preview(scene.now).plan
    fleet, _ = controller._declared(scene.now)
    assert plan
    assert fleet
    step = plan.actions[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("muster.apply.execute.Executor.record_published", kill)
        with pytest.raises(KeyboardInterrupt):
            controller._executor._publish(step, fleet, scene.now)
    scene.commit_release("1.1.0", {"canary": "100%"})
    restarted = scene.controller()
    scene.tick(restarted)
    with restarted.engine.connect() as connection:
        published = [event.body for event in ledger.events(connection) if event.event == "published"]
    recorded = {body["generation"]: body["commit"] for body in published}
    assert recorded[1] == first


def kill(*_arguments: object) -> None:
    raise KeyboardInterrupt


def test_a_revert_that_would_leave_a_dangling_reference_keeps_the_file(scene: Scene) -> None:
    """1.2.0 (at 0 %) supersedes the harmful 1.1.0: the file stays, and reaches nobody."""
    scene.commit_release("1.0.0", EVERYONE)
    controller = scene.controller()
    scene.tick(controller)
    scene.commit_release("1.1.0", {"canary": "100%"})
    newer = scene.release("1.2.0", {"canary": "0%"})
    spec = newer.spec.model_copy(update={"supersedes": "1.1.0"})
    scene.declare(f"releases/{MODEL}/1.2.0.yaml", newer.model_copy(update={"spec": spec}))
    commit_all(scene.repository, "Prepare 1.2.0")
    scene.tick(controller)
    fail_canary(scene, controller)
    assert "revert" in scene.tick(controller)
    assert git(scene.repository, "log", "-1", "--format=%an") == "Muster controller"
    assert '"0%"' in (scene.repository / f"releases/{MODEL}/1.1.0.yaml").read_text()
    scene.tick(controller)
    assert scene.tick(controller) == []
    assert versions(controller) == ["1.0.0"]


def test_a_kill_between_push_and_ledger_loses_no_event(scene: Scene) -> None:
    """The revert was pushed, its record was not: the next start finds the commit and records it once."""
    scene.commit_release("1.0.0", EVERYONE)
    controller = scene.controller()
    scene.tick(controller)
    scene.commit_release("1.1.0", {"canary": "100%"})
    scene.tick(controller)
    fail_canary(scene, controller)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("muster.apply.execute.Executor._record_reverted", kill)
        with pytest.raises(KeyboardInterrupt):
            scene.tick(controller)
    restarted = scene.controller()
    scene.tick(restarted)
    scene.tick(restarted)
    with restarted.engine.connect() as connection:
        happened = [event.event for event in ledger.events(connection)]
    assert happened.count("reverted") == 1
    assert happened.index("reverted") < happened.index("lifted")


def test_a_lost_record_or_another_key_sends_no_device_back(scene: Scene) -> None:
    """What devices can fetch stays on offer while its signature is made anew."""
    scene.commit_release("1.0.0", EVERYONE)
    scene.commit_release("1.1.0", {"canary": "100%"})
    controller = scene.controller()
    scene.tick(controller)
    before = controller.publisher.published()
    shutil.rmtree(scene.state / "signatures")
    steps = scene.tick(controller)
    assert "publish" not in steps
    assert controller.publisher.published() == before
    controller.close()


def test_a_halt_is_published_while_a_key_is_being_replaced(scene: Scene) -> None:
    """Nothing is signed with the new key yet; the harmful release leaves all the same, the other one stays."""
    scene.commit_release("1.0.0", EVERYONE)
    scene.commit_release("1.1.0", {"canary": "100%"})
    controller = scene.controller()
    scene.tick(controller)
    (scene.state / "keys" / "signing.pem").unlink()
    (scene.repository / "policies/keys/test.yaml").unlink()
    initialise_keys(scene.state, scene.repository, "second", scene.now)
    commit_all(scene.repository, "Replace the key")
    renewed = scene.controller()
    fail_canary(scene, renewed)
    scene.tick(renewed)
    assert versions(renewed) == ["1.0.0"]
    renewed.close()


def test_the_preview_says_that_the_newest_commit_is_refused(scene: Scene) -> None:
    """The plan is that of the last valid commit, and says so."""
    valid = scene.commit_release("1.0.0", EVERYONE)
    controller = scene.controller()
    scene.tick(controller)
    write(scene.repository, {f"releases/{MODEL}/1.1.0.yaml": "kind: Release\n"})
    commit_all(scene.repository, "Broken")
    preview = controller.preview(scene.now)
    assert preview.plan
    assert preview.plan.commit == valid
    assert "does not pass `muster check`" in preview.complaints[0]


def test_a_release_that_is_named_again_on_purpose_gets_another_chance(scene: Scene) -> None:
    """Reverting the revert offers it again; what devices showed before says nothing, what they show now does."""
    scene.commit_release("1.0.0", EVERYONE)
    controller = scene.controller()
    scene.tick(controller)
    scene.commit_release("1.1.0", {"canary": "100%"})
    scene.tick(controller)
    fail_canary(scene, controller)
    scene.tick(controller)
    scene.tick(controller)
    git(scene.repository, "revert", "--no-edit", "HEAD")
    assert scene.tick(controller) == ["publish"]
    assert scene.tick(controller) == []
    assert versions(controller) == ["1.1.0", "1.0.0"]
    fail_canary(scene, controller)
    assert scene.tick(controller) == ["suspend", "publish", "revert"]


def test_what_was_halted_stays_off_until_a_commit_names_it_anew(scene: Scene) -> None:
    """Declaring it once more is not enough, also after a restart; a trailer with its name is."""
    scene.commit_release("1.0.0", EVERYONE)
    controller = scene.controller()
    scene.tick(controller)
    scene.commit_release("1.1.0", {"canary": "100%"})
    scene.tick(controller)
    fail_canary(scene, controller)
    scene.tick(controller)
    scene.tick(controller)
    scene.commit_release("1.1.0", {"canary": "50%"})
    assert scene.tick(controller) == []
    controller.close()
    controller = scene.controller()
    scene.tick(controller)
    assert versions(controller) == ["1.0.0"]
    git(scene.repository, "commit", "--allow-empty", "-m", f"Try it again\n\nMuster-Offer-Again: {MODEL}/1.1.0")
    scene.tick(controller)
    assert versions(controller) == ["1.1.0", "1.0.0"]
    controller.close()
