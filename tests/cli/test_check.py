"""`muster check`, as a user calls it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from muster.cli import exit_code_of
from muster.source.git import make_repository
from scratch_fleet import fleet_files
from scratch_repository import commit_all, git, repository_of, write

ROOT = Path(__file__).parents[2]
CLASS = "devices/classes/cam.yaml"


@pytest.fixture
def folder(tmp_path):
    """A repository whose only commit passes."""
    return repository_of(tmp_path / "fleet", fleet_files()).path


def test_a_fleet_that_holds(folder, capsys):
    """Exit 0 and one line."""
    assert exit_code_of(["check", str(folder)]) == 0
    head = git(folder, "rev-parse", "HEAD")
    assert capsys.readouterr() == (
        f"commit {head[:12]}: 0 errors, 0 warnings; 1 release, 1 device class, 2 cohorts\n",
        "",
    )


def test_the_commit_counts_not_the_work_tree(folder, capsys):
    """What is not committed is not checked, but said to be there; --work-tree checks it."""
    write(folder, {CLASS: "a: [\n", "devices/classes/new.yaml": "x"})
    assert exit_code_of(["check", str(folder)]) == 0
    assert f"note: {CLASS} and 1 more differ in the work tree" in capsys.readouterr().err
    assert exit_code_of(["check", str(folder), "--work-tree"]) == 1
    assert f"{CLASS}:2:1: error: not YAML" in capsys.readouterr().out


def test_complaints_come_with_place_and_hint(folder, capsys):
    """Exit 1; `file:line:col: error: … [rule]`, the hint below, a summary last."""
    write(folder, {CLASS: fleet_files()[CLASS].replace("1MiB", "1.5")})
    commit_all(folder)
    assert exit_code_of(["check", str(folder)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{CLASS}:17:14: error: spec.budgets.storage: not a size: 1.5")
    assert lines[0].endswith("[quantity]")
    assert lines[1].startswith('  hint: write "64MiB", in quotes')
    assert lines[-1].endswith(": 1 error, 0 warnings")


def test_json(folder, capsys):
    """The same as data."""
    write(folder, {CLASS: "a: [\n"})
    head = commit_all(folder)
    assert exit_code_of(["check", str(folder), "-o", "json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert (report["ok"], report["commit"], report["errors"], report["declared"]) == (False, head, 1, None)
    assert {key: report["findings"][0][key] for key in ("file", "line", "column", "rule")} == {
        "file": CLASS,
        "line": 2,
        "column": 1,
        "rule": "syntax",
    }


def test_bare_repositories_and_revisions(folder, tmp_path, capsys):
    """A bare repository is read, at any revision."""
    first = git(folder, "rev-parse", "HEAD")
    write(folder, {CLASS: "a: [\n"})
    commit_all(folder)
    git(tmp_path, "clone", "-q", "--bare", str(folder), "bare.git")
    assert exit_code_of(["check", str(tmp_path / "bare.git")]) == 1
    assert exit_code_of(["check", str(tmp_path / "bare.git"), "--revision", first]) == 0
    capsys.readouterr()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{folder}", "--revision", "no-such"], "no commit is called"),
        (["{folder}", "--revision=--all"], "not a revision"),
        (["{folder}/none"], "no such folder"),
        (["{tmp}"], "not a git repository"),
        (["{tmp}/none", "--work-tree"], "no such folder"),
    ],
    ids=["unknown revision", "option as revision", "missing folder", "no repository", "missing work tree"],
)
def test_could_not_tell(folder, tmp_path, capsys, arguments, message):
    """Exit 2, one line with the reason, one with the way out, no traceback."""
    assert exit_code_of(["check", *(part.format(folder=folder, tmp=tmp_path) for part in arguments)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "hint: " in error
    assert "Traceback" not in error


def test_a_repository_without_commits(tmp_path, capsys):
    """There is nothing to check yet, and that is said."""
    make_repository(tmp_path, "main")
    assert exit_code_of(["check", str(tmp_path)]) == 2
    assert "no commit is called 'HEAD'" in capsys.readouterr().err


@pytest.mark.parametrize(
    "time",
    ["", "now", "2026-03-01", "2026-03-01T09:00:00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"],
)
def test_a_time_that_is_none(folder, capsys, time):
    """Exit 2, and what would be one."""
    assert exit_code_of(["check", str(folder), "--base", "HEAD", "--at", time]) == 2
    assert "hint: write 2026-03-01T09:00:00Z" in capsys.readouterr().err


def test_an_error_elsewhere_leaves_no_document_unanswered(folder, capsys):
    """Components know their owners from the owners file, whatever is wrong with other files."""
    kept = ["docs/components.yaml", "policies/owners.yaml", "docs/diagrams/*.mmd", "docs/playbooks/*.md"]
    found = {str(path.relative_to(ROOT)): path.read_text() for name in kept for path in ROOT.glob(name)}
    found["docs/components.yaml"] = found["docs/components.yaml"].replace("owner: ml", "owner: nobody-here", 1)
    write(folder, {**found, CLASS: fleet_files()[CLASS].replace("1MiB", "1.5")})
    assert exit_code_of(["check", str(folder), "--work-tree"]) == 1
    complaints = capsys.readouterr().out
    assert f"{CLASS}:17:14: error: spec.budgets.storage" in complaints
    assert "nobody-here" in complaints
    assert "owners file" not in complaints
