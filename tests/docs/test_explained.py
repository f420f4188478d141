"""What this repository's own diagrams, playbooks and components say is true of the program."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest
import yaml
from jsonschema import Draft202012Validator

from muster.check.documents.diagram import read_diagram
from muster.check.documents.playbook import SECTIONS, blocks_of
from muster.check.documents.tree import REQUIRED
from muster.check.impact_line import impact_line
from muster.check.paths import matches
from muster.cli import cli
from muster.kinds.components import Components
from muster.kinds.error_codes import ERROR_CODES
from muster.source.documents import document_findings, documents_in
from muster.source.load import Loader
from muster.source.schema import schema_of

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


def test_the_page_about_documents_is_true() -> None:
    """Its diagrams are read without a finding, its playbook has the structure, its lines count, its list is whole."""
    text = (ROOT / "docs" / "documents.md").read_text()
    blocks = re.findall(r"^```(\w+)\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    diagrams = [content for kind, content in blocks if kind == "mermaid"]
    assert [read_diagram("docs/documents.md", content).findings for content in diagrams] == [()] * 2
    (example,) = [content for kind, content in blocks if kind == "markdown"]
    assert list(SECTIONS) == re.findall(r"^## (.*)", example, flags=re.MULTILINE)
    codes = re.findall(r"`(\w+)`", example.partition("## ")[0])
    assert codes
    assert set(codes) <= ERROR_CODES.keys()
    (lines,) = [content for kind, content in blocks if kind == "text"]
    assert impact_line(lines, "diagram").why == "the order of two log lines changes"
    assert impact_line(lines, "playbook").why == "the new class is the same board in another case"
    for path in REQUIRED:
        assert f"`{path}`" in text or f"`{path.rpartition('/')[2]}`" in text


def test_components_fit_their_schema() -> None:
    """What an editor is told is what the reader takes."""
    schema = schema_of(Components)
    Draft202012Validator(schema).validate(yaml.safe_load((ROOT / "docs" / "components.yaml").read_text()))
