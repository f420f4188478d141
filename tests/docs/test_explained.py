"""What this repository's own diagrams, playbooks and components say is true of the program."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest
import yaml

from muster.check.documents.playbook import blocks_of
from muster.check.paths import matches
from muster.cli import cli
from muster.source.documents import document_findings, documents_in
from muster.source.load import Loader

ROOT = Path(__file__).resolve().parents[2]
PLAYBOOKS = sorted((ROOT / "docs" / "playbooks").glob("*.md"))


def commands() -> list[tuple[str, str]]:
    """Playbook and command, for every command of every playbook."""
    found = []
    for path in PLAYBOOKS:
        for block in blocks_of(path.read_text()):
            if block.kind == "console":
                found += [(path.name, line[2:]) for line in block.text.split("\n") if line.startswith("$ ")]
    return found


def test_documents_close_over_each_other() -> None:
    """Boxes, components, owners, playbooks and the program's error codes: nothing is left open."""
    loaded = Loader().work_tree(ROOT)
    assert loaded.fleet is not None
    assert document_findings(documents_in(ROOT), loaded.fleet.owners) == []


def test_every_playbook_has_commands() -> None:
    """There is something to try in each."""
    assert {name for name, _ in commands()} == {path.name for path in PLAYBOOKS}


@pytest.mark.parametrize("line", sorted({line for _, line in commands() if line.startswith("muster ")}))
def test_commands_of_playbooks_are_taken(line: str) -> None:
    """Each verb, option and choice is one that the command line has."""
    words = shlex.split(line)[1:]
    command: click.Command = cli
    name = "muster"
    while isinstance(command, click.Group):
        found = command.get_command(click.Context(command), words[0])
        assert found is not None, words
        name, command = words.pop(0), found
    with command.make_context(name, words) as context:
        assert context.params


def test_other_commands_of_playbooks_are_any_systems() -> None:
    """What is not Muster's own is on every Linux system."""
    assert {line.split()[0] for _, line in commands()} <= {"muster", "uptime", "free"}


def test_commands_name_what_there_is() -> None:
    """Releases and device classes that playbooks take for their examples are those of this repository."""
    text = "\n".join(line for _, line in commands())
    for name in re.findall(r"meter-reader/[0-9.]+[0-9]", text):
        assert (ROOT / "releases" / f"{name}.yaml").is_file()
    for name in re.findall(r"(?:--class|--device-class) (\S+)", text):
        assert (ROOT / "devices" / "classes" / f"{name}.yaml").is_file()


def test_links_of_playbooks_lead_somewhere() -> None:
    """Every relative link points at a file of the repository."""
    broken = [
        f"{path.name}: {target}"
        for path in PLAYBOOKS
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text())
        if "://" not in target and not (path.parent / target).exists()
    ]
    assert broken == []


def test_rules_of_impact_name_what_there_is() -> None:
    """A path of a rule means files of this repository, so that a file that moves takes its rule along."""
    policy = yaml.safe_load((ROOT / "policies" / "default.yaml").read_text())
    files = [path.relative_to(ROOT).as_posix() for path in (ROOT / "controller").rglob("*.py")]
    for rule in policy["spec"]["impact"]:
        for pattern in rule.get("paths", []):
            if pattern.startswith("controller/"):
                assert any(matches(pattern, file) for file in files), pattern
