"""`muster check --github`, from its environment to what stands on the pull request, over a real socket."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from served_github import served
from simulated_github import REPOSITORY, TOKEN, SimulatedGitHub, make_github
from test_plain_git import base_files, people

from scratch_repository import commit_all, git, repository_of

POLICY = "policies/default.yaml"


@dataclass
class Story:
    """A fleet's repository, and the pull request on GitHub that would change it."""

    folder: Path
    github: SimulatedGitHub

    def propose(self, soak: str) -> None:
        """The author pushes a commit that sets the soak."""
        git(self.folder, "switch", "-q", "promote")
        path = self.folder / POLICY
        path.write_text(path.read_text().replace("soak: 1m", f"soak: {soak}"))
        head = commit_all(self.folder, f"Soak for {soak}")
        git(self.folder, "switch", "-q", "main")
        self.github.commits.append({"sha": head, "author": {"login": "ada"}, "commit": {}})
        self.github.pull["head"]["sha"] = head
        self.github.pull["commits"] = len(self.github.commits)

    def check(self) -> subprocess.CompletedProcess[str]:
        """One run of the gate, as the workflow does it."""
        event = self.folder.parent / "event.json"
        event.write_text(json.dumps({"repository": {"full_name": REPOSITORY}, "pull_request": {"number": 7}}))
        with served(self.github) as address:
            environment = {
                **os.environ,
                "GITHUB_ACTIONS": "true",
                "GITHUB_API_URL": address,
                "GITHUB_EVENT_PATH": str(event),
                "GITHUB_REPOSITORY": REPOSITORY,
                "GITHUB_TOKEN": TOKEN,
            }
            command = [sys.executable, "-m", "muster", "check", "--github", str(self.folder)]
            return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    def shown(self) -> dict[str, str]:
        """The newest check runs at the head: name -> conclusion."""
        head = self.github.pull["head"]["sha"]
        return {run["name"]: run["conclusion"] for run in self.github.check_runs if run["head_sha"] == head}


@pytest.fixture
def story(tmp_path: Path) -> Story:
    files = {**base_files(), "policies/owners.yaml": people("ben", "ada", "cyd")}
    folder = repository_of(tmp_path / "fleet", files).path
    github = make_github("ada", "A shorter soak", "as agreed")
    github.login = None
    github.base = git(folder, "rev-parse", "HEAD")
    github.commits = []
    git(folder, "switch", "-q", "-c", "promote")
    told = Story(folder, github)
    told.propose("30s")
    return told


def test_a_weakening_waits_for_a_policy_owner(story: Story) -> None:
    """Blocked until an owner of the base approves this very head; a push takes that away. One comment stands."""
    assert story.check().returncode == 1
    assert story.shown()["muster / weakening"] == "failure"
    assert story.shown()["muster"] == "failure"
    story.github.review("ben", "APPROVED")
    assert story.check().returncode == 0, story.github.comments
    assert set(story.shown().values()) == {"success"}
    story.propose("10s")
    assert story.check().returncode == 1
    assert story.shown()["muster"] == "failure"
    assert len(story.github.comments) == 1


def test_the_authors_own_approval_lifts_nothing(story: Story) -> None:
    """Neither does that of somebody who owns no policies."""
    story.github.review("ada", "APPROVED")
    story.github.review("cyd", "APPROVED")
    assert story.check().returncode == 1


def test_the_annotation_stands_at_the_weakened_line(story: Story) -> None:
    """In the file that the pull request changes."""
    story.check()
    notes = [note for run in story.github.check_runs for note in run["output"]["annotations"]]
    lines = (story.folder / POLICY).read_text().split("\n")
    (note,) = [note for note in notes if note["path"] == POLICY]
    assert lines[note["start_line"] - 1].strip() == "soak: 1m"


def test_the_token_is_nowhere(story: Story) -> None:
    """Not in the output, not in what is posted, also where GitHub refuses it."""
    told = story.check()
    assert TOKEN not in told.stdout + told.stderr + str(story.github.comments) + str(story.github.check_runs)
    story.github.pull["number"] = 8
    refused = story.check()
    assert refused.returncode == 2
    assert "hint:" in refused.stderr
    assert TOKEN not in refused.stdout + refused.stderr
