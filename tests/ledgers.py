"""A fleet with a ledger that tells a story, and a clone of it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from controllers import EVERYONE, START, Scene
from fleets import MODEL
from muster.attest.evidence import sign_evidence
from muster.attest.keys import new_private_key, public_half
from muster.attest.ledger.in_git import REF
from muster.attest.statements.admission import REBUILT, admission
from muster.forge.git.approvals import approve
from muster.kinds.digest import hex_of
from muster.kinds.evidence import ADMISSION
from muster.kinds.owners import Owners
from muster.kinds.pull_request import Approval
from muster.kinds.signing_key import SigningKey
from muster.source.git import Repository
from scratch_repository import commit_all, git, write

KEY = new_private_key()
FETCH = (REF, "refs/notes/muster/approvals")


def declare_ben(scene: Scene) -> None:
    """Ben, whose key counts for approvals and evidence."""
    key = {"metadata": {"name": "ben"}, "spec": {"publicKey": public_half(KEY), "uses": ["approvals", "evidence"]}}
    people = {"people": [{"login": "ben", "approvalKeys": ["ben"]}], "policyOwners": ["ben"]}
    scene.declare("policies/keys/ben.yaml", SigningKey.model_validate(key))
    scene.declare("policies/owners.yaml", Owners.model_validate({"metadata": {"name": "owners"}, "spec": people}))
    commit_all(scene.repository, "Ben")


def merge_release(scene: Scene) -> str:
    """1.1.0 goes to the canary: on a branch, with evidence, approved by Ben, merged. The merge's commit."""
    git(scene.repository, "switch", "-q", "-c", "promote")
    release = scene.release("1.1.0", {"canary": "100%"})
    scene.declare(f"releases/{MODEL}/1.1.0.yaml", release)
    digest = release.spec.artifact.digest
    file = sign_evidence({release.name: digest}, ADMISSION, admission([REBUILT], START), KEY)
    write(scene.repository, {f"evidence/{hex_of(digest)}/lab.json": file})
    head = commit_all(scene.repository, "Release 1.1.0")
    approve(Repository(scene.repository), Approval("ben", head, START, ""), KEY)
    git(scene.repository, "switch", "-q", "main")
    git(scene.repository, "merge", "-q", "--no-ff", "-m", "Merge 1.1.0", "promote")
    return git(scene.repository, "rev-parse", "HEAD")


def play(folder: Path) -> Scene:
    """1.0.0 everywhere; ten minutes later an approved 1.1.0, which harms the canary, is halted and reverted at 20."""
    scene = Scene.set(folder)
    declare_ben(scene)
    scene.commit_release("1.0.0", EVERYONE)
    controller = scene.controller()
    scene.tick(controller)
    merge_release(scene)
    scene.now = START + timedelta(minutes=10)
    scene.tick(controller)
    for number in range(8):
        scene.report(controller, f"low-{number}", "cam-lowlight", "1.1.0", "rolled-back", "low_confidence")
    scene.now = START + timedelta(minutes=20)
    for _ in range(3):
        scene.tick(controller)
        controller.checkpoints.settle(scene.now, wait=True)
    controller.close()
    return scene


def cloned(played: Scene) -> Path:
    """What somebody has who only cloned, and fetched the ledger and the approvals."""
    folder = played.folder / "clone"
    git(played.folder, "clone", "-q", str(played.repository), str(folder))
    git(folder, "fetch", "-q", "origin", *(f"{ref}:{ref}" for ref in FETCH))
    return folder
