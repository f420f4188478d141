"""`muster promote`: the next step of a release as a commit, judged before it stands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from muster.cli import exit_code_of
from scratch_fleet import fleet_files, release_yaml
from scratch_repository import commit_all, git, repository_of, write

NEW = "releases/reader/1.1.0.yaml"
STEPS = 'steps: ["25%", "100%"]'


def research(**cohorts: str) -> str:
    return release_yaml("1.1.0", cohorts=cohorts)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """1.0.0 is everywhere; 1.1.0 has the canary, and nothing of the fleet. Long ago, so that every soak is over."""
    files = fleet_files()
    files["policies/default.yaml"] = str(files["policies/default.yaml"]).replace('steps: ["100%"]', STEPS)
    folder = repository_of(tmp_path / "fleet", files).path
    write(folder, {NEW: research(canary="100%", fleet="0%")})
    commit_all(folder, "canary")
    return folder


def run(folder: Path, *arguments: str) -> int:
    return exit_code_of(["promote", *arguments, "--repository", str(folder)])


def rollout(folder: Path, revision: str = "HEAD") -> str:
    text = git(folder, "show", f"{revision}:{NEW}")
    return text[text.index("    cohorts:") :]


def test_the_next_step(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One commit, in the first cohort that has not all of it, to the next step; nothing else changes."""
    before = git(folder, "rev-parse", "HEAD")
    assert run(folder, "reader/1.1.0", "--why", "a quiet week") == 0
    assert "reader/1.1.0: fleet 0% → 25%" in capsys.readouterr().out
    assert git(folder, "rev-parse", "HEAD^") == before
    assert git(folder, "log", "-1", "--format=%B") == "Promote reader/1.1.0: fleet 0% → 25%\n\na quiet week"
    assert git(folder, "diff", "--numstat", "HEAD^") == f"1\t1\t{NEW}"
    assert '      fleet: "25%"' in rollout(folder)
    assert git(folder, "status", "--porcelain") == ""


def test_what_check_would_refuse_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A skipped step, with its rule and what would be right; no branch moves."""
    text = (folder / NEW).read_text().replace("tier: research", "tier: production")
    policy = (folder / "policies/default.yaml").read_text()
    tier = policy[policy.index("    - name: research") :].replace("name: research", "name: production")
    write(folder, {NEW: text, "policies/default.yaml": policy + tier})
    before = commit_all(folder, "production")
    assert run(folder, "reader/1.1.0", "--to", "100%", "--why", "hurry") == 1
    error = capsys.readouterr().err
    assert "transition/step" in error
    assert "write fleet: 25%" in error
    assert run(folder, "reader/1.1.0", "--to", "100%", "--why", "hurry", "-o", "json") == 1
    said = json.loads(capsys.readouterr().out)
    assert said["commit"] is None
    assert "transition/step" in [verdict["rule"] for verdict in said["refused"]]
    assert git(folder, "rev-parse", "HEAD") == before


def test_a_branch_for_a_pull_request(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The branch that is checked out stays; the new one has the commit. A second time there is such a branch."""
    before = git(folder, "rev-parse", "HEAD")
    assert run(folder, "reader/1.1.0", "--why", "w", "--branch", "promote/reader") == 0
    assert "git push origin promote/reader" in capsys.readouterr().out
    assert git(folder, "rev-parse", "HEAD", "promote/reader^").split() == [before, before]
    assert '"25%"' in rollout(folder, "promote/reader")
    assert run(folder, "reader/1.1.0", "--why", "w", "--branch", "promote/reader") == 1
    assert "is there already" in capsys.readouterr().err
    assert exit_code_of(["rollback", "reader/1.1.0", "--branch", "back", "--repository", str(folder)]) == 0
    assert git(folder, "rev-parse", "HEAD", "back^").split() == [before, before]
    capsys.readouterr()


def test_dry_run_moves_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It says what it would do."""
    before = git(folder, "rev-parse", "HEAD")
    assert run(folder, "reader/1.1.0", "--why", "w", "--dry-run") == 0
    assert "would commit on main: reader/1.1.0: fleet 0% → 25%" in capsys.readouterr().out
    assert git(folder, "rev-parse", "HEAD") == before


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["reader/9.9.9", "--why", "w"], 1, "reader/9.9.9 is not declared"),
        (["reader/1.0.0", "--why", "w"], 1, "every cohort has 100%"),
        (["reader/1.1.0", "--why", "w", "--cohort", "moon"], 1, "no cohort moon is declared"),
        (["reader/1.1.0", "--why", "w", "--cohort", "canary", "--to", "25%"], 1, "canary has 100%"),
        (["reader/1.1.0", "--why", "w", "--to", "much"], 2, "--to: "),
        (["reader/1.1.0"], 2, "Missing option '--why'"),
        (["reader/1.1.0", "--why", "w", "--branch", "-f"], 2, "not a branch"),
    ],
    ids=["unknown", "nothing left", "no cohort", "backwards", "no percentage", "no reason", "no branch"],
)
def test_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, message: str
) -> None:
    """With what would be right, and no commit."""
    before = git(folder, "rev-parse", "HEAD")
    assert run(folder, *arguments) == code
    error = capsys.readouterr().err
    assert message in error
    assert "hint: " in error
    assert git(folder, "rev-parse", "HEAD") == before
