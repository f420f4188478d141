"""Gathering a case: everything that judging a change needs, read once, from the side that may say it.

From the base: policies, owners, trust roots, freezes, waivers, checklist. From the merge result: releases, evidence,
documents. From the forge: who asks and who approved. From a controller: what the fleet does. Nothing of the head runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from muster.check.case import Case
from muster.check.change import Change, Touched, difference
from muster.check.documents.tree import UNDER
from muster.kinds.digest import hex_of
from muster.kinds.errors import Refused
from muster.kinds.evidence import LARGEST, Evidence
from muster.kinds.field_state import FieldState
from muster.kinds.finding import Finding, Place
from muster.kinds.fleet import Fleet
from muster.kinds.pull_request import PullRequest
from muster.kinds.release import Release
from muster.review.history import declared_since, reverted
from muster.review.sides import Sides, read_sides
from muster.review.signatures import with_signatures
from muster.review.texts import MOST, OURS, base_documents, read_texts
from muster.source.comparison import merged, proposed_commits, touched
from muster.source.git import Repository, TreeEntry
from muster.source.git_program import printable
from muster.source.load import Loader

OWNERS = "policies/owners.yaml"
_EVIDENCE_FOLDER = re.compile(r"evidence/[0-9a-f]{64}(?=/)")
MOST_JUDGED = 200
"""Releases that one change may bring forward."""
MOST_EVIDENCE = 64
"""Files in one artifact's folder."""


@dataclass(frozen=True)
class Gathered:
    """`findings` are complaints about the files of the merge result.

    `readable` is false where no fleet came out of them; then the change is empty.
    """

    case: Case
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    tree: str
    readable: bool


@contextmanager
def gathered(
    repository: Repository, request: PullRequest, now: datetime, controller: FieldState | None, loader: Loader
) -> Iterator[Gathered]:
    """Read a change from `request.base` (where it would be merged to) to `request.head`.

    The merge result can be read from `tree` while the context lasts.
    Raises `Refused` for a change without bounds, `Unusable` if base or head cannot be read.
    """
    base, head = request.base, request.head
    with merged(repository, base, head) as result:
        files = touched(repository, base, result.tree)
        _refuse_many(len([file for file in files if file.path.startswith(OURS)]), MOST, "files of ours")
        if result.conflicts:
            yield _conflicting(loader, repository, request, now, result.conflicts)
            return
        sides = read_sides(loader, repository, base, result.tree, files)
        commits = proposed_commits(repository, base, head)
        change = _change(sides, files, reverted(repository, base, files, commits))
        _refuse_many(len(change.judged), MOST_JUDGED, "releases")
        odd_evidence, evidence, former = _evidence(repository, change, result.tree, (base, sides.judged_by))
        texts, odd_files = read_texts(repository, result.tree, files, change)
        case = Case(
            change=change,
            request=with_signatures(repository, request, change, sides.judged_by),
            now=now,
            evidence=evidence,
            former_evidence=former,
            controller=controller,
            declared=declared_since(repository, base, change.moves),
            files=texts,
            base_files=base_documents(repository, base, files),
            messages="\n\n".join(commit.body for commit in commits),
        )
        findings = (*sides.findings, *odd_evidence, *odd_files, *_documents(repository, change, result.tree))
        yield Gathered(case, findings, tuple(_notes(sides, base)), result.tree, sides.head is not None)


def _refuse_many(found: int, most: int, of_what: str) -> None:
    """A judgement takes seconds: what is too much for it is too much for a reviewer."""
    if found > most:
        raise Refused(f"{found} {of_what} change, more than {most}", "split the change: nobody can review that")


def _change(sides: Sides, files: tuple[Touched, ...], reverts: frozenset[str]) -> Change:
    return difference(sides.base, sides.head or sides.base, files, reverts)


def _documents(repository: Repository, change: Change, tree: str) -> list[Finding]:
    """Complaints about diagrams, playbooks and components, if one of them or their owners change."""
    if not any(file.path.startswith(UNDER) or file.path == OWNERS for file in change.touched):
        return []
    from muster.source.documents import document_findings, documents_at

    return document_findings(documents_at(repository, tree), change.head.owners)


def _notes(sides: Sides, base: str) -> Iterator[str]:
    if sides.judged_by != base:
        yield f"the base {base[:12]} does not load; the policies of {sides.judged_by[:12]} judge, the newest that do"


def _conflicting(
    loader: Loader, repository: Repository, request: PullRequest, now: datetime, paths: Sequence[str]
) -> Gathered:
    sides = read_sides(loader, repository, request.base, request.base, ())
    found = tuple(
        Finding(Place(printable(path)), "conflict", "base and head change this in two ways", "rebase onto the base")
        for path in paths
    )
    case = Case(difference(sides.base, sides.base, ()), request, now)
    return Gathered(case, found, tuple(_notes(sides, request.base)), request.base, readable=False)


def _evidence(
    repository: Repository, change: Change, tree: str, sides: tuple[str, str]
) -> tuple[list[Finding], tuple[Evidence, ...], tuple[Evidence, ...]]:
    """Complaints, and evidence about every artifact that the change concerns: the head's, and what it takes away.

    A negative result counts and stays: a pull request cannot delete it, not even one that brings nothing forward.
    `sides` are the base, and the commit whose trust roots count.
    """
    base, judged_by = sides
    replaced = {match[0] for file in change.touched if file.before and (match := _EVIDENCE_FOLDER.match(file.path))}
    folders = sorted({f"evidence/{hex_of(digest)}" for digest in _concerned(change)} | replaced)
    if not folders:
        return [], (), ()
    most = MOST_EVIDENCE * len(folders)
    now, findings = _readable(repository.tree(tree, folders), most)
    present = {(entry.path, entry.blob) for entry in now}
    # Nothing can be gone if no file that was there differs.
    differs = any(file.before and file.path.startswith("evidence/") for file in change.touched)
    before, _ = _readable(repository.tree(base, folders) if differs else (), most)
    former = [entry for entry in before if (entry.path, entry.blob) not in present]
    trusting = change.base, judged_by
    return findings, _believed(repository, now, *trusting), _believed(repository, former, *trusting)


def _readable(entries: Iterable[TreeEntry], most: int) -> tuple[list[TreeEntry], list[Finding]]:
    """The entries that may be read, and why the others may not."""
    entries = list(entries)
    findings = [finding for entry in entries if (finding := _objection(entry))]
    regular = [entry for entry in entries if _objection(entry) is None]
    if len(regular) > most:
        findings.append(Finding(Place("evidence"), "too-many", f"{len(regular)} evidence files", f"keep to {most}"))
    return regular[:most], findings


def _believed(
    repository: Repository, entries: Sequence[TreeEntry], base: Fleet, judged_by: str
) -> tuple[Evidence, ...]:
    if not entries:
        return ()
    # Loads the cryptography, which a change without evidence does not need.
    from muster.attest.evidence import read_evidence
    from muster.review.keyless import keyless_of

    keys, keyless = base.keys_for("evidence"), keyless_of(repository, judged_by, base, "evidence")
    contents = repository.blobs(entry.blob for entry in entries)
    return tuple(read_evidence(entry.path, contents[entry.blob], keys, keyless) for entry in entries)


def _objection(entry: TreeEntry) -> Finding | None:
    """Why an entry below evidence/ is not read."""
    place = Place(printable(entry.path))
    if not entry.mode.startswith("100"):
        return Finding(place, "link", "evidence that is a link or a submodule", "commit the file itself")
    if entry.size > LARGEST:
        return Finding(place, "too-large", f"the file has {entry.size} bytes", f"keep it under {LARGEST} bytes")
    return None


def _concerned(change: Change) -> Iterator[str]:
    """Digests of the artifacts that gates and transitions ask about."""
    models = {release.model for release in change.judged}
    for release in _on_offer((change.base, change.head), models):
        yield release.spec.artifact.digest
    yield from (release.spec.artifact.digest for release in change.judged)
    yield from (older.spec.artifact.digest for older in _superseded(change))


def _on_offer(fleets: Iterable[Fleet], models: set[str]) -> Iterator[Release]:
    for fleet in fleets:
        yield from (
            release for release in fleet.releases if release.model in models and release.spec.rollout.reaches_any
        )


def _superseded(change: Change) -> Iterator[Release]:
    for release in change.judged:
        older = change.head.release(f"{release.model}/{release.spec.supersedes}")
        if older is not None:
            yield older
