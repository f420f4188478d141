"""Advancing on a real repository: commits and proposals of the controller, and taking them back."""

from __future__ import annotations

import shutil
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from controllers import EVERYONE, Scene
from fleets import MODEL, make_policy
from muster.apply import ledger
from muster.apply.proposals import load_proposals
from muster.apply.suspensions import load_suspensions
from muster.attest.keys import public_half
from muster.attest.state_keys import StateKeys
from muster.daemon import Controller
from muster.kinds.phases import Phase
from muster.observe.status import read_status
from scratch_repository import commit_all, git

NEW = f"{MODEL}/1.1.0"
BRANCH = f"muster/advance/{NEW}/canary-250000"
REVERT = f"muster/revert/{NEW}"


def scene_of(folder: Path, **tier: object) -> tuple[Scene, Controller]:
    """1.0.0 everywhere, and 1.1.0 at 5 % of the canary, published."""
    scene = Scene.set(folder)
    scene.declare("policies/default.yaml", make_policy(limit="30%", soak="1h", **tier))
    scene.commit_release("1.0.0", EVERYONE)
    controller = scene.controller()
    scene.tick(controller)
    scene.commit_release("1.1.0", {"canary": "5%", "fleet": "0%"})
    scene.tick(controller)
    return scene, controller


def report(scene: Scene, controller: Controller, phase: Phase, count: int = 40) -> None:
    """So many devices of each class."""
    devices = [(f"{name}-{phase}-{number}", name) for name in ("cam-day", "cam-lowlight") for number in range(count)]
    scene.report_many(controller, devices, "1.1.0", phase, None if phase == "healthy" else "load_failed")


def soak(scene: Scene, controller: Controller) -> None:
    """An hour passes, and healthy devices are heard at both ends of it: nothing is decided about a silent fleet."""
    report(scene, controller, "healthy")
    scene.now += timedelta(hours=1)
    report(scene, controller, "healthy")


def events(controller: Controller) -> list[str]:
    with controller.engine.connect() as connection:
        return [event.event for event in ledger.events(connection)]


def waits(controller: Controller) -> list[str]:
    with controller.engine.connect() as connection:
        plan = read_status(connection, "plan")
    return [wait["reason"] for wait in plan["waits"] if wait["step"] == "advance"]


def kill(*_arguments: object, **_named: object) -> None:
    raise KeyboardInterrupt


def shares(scene: Scene) -> str:
    return git(scene.repository, "show", f"main:releases/{NEW}.yaml").partition("rollout")[2]


def test_the_controller_commits_one_step_at_a_time(tmp_path: Path) -> None:
    """After the soak, with the record in a signed commit; the next step soaks anew."""
    scene, controller = scene_of(tmp_path, advance="commit")
    report(scene, controller, "healthy")
    assert scene.tick(controller) == []
    assert any("soaks for 1h" in reason for reason in waits(controller))
    soak(scene, controller)
    assert scene.tick(controller) == ["advance"]
    message = git(scene.repository, "log", "-1", "--format=%an|%B")
    assert message.startswith(f"Muster controller|Advance {NEW}: canary 5% → 25%")
    assert "- failures (limit) in cam-day" in message
    assert "0 of 40 devices" in message
    trailers = git(scene.repository, "log", "-1", "--format=%(trailers:unfold,only)").split("\n")
    assert trailers[0] == f"Muster-Advance: {NEW} canary 5% 25%"
    assert trailers[1].startswith("Muster-Ledger: sha256:")
    assert '"25%"' in shares(scene)
    assert scene.tick(controller) == ["publish"]
    assert scene.tick(controller) == []
    assert any("soaks for 1h" in reason for reason in waits(controller))
    assert events(controller).count("advanced") == 1


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="needs ssh-keygen (openssh-client)")
def test_git_itself_verifies_the_signature(tmp_path: Path) -> None:
    """With the controller's public key among the allowed signers; another key does not do."""
    scene, controller = scene_of(tmp_path, advance="commit")
    soak(scene, controller)
    scene.tick(controller)
    public = tmp_path / "controller.pem"
    public.write_text(public_half(StateKeys.of(scene.state).signing_key()))
    convert = ["ssh-keygen", "-i", "-m", "PKCS8", "-f", str(public)]
    key = subprocess.run(convert, capture_output=True, check=True, text=True).stdout.strip()
    allowed = tmp_path / "allowed"
    command = ["git", "-C", str(scene.repository), "-c", f"gpg.ssh.allowedSignersFile={allowed}", "verify-commit"]
    allowed.write_text(f"muster@localhost {key}\n")
    assert subprocess.run([*command, "main"], capture_output=True, check=False).returncode == 0
    allowed.write_text("")
    assert subprocess.run([*command, "main"], capture_output=True, check=False).returncode != 0


def test_a_kill_between_push_and_ledger_makes_no_second_commit(tmp_path: Path) -> None:
    """The next start finds the commit, and enters it once."""
    scene, controller = scene_of(tmp_path, advance="commit")
    soak(scene, controller)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("muster.apply.advance.Advancer._record", kill)
        with pytest.raises(KeyboardInterrupt):
            scene.tick(controller)
    before = git(scene.repository, "rev-list", "--count", "main")
    restarted = scene.controller()
    for _ in range(3):
        scene.tick(restarted)
    assert git(scene.repository, "rev-list", "--count", "main") == before
    assert events(restarted).count("advanced") == 1


def test_while_git_is_away_the_step_waits(tmp_path: Path) -> None:
    """With the reason; it is taken when git is back."""
    scene, controller = scene_of(tmp_path, advance="commit")
    soak(scene, controller)
    away = scene.repository.rename(scene.folder / "away")
    scene.tick(controller)
    with controller.engine.connect() as connection:
        actions = read_status(connection, "plan")["actions"]
    assert [action["step"] for action in actions if action["failed"]] == ["advance"]
    away.rename(scene.repository)
    assert scene.tick(controller) == ["advance"]
    assert '"25%"' in shares(scene)


def test_a_step_is_proposed_once_and_goes_on_when_it_is_merged(tmp_path: Path) -> None:
    """The branch waits for people; after their merge, the step is published, and the branch is gone."""
    scene, controller = scene_of(tmp_path, advance="pull-request")
    soak(scene, controller)
    assert scene.tick(controller) == ["advance"]
    assert '"25%"' not in shares(scene)
    tip = git(scene.repository, "rev-parse", BRANCH)
    assert scene.tick(scene.controller()) == []
    assert git(scene.repository, "rev-parse", BRANCH) == tip
    assert f"proposed as {BRANCH}" in waits(controller)
    git(scene.repository, "merge", "-q", "--no-ff", "--no-edit", BRANCH)
    assert scene.tick(controller) == ["publish", "withdraw"]
    assert BRANCH not in git(scene.repository, "branch", "--list", BRANCH)
    assert [name for name in events(controller) if name.startswith("propos")] == ["proposed", "proposal-ended"]


def test_a_kill_while_proposing_proposes_once(tmp_path: Path) -> None:
    """The branch that was pushed before the crash is known for ours."""
    scene, controller = scene_of(tmp_path, advance="pull-request")
    soak(scene, controller)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("muster.forge.git.driver.PlainGit._propose", kill)
        with pytest.raises(KeyboardInterrupt):
            scene.tick(controller)
    tip = git(scene.repository, "rev-parse", BRANCH)
    restarted = scene.controller()
    assert scene.tick(restarted) == ["advance"]
    assert git(scene.repository, "rev-parse", BRANCH) == tip
    assert events(restarted).count("proposed") == 1


def test_harm_takes_the_proposal_back_and_proposes_the_revert(tmp_path: Path) -> None:
    """The suspension holds until the proposed revert is merged; it is proposed once."""
    scene, controller = scene_of(tmp_path, advance="pull-request", revert="pull-request")
    soak(scene, controller)
    scene.tick(controller)
    report(scene, controller, "failed", 60)
    assert scene.tick(controller) == ["suspend", "publish", "revert", "withdraw"]
    branches = git(scene.repository, "branch", "--list", "muster/*")
    assert (BRANCH in branches, REVERT in branches) == (False, True)
    for _ in range(2):
        assert scene.tick(controller) == []
    with controller.engine.connect() as connection:
        assert set(load_suspensions(connection)) == {NEW}
        assert set(load_proposals(connection)) == {REVERT}
    git(scene.repository, "merge", "-q", "--no-ff", "--no-edit", REVERT)
    assert scene.tick(controller) == ["publish", "lift", "withdraw"]
    assert scene.tick(controller) == []
    with controller.engine.connect() as connection:
        assert (load_suspensions(connection), load_proposals(connection)) == ({}, {})
    assert events(controller).count("proposed") == 2
    assert events(controller).count("reverted") == 1


def test_a_squashed_revert_takes_the_hold_off_nothing(tmp_path: Path) -> None:
    """The merge quotes the revert's own words; the artifact stays on hold when the release is declared again."""
    scene, controller = scene_of(tmp_path, revert="pull-request")
    report(scene, controller, "failed", 20)
    assert "revert" in scene.tick(controller)
    git(scene.repository, "merge", "-q", "--squash", REVERT)
    commit_all(scene.repository, git(scene.repository, "log", "-1", "--format=%B", REVERT))
    scene.tick(controller)
    scene.tick(controller)
    scene.commit_release("1.1.0", {"canary": "5%", "fleet": "0%"})
    scene.tick(controller)
    assert "1.1.0" not in [
        entry.version for entry in controller.publisher.published().documents[MODEL, "cam-day"].entries
    ]


def test_a_branch_that_others_changed_stays(tmp_path: Path) -> None:
    """It is not ours to take away, and the event says so."""
    scene, controller = scene_of(tmp_path, advance="pull-request")
    soak(scene, controller)
    scene.tick(controller)
    git(scene.repository, "switch", "-q", BRANCH)
    (scene.repository / "notes.txt").write_text("mine")
    commit_all(scene.repository, "Mine")
    git(scene.repository, "switch", "-q", "main")
    report(scene, controller, "failed", 60)
    scene.tick(controller)
    assert BRANCH in git(scene.repository, "branch", "--list", BRANCH)
    with controller.engine.connect() as connection:
        ended = [event for event in ledger.events(connection) if event.event == "proposal-ended"]
    assert "changed by others" in ended[0].body["reason"]
