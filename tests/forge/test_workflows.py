"""The workflows of this repository, read as data: what they may do, what they run, and what they never do."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from ruamel.yaml import YAML

from muster.check.impact_line import impact_line
from muster.cli import cli
from scratch_repository import commit_all, git, repository_of, write

GITHUB = Path(__file__).parents[2] / ".github"
FILES = sorted((GITHUB / "workflows").glob("*.y*ml"))
WORKFLOWS: dict[str, dict[str, Any]] = {path.stem: YAML(typ="safe").load(path) for path in FILES}

# Everything that any job may do beyond reading the repository; a new entry is a decision, not a detail.
MAY_WRITE = {
    ("gate", "gate"): {"checks": "write", "pull-requests": "write"},
    ("rebuild", "rebuild"): {"id-token": "write"},
    ("sign", "propose"): {"contents": "write"},
}
TRUSTED = {"push", "schedule", "workflow_dispatch", "workflow_run"}
"""What runs a workflow from a reviewed commit."""


def jobs() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Workflow, job, and what it is."""
    for name, workflow in WORKFLOWS.items():
        for job, value in workflow["jobs"].items():
            yield name, job, value


def steps() -> Iterator[tuple[str, dict[str, Any]]]:
    """Workflow and step."""
    for name, _, job in jobs():
        for step in job["steps"]:
            yield name, step


SCRIPTS = [(name, step["run"]) for name, step in steps() if "run" in step]


def test_there_are_the_workflows_that_a_fleet_needs() -> None:
    """One sets the gate off, one judges, one rebuilds, one signs."""
    assert {"pull-request", "gate", "rebuild", "sign", "check"} <= WORKFLOWS.keys()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_actions_are_pinned(path: Path) -> None:
    """Every action by the full digest of a commit, with its version beside it for people."""
    uses = re.findall(r"uses:(.*)", path.read_text())
    for line in uses:
        assert re.fullmatch(r" [a-z-]+/[a-z-]+@[0-9a-f]{40} # v[0-9]+\.[0-9]+\.[0-9]+", line), line


def test_permissions_are_declared_and_least() -> None:
    """Each workflow starts from nothing or from reading; what a job may write is listed here, and nothing else."""
    for name, workflow in WORKFLOWS.items():
        assert workflow["permissions"] in ({}, {"contents": "read"}), name
    for name, job, value in jobs():
        written = {what: how for what, how in value.get("permissions", {}).items() if how != "read"}
        assert written == MAY_WRITE.get((name, job), {}), (name, job)


def test_what_may_write_or_holds_a_key_is_not_run_by_a_pull_request() -> None:
    """Only reviewed commits run with permissions or secrets; and nothing uses pull_request_target."""
    for name, workflow in WORKFLOWS.items():
        triggers = set(workflow["on"])
        assert "pull_request_target" not in triggers, name
        text = (GITHUB / "workflows" / f"{name}.yaml").read_text()
        writes = any(workflow_name == name for workflow_name, _ in MAY_WRITE)
        if writes or "secrets." in text:
            assert triggers <= TRUSTED, name


def test_a_key_and_the_right_to_write_are_never_together() -> None:
    """A job that sees a secret writes nothing, and asks for the environment that guards it."""
    for name, job, value in jobs():
        if "secrets." in str(value):
            assert "environment" in value, (name, job)
            assert (name, job) not in MAY_WRITE


@pytest.mark.parametrize(("name", "script"), SCRIPTS)
def test_scripts_hold_no_expressions(name: str, script: str) -> None:
    """What GitHub would paste into a script could be written by anybody; it comes in through the environment."""
    assert "${{" not in script, name


def test_checkouts_are_of_reviewed_commits() -> None:
    """No checkout names a head, none leaves a token behind, and submodules and large files are not followed."""
    for name, step in steps():
        if step.get("uses", "").startswith("actions/checkout@"):
            options = step.get("with", {})
            assert options.get("persist-credentials") is False, name
            assert options.get("ref") in {None, "${{ github.event.repository.default_branch }}"}, name
            assert not {"repository", "submodules", "lfs"} & options.keys(), name


def test_the_gate_takes_no_checkout_by_default() -> None:
    """A workflow_run checks out the default branch; the gate says so all the same."""
    (checkout,) = [step for step in WORKFLOWS["gate"]["jobs"]["gate"]["steps"] if "checkout@" in step.get("uses", "")]
    assert checkout["with"]["ref"] == "${{ github.event.repository.default_branch }}"


@pytest.mark.parametrize(("name", "script"), SCRIPTS)
def test_nothing_of_the_head_reaches_the_work_tree(name: str, script: str) -> None:
    """No script moves the work tree to another commit, or applies one."""
    assert not re.search(r"\bgit\b[^\n]*\b(checkout|switch|merge|worktree|reset|pull|restore|apply|am)\b", script), name


def test_the_gate_is_set_off_by_the_pull_request() -> None:
    """By its name, for pushes, edits and reviews; and the workflow that sets it off does nothing."""
    first = WORKFLOWS["pull-request"]
    assert WORKFLOWS["gate"]["on"] == {"workflow_run": {"workflows": [first["name"]], "types": ["completed"]}}
    assert {"opened", "synchronize", "edited"} <= set(first["on"]["pull_request"]["types"])
    assert set(first["on"]["pull_request_review"]["types"]) == {"submitted", "dismissed"}
    assert first["permissions"] == {}
    assert all("uses" not in step for step in first["jobs"]["ask"]["steps"])


def test_every_job_ends() -> None:
    """Each has a time limit."""
    for name, job, value in jobs():
        assert 0 < value["timeout-minutes"] <= 60, (name, job)


def commands() -> list[str]:
    """Every call of Muster in a workflow, on one line."""
    text = "\n".join(script.replace("\\\n", " ") for _, script in SCRIPTS)
    return re.findall(r"\.venv/bin/muster ([^\n|;&]+)", text)


def test_workflows_call_verbs_that_exist() -> None:
    """Each call names a verb and options that the command line has, and the gate's is among them."""
    assert "check --github" in commands()
    for line in commands():
        command: click.Command = cli
        words = shlex.split(line)
        context = click.Context(cli)
        while isinstance(command, click.Group):
            found = command.get_command(context, words.pop(0))
            assert found is not None, line
            command = found
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= known, line


def test_fetching_brings_objects_only(tmp_path: Path) -> None:
    """The gate's own script, run: the head and the signed approvals are there, the work tree is as it was."""
    origin = repository_of(tmp_path / "origin", {"policy": "old"}).path
    git(origin, "config", "uploadpack.allowAnySHA1InWant", "true")
    git(tmp_path, "clone", "-q", "origin", "clone")
    git(origin, "switch", "-q", "-c", "promote")
    write(origin, {"policy": "new", ".gitattributes": "* filter=evil", "hook": "#!/bin/sh\nexit 1\n"})
    head = commit_all(origin)
    git(origin, "notes", "--ref=refs/notes/muster/approvals", "add", "-m", "signed", head)
    git(origin, "switch", "-q", "main")
    git(origin, "branch", "-q", "-D", "promote")
    (script,) = [step["run"] for step in WORKFLOWS["gate"]["jobs"]["gate"]["steps"] if "fetch" in step.get("run", "")]
    clone = tmp_path / "clone"
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "HEAD": head, "GITHUB_TOKEN": "secret"}
    subprocess.run(["bash", "-e", "-c", script], cwd=clone, env=environment, check=True)
    assert git(clone, "cat-file", "-t", head) == "commit"
    assert git(clone, "notes", "--ref=refs/notes/muster/approvals", "show", head) == "signed"
    assert (clone / "policy").read_text() == "old"
    assert git(clone, "status", "--porcelain") == ""
    assert git(clone, "branch", "--show-current") == "main"


def test_the_template_asks_for_what_the_gate_reads() -> None:
    """A checklist, and the two impact lines, which say nothing until somebody writes a reason into them."""
    template = (GITHUB / "pull_request_template.md").read_text()
    assert template.count("- [ ] ") >= 5
    for needs in ("diagram", "playbook"):
        line = impact_line(template, needs)
        assert (line.why, line.problem) == ("", "")
        uncommented = re.sub(r"<!-- (\w+-Impact.*?) -->", r"\n\1\n", template)
        assert impact_line(uncommented, needs).problem
        answered = uncommented.replace("none: WHY", "none: only a percentage changes")
        assert impact_line(answered, needs).why == "only a percentage changes"
