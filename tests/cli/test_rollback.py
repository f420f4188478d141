"""`muster rollback`: the revert commit, made for you."""

from __future__ import annotations

import json

import pytest

from muster.cli import exit_code_of
from scratch_fleet import fleet_files, release_yaml
from scratch_repository import commit_all, git, repository_of, write

OLD, NEW = "releases/reader/1.0.0.yaml", "releases/reader/1.1.0.yaml"


@pytest.fixture
def folder(tmp_path):
    """1.0.0 is everywhere; 1.1.0 went to the canary, then to a quarter of the fleet."""
    folder = repository_of(tmp_path / "fleet", fleet_files()).path
    write(folder, {NEW: release_yaml("1.1.0", cohorts={"canary": "100%"})})
    commit_all(folder, "canary")
    write(folder, {NEW: release_yaml("1.1.0", cohorts={"canary": "100%", "fleet": "25%"})})
    commit_all(folder, "widen")
    return folder


def test_the_newest_release_is_taken_back(folder, capsys):
    """One commit on the branch, in the work tree too, that names what it takes back and what devices return to."""
    before = git(folder, "rev-parse", "HEAD")
    assert exit_code_of(["rollback", "reader", "--repository", str(folder), "--why", "fails in cellars"]) == 0
    out = capsys.readouterr().out
    assert git(folder, "rev-parse", "HEAD^") == before
    assert git(folder, "status", "--porcelain") == ""
    assert not (folder / NEW).exists()
    message = git(folder, "log", "-1", "--format=%B")
    assert f"This reverts commit {before}." in message
    assert "fails in cellars" in message
    assert "taken back: reader/1.1.0" in out
    assert "cam / canary: 1.0.0\n" in out
    assert exit_code_of(["check", str(folder)]) == 0
    capsys.readouterr()


def test_dry_run_moves_nothing(folder, capsys):
    """The commit is shown, and no branch moves."""
    before = git(folder, "rev-parse", "HEAD")
    assert exit_code_of(["rollback", "reader", "--repository", str(folder), "--dry-run", "-o", "json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["commit"] is None
    assert report["takenBack"] == ["reader/1.1.0"]
    assert len(report["reverts"]) == 2
    assert report["returnTo"][0] == {"deviceClass": "cam", "cohort": "canary", "releases": ["1.0.0"]}
    assert git(folder, "rev-parse", "HEAD") == before
    assert git(folder, "status", "--porcelain") == ""


def test_to_a_version_takes_back_everything_newer(folder, capsys):
    """--to 1.0.0 takes back 1.1.0 and 1.2.0 in one commit."""
    write(folder, {"releases/reader/1.2.0.yaml": release_yaml("1.2.0", cohorts={"canary": "5%"})})
    commit_all(folder, "next")
    assert exit_code_of(["rollback", "reader", "--to", "1.0.0", "--repository", str(folder), "-o", "json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["takenBack"] == ["reader/1.2.0", "reader/1.1.0"]
    assert report["files"] == [NEW, "releases/reader/1.2.0.yaml"]
    assert report["commit"] == git(folder, "rev-parse", "HEAD")
    assert report["message"].startswith("Revert reader: 1.2.0, 1.1.0\n")


def test_never_to_empty(folder, capsys):
    """Taking back the release that everyone stands on is refused, and nothing moves."""
    before = git(folder, "rev-parse", "HEAD")
    assert exit_code_of(["rollback", "reader", "--release", "1.0.0", "--repository", str(folder)]) == 1
    assert "would be left without model reader in cohort fleet" in capsys.readouterr().err
    assert git(folder, "rev-parse", "HEAD") == before


def test_uncommitted_work_is_kept(folder, capsys):
    """A changed release file stops the rollback; changes elsewhere do not."""
    write(folder, {"README.md": "mine"})
    text = (folder / NEW).read_text() + "# mine\n"
    write(folder, {NEW: text})
    assert exit_code_of(["rollback", "reader", "--repository", str(folder)]) == 1
    assert "changes of its own" in capsys.readouterr().err
    assert (folder / NEW).read_text() == text
    git(folder, "checkout", "-q", "--", NEW)
    assert exit_code_of(["rollback", "reader", "--repository", str(folder)]) == 0
    assert (folder / "README.md").read_text() == "mine"
    capsys.readouterr()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["other"], 1, "no release of other is declared"),
        (["reader", "--release", "9.9.9"], 1, "reader/9.9.9 is not declared"),
        (["reader", "--to", "1.1.0"], 1, "newer than 1.1.0 reaches any device"),
        (["reader", "--to", "1.0.0", "--release", "1.1.0"], 2, "exclude each other"),
    ],
    ids=["unknown model", "unknown version", "nothing newer", "two answers"],
)
def test_refused(folder, capsys, arguments, code, message):
    """What cannot be taken back is refused with what is declared."""
    assert exit_code_of(["rollback", *arguments, "--repository", str(folder)]) == code
    error = capsys.readouterr().err
    assert message in error
    assert "hint: " in error


def test_off_any_branch(folder, capsys):
    """A detached HEAD has no branch to commit on."""
    git(folder, "checkout", "-q", "--detach")
    assert exit_code_of(["rollback", "reader", "--repository", str(folder)]) == 1
    assert "not on a branch" in capsys.readouterr().err


def test_a_broken_fleet_is_named(folder, capsys):
    """Where the newest commit does not load, its first complaint is the answer."""
    write(folder, {OLD: "a: [\n"})
    commit_all(folder, "break")
    assert exit_code_of(["rollback", "reader", "--repository", str(folder)]) == 1
    assert f"{OLD}:2:1" in capsys.readouterr().err
