"""Texts of the merge result that rules look into: touched files of ours, and files that checklist items name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from muster.check.change import Touched
from muster.check.paths import matches
from muster.kinds.checklist import Checklist
from muster.kinds.finding import Finding, Place
from muster.source.git import Repository, TreeEntry
from muster.source.git_program import printable
from muster.source.layout import leaves_the_tree

OURS = ("releases", "devices", "policies", "evidence", "docs")
LARGEST = 2**20
MOST = 2_000


def read_texts(
    repository: Repository, tree: str, touched: Sequence[Touched], checklist: Checklist | None
) -> tuple[Mapping[str, str | None], list[Finding]]:
    """Path → text (None: absent, too large, not UTF-8), and complaints about touched files as such.

    Reads touched files of our folders, the documents if one of them is touched, and what the checklist names.
    """
    findings = [finding for file in touched if (finding := _objection(file))]
    wanted = [
        file.path
        for file in touched
        if file.after and file.path.startswith(OURS) and not leaves_the_tree(file.path) and file.path.isascii()
    ]
    texts: dict[str, str | None] = {file.path: None for file in touched if file.after is None}
    patterns = [item.answered_by.file for item in checklist.spec.items if item.answered_by.file] if checklist else []
    if len(wanted) > MOST:
        findings.append(Finding(Place("."), "too-many", f"{len(wanted)} files of ours change", f"keep to {MOST}"))
        wanted = wanted[:MOST]
    entries = {entry.path: entry for entry in _entries(repository, tree, wanted, patterns)}
    chosen = [entry for entry in entries.values() if entry.mode.startswith("100") and entry.size <= LARGEST]
    contents = repository.blobs(entry.blob for entry in chosen)
    texts.update({entry.path: None for entry in entries.values()})
    texts.update({entry.path: _text(contents[entry.blob]) for entry in chosen})
    return texts, findings


def _entries(repository: Repository, tree: str, wanted: Sequence[str], patterns: Sequence[str]) -> Iterator[TreeEntry]:
    if wanted:
        yield from repository.tree(tree, wanted)
    folders = sorted({pattern.split("*")[0].rpartition("/")[0] or pattern for pattern in patterns})
    if folders:
        found = repository.tree(tree, folders)
        yield from [entry for entry in found if any(matches(pattern, entry.path) for pattern in patterns)][:MOST]


def _text(data: bytes) -> str | None:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def _objection(file: Touched) -> Finding | None:
    """What is wrong with a touched file of ours before anybody reads it. The loader sees to what declares something."""
    if not file.path.startswith(("evidence/", "docs/")) or file.mode is None:
        return None
    place = Place(printable(file.path))
    if leaves_the_tree(file.path):
        return Finding(place, "path", "the path leaves the tree", "name it folder/file")
    if file.mode == "120000":
        return Finding(place, "link", "a symbolic link", "put the file itself here")
    if file.mode == "160000":
        return Finding(place, "link", "a submodule", "put the files themselves here")
    return None
