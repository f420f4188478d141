"""Texts of the merge result that rules look into: touched files of ours, and files that checklist items name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from muster.check.change import Change, Touched
from muster.check.checklist import checklist_files
from muster.check.paths import matches
from muster.kinds.finding import Finding, Place
from muster.source.git import Repository, TreeEntry
from muster.source.git_program import printable
from muster.source.layout import leaves_the_tree

OURS = ("releases", "devices", "policies", "evidence", "docs")
LARGEST = 2**20
MOST = 2_000


def read_texts(
    repository: Repository, tree: str, touched: Sequence[Touched], change: Change
) -> tuple[Mapping[str, str | None], list[Finding]]:
    """Path → text (None: absent, too large, not UTF-8), and complaints about touched files as such.

    Reads touched files of our folders, the documents if one of them is touched, and what the checklist names.
    """
    findings = [finding for file in touched if (finding := _objection(file))]
    wanted = [file.path for file in touched if file.after and file.path.startswith(OURS) and _is_plain(file.path)]
    texts: dict[str, str | None] = {file.path: None for file in touched if file.after is None}
    named = checklist_files(change.base.checklist, change.judged)
    if len(wanted) > MOST:
        findings.append(Finding(Place("."), "too-many", f"{len(wanted)} files of ours change", f"keep to {MOST}"))
        wanted = wanted[:MOST]
    entries = {entry.path: entry for entry in _entries(repository, tree, wanted, named)}
    chosen = [entry for entry in entries.values() if entry.mode.startswith("100") and entry.size <= LARGEST]
    contents = repository.blobs(entry.blob for entry in chosen)
    texts.update({entry.path: None for entry in entries.values()})
    texts.update({entry.path: _text(contents[entry.blob]) for entry in chosen})
    return texts, findings


def base_documents(repository: Repository, base: str, touched: Sequence[Touched]) -> Mapping[str, str | None]:
    """The touched documents as the base has them, by path."""
    wanted = [file.path for file in touched if file.before and file.path.startswith("docs/") and _is_plain(file.path)]
    entries = repository.tree(base, wanted[:MOST]) if wanted else ()
    chosen = [entry for entry in entries if entry.mode.startswith("100") and entry.size <= LARGEST]
    contents = repository.blobs(entry.blob for entry in chosen)
    return {entry.path: _text(contents[entry.blob]) for entry in chosen}


def _entries(repository: Repository, tree: str, wanted: Sequence[str], named: Sequence[str]) -> Iterator[TreeEntry]:
    """Entries of touched files, and of what checklist items name (`*` and `**` stand for any name, any depth)."""
    if wanted:
        yield from repository.tree(tree, wanted)
    folders = sorted({pattern.split("*")[0].rpartition("/")[0] or pattern for pattern in named})
    if folders:
        found = repository.tree(tree, folders)
        yield from [entry for entry in found if any(matches(pattern, entry.path) for pattern in named)][:MOST]


def _is_plain(path: str) -> bool:
    return path.isascii() and not leaves_the_tree(path)


def _text(data: bytes) -> str | None:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def _objection(file: Touched) -> Finding | None:
    """What is wrong with a touched file of ours before anybody reads it. The loader sees to what declares something."""
    if file.path.partition("/")[0] not in ("evidence", "docs") or file.mode is None:
        return None
    place = Place(printable(file.path))
    if leaves_the_tree(file.path):
        return Finding(place, "path", "the path leaves the tree", "name it folder/file")
    if file.mode == "120000":
        return Finding(place, "link", "a symbolic link", "put the file itself here")
    if file.mode == "160000":
        return Finding(place, "link", "a submodule", "put the files themselves here")
    return None
