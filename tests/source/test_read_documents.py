"""Documents of a commit and of a folder: the same findings, at their places, and nothing that is not a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from muster.check.documents.tree import COMPONENTS, diagram_path, playbook_path
from muster.kinds.finding import Finding
from muster.source.documents import (
    MAX_DOCUMENT,
    MAX_FINDINGS,
    MAX_TOTAL,
    ReadDocuments,
    document_findings,
    documents_at,
    documents_in,
    read_documents,
)
from muster.source.git import TreeEntry
from scratch_repository import commit_all, repository_of, write
from small_documents import CODES, OWNERS, components, document_files

BOX = diagram_path("components")


def findings_of(found: ReadDocuments) -> list[Finding]:
    """All findings, by the small documents' own people and codes."""
    return document_findings(found, OWNERS, CODES)


def both_ways(folder: Path, files: Mapping[str, str | bytes]) -> list[Finding]:
    """Findings about these files, read from a commit and from the work tree, which must agree."""
    repository = repository_of(folder / "fleet", {**document_files(), **files})
    of_commit = findings_of(documents_at(repository, repository.resolve("HEAD")))
    assert findings_of(documents_in(repository.path)) == of_commit
    return of_commit


def test_documents_that_close(tmp_path: Path) -> None:
    """Everything is read, and nothing is wrong."""
    assert both_ways(tmp_path, {}) == []
    found = documents_in(tmp_path / "fleet").documents
    assert found.paths == document_files().keys()
    assert found.components is not None


def test_a_fleet_without_documents(tmp_path: Path) -> None:
    """Nothing to read, nothing wrong."""
    repository = repository_of(tmp_path / "fleet", {"README.md": "x"})
    assert findings_of(documents_at(repository, repository.resolve("HEAD"))) == []
    assert findings_of(documents_in(repository.path)) == []


def test_a_complaint_has_the_place_of_its_value(tmp_path: Path) -> None:
    """What does not close is named at line and column of the YAML, or at the line of the document."""
    data = components()
    text = yaml.safe_dump(data, sort_keys=False).replace("owner: firmware", "owner: eve", 1)
    line = text[: text.index("owner: eve")].count("\n") + 1
    (finding,) = both_ways(tmp_path, {COMPONENTS: text})
    assert str(finding.place) == f"{COMPONENTS}:{line}:12"
    assert finding.message == "eve is neither a role nor a person"


UNREADABLE = [
    pytest.param({COMPONENTS: "a: [\n"}, COMPONENTS, "syntax", id="YAML that is none"),
    pytest.param({COMPONENTS: "a: &x 1\n"}, COMPONENTS, "alias", id="an anchor"),
    pytest.param({COMPONENTS: "kind: Components\n"}, COMPONENTS, "missing", id="fields missing"),
    pytest.param({COMPONENTS: "- " * 5_000}, COMPONENTS, "too-deep", id="deep YAML"),
    pytest.param({COMPONENTS: "#" * (MAX_DOCUMENT + 1)}, COMPONENTS, "too-large", id="large YAML"),
    pytest.param({BOX: b"flowchart TB\n\xff"}, BOX, "encoding", id="not UTF-8"),
    pytest.param({BOX: "a" * (MAX_DOCUMENT + 1)}, BOX, "too-large", id="a large diagram"),
    pytest.param({BOX: "flowchart TB\na --> \u202eb"}, BOX, "hidden-character", id="a hidden character"),
    pytest.param({"docs/diagrams/X.MMD": "x"}, "docs/diagrams/X.MMD", "path", id="another name"),
    pytest.param({"docs/playbooks/a/b.md": "x"}, "docs/playbooks/a/b.md", "path", id="a folder inside"),
    pytest.param({"docs/diagrams/run.py": "raise"}, "docs/diagrams/run.py", "path", id="a program"),
]


@pytest.mark.parametrize(("files", "path", "rule"), UNREADABLE)
def test_what_cannot_be_read_is_named(tmp_path: Path, files: Mapping[str, str | bytes], path: str, rule: str) -> None:
    """One broken file is complained of in its own words, and has no consequences elsewhere."""
    found = both_ways(tmp_path, files)
    assert (path, rule) in [(finding.place.file, finding.rule) for finding in found]
    assert {path} == {finding.place.file for finding in found}


def test_links_are_not_followed(tmp_path: Path) -> None:
    """A diagram that is a link to somewhere is a finding, and what it leads to is not read."""
    repository = repository_of(tmp_path / "fleet", document_files())
    secret = tmp_path / "secret"
    secret.write_text("flowchart TB\nsecret --> lamp\n")
    (repository.path / BOX).unlink()
    (repository.path / BOX).symlink_to(secret)
    commit = commit_all(repository.path)
    for found in (documents_at(repository, commit), documents_in(repository.path)):
        assert [(finding.place.file, finding.rule) for finding in findings_of(found)] == [(BOX, "link")]


def test_a_linked_folder_is_not_entered(tmp_path: Path) -> None:
    """The folder of playbooks may not be somebody else's."""
    repository = repository_of(tmp_path / "fleet", {"docs/diagrams/x.mmd": "x"})
    write(tmp_path / "other", {"a.md": "x"})
    (repository.path / "docs" / "playbooks").symlink_to(tmp_path / "other")
    commit = commit_all(repository.path)
    for found in (documents_at(repository, commit), documents_in(repository.path)):
        assert found.documents.playbooks == {}
        assert ("docs/playbooks", "link") in [(one.place.file, one.rule) for one in found.findings]


def test_submodules_are_not_documents() -> None:
    """What is no regular file is never asked for."""
    entries = [TreeEntry("160000", "1" * 40, 0, BOX), TreeEntry("120000", "2" * 40, 5, COMPONENTS)]
    found = read_documents(entries, never_read)
    assert [finding.rule for finding in found.findings] == ["link", "link"]


def never_read(entries: Sequence[TreeEntry]) -> Mapping[str, bytes]:
    """Nothing may be asked for."""
    assert not entries
    return {}


def test_thousands_of_files_are_bounded() -> None:
    """Of too many files, as many as the bound are read, and the findings say that there are more."""
    asked: list[str] = []

    def read(entries: Sequence[TreeEntry]) -> Mapping[str, bytes]:
        asked.extend(entry.path for entry in entries)
        return {entry.path: b"sequenceDiagram\n" for entry in entries}

    entries = [TreeEntry("100644", "1" * 40, 16, diagram_path(f"d{number}")) for number in range(10_000)]
    found = read_documents(entries, read)
    assert len(asked) == 100
    findings = findings_of(found)
    assert len(findings) == MAX_FINDINGS + 1
    assert findings[-1].rule == "too-many"


def test_many_large_files_are_bounded() -> None:
    """What is read in all stays within its bound, and the rest is named."""
    entries = [TreeEntry("100644", "1" * 40, MAX_DOCUMENT, playbook_path(f"p{number}")) for number in range(20)]
    asked: list[str] = []

    def read(wanted: Sequence[TreeEntry]) -> Mapping[str, bytes]:
        asked.extend(entry.path for entry in wanted)
        return {entry.path: b"x" for entry in wanted}

    found = read_documents(entries, read)
    assert len(asked) * MAX_DOCUMENT == MAX_TOTAL
    assert {"too-large"} == {finding.rule for finding in found.findings}
    assert len(found.findings) == len(entries) - len(asked)


def test_names_are_printable() -> None:
    """A name with control characters reaches nobody's terminal."""
    entries = [TreeEntry("100644", "1" * 40, 1, "docs/diagrams/\x1b[2J\n::error::x.mmd")]
    (finding,) = read_documents(entries, never_read).findings
    assert str(finding).replace("\n  hint", "").isprintable()


@given(st.dictionaries(
    st.sampled_from([COMPONENTS, BOX, playbook_path("accuracy-drop"), "docs/diagrams/\u0430.mmd"]),
    st.binary(max_size=200) | st.text(max_size=100).map(lambda text: text.encode(errors="surrogatepass")),
))  # fmt: skip
def test_no_bytes_raise(files: dict[str, bytes]) -> None:
    """Whatever the files hold, the answer is findings."""
    entries = [TreeEntry("100644", "1" * 40, len(data), path) for path, data in files.items()]
    found = read_documents(entries, lambda asked: {entry.path: files[entry.path] for entry in asked})
    for finding in findings_of(found):
        assert (finding.message + finding.hint).isprintable()
