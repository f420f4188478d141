"""A check of a change costs what it touches: what nothing in it asks for is not loaded."""

from __future__ import annotations

import subprocess
import sys

from scratch_fleet import fleet_files, release_yaml
from scratch_repository import commit_all, git, repository_of, write

_LOADED = """
import sys
from muster.cli import exit_code_of
code = exit_code_of(["check", "--base", "main", "--head", "topic"])
print("exit code", code, file=sys.stderr)
print(*sys.modules, file=sys.stderr)
"""
_HEAVY = {
    "cryptography",  # signatures: a change with evidence
    "cronsim",  # schedules: a base with a freeze
    "dateutil",
    "markdown_it",  # documents: a change of one, or one that needs one
    "muster.forge",  # approvals
    "muster.kinds.policy_test",
    "muster.kinds.telemetry",
    "rich",  # a report with a table, or a line that does not fit
    "ruamel",
}


def test_a_release_that_reaches_nobody_is_judged_without_what_it_does_not_need(tmp_path):
    """Neither libraries nor kinds that the change does not meet are imported."""
    folder = tmp_path / "fleet"
    repository_of(folder, dict(fleet_files()))
    git(folder, "checkout", "-q", "-b", "topic")
    idle = {"canary": "0%", "fleet": "0%"}
    write(folder, {"releases/reader/9.0.0.yaml": release_yaml("9.0.0", cohorts=idle)})
    commit_all(folder, "a release")
    done = subprocess.run([sys.executable, "-c", _LOADED], cwd=folder, capture_output=True, text=True, check=True)
    code, loaded = done.stderr.strip().split("\n")[-2:]
    assert code in ("exit code 0", "exit code 1"), done.stderr
    assert "release added: reader/9.0.0" in done.stdout
    assert "muster.check.judge" in loaded.split()
    assert _HEAVY.isdisjoint(loaded.split())
