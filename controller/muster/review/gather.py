"""Gathering a case: everything that judging a change needs, read once, from the side that may say it.

From the base: policies, owners, trust roots, freezes, waivers, checklist. From the merge result: releases, evidence,
documents. From the forge: who asks and who approved. From a controller: what the fleet does. Nothing of the head runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime

from muster.check.case import Case
from muster.check.change import Change, Touched, difference
from muster.check.documents.tree import UNDER
from muster.check.people import OWNERS
from muster.kinds.errors import Refused
from muster.kinds.field_state import FieldState
from muster.kinds.finding import Finding, Place
from muster.kinds.pull_request import PullRequest
from muster.review.history import declared_otherwise, declared_since, reverted
from muster.review.presented_evidence import presented_evidence
from muster.review.sides import Sides, read_sides
from muster.review.signatures import with_signatures
from muster.review.texts import MOST, OURS, base_documents, read_texts
from muster.source.comparison import merged, proposed_commits, touched
from muster.source.git import Repository
from muster.source.git_program import printable
from muster.source.load import Loader

MOST_JUDGED = 200
"""Releases that one change may bring forward."""


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
        again = declared_otherwise(repository, base, change.added)
        change = replace(change, repinned=(*change.repinned, *again)) if again else change
        evidence = presented_evidence(repository, change, result.tree, (base, sides.judged_by))
        texts, odd_files = read_texts(repository, result.tree, files, change)
        case = Case(
            change=change,
            request=with_signatures(repository, request, change, sides.judged_by),
            now=now,
            evidence=evidence.present,
            former_evidence=evidence.former,
            controller=controller,
            declared=declared_since(repository, base, change.moves),
            files=texts,
            base_files=base_documents(repository, base, files),
            messages="\n\n".join(commit.body for commit in commits),
        )
        findings = (*sides.findings, *evidence.findings, *odd_files, *_documents(repository, change, base, result.tree))
        yield Gathered(case, findings, tuple(_notes(sides, base)), result.tree, sides.head is not None)


def _refuse_many(found: int, most: int, of_what: str) -> None:
    """A judgement takes seconds: what is too much for it is too much for a reviewer."""
    if found > most:
        raise Refused(f"{found} {of_what} change, more than {most}", "split the change: nobody can review that")


def _change(sides: Sides, files: tuple[Touched, ...], reverts: frozenset[str]) -> Change:
    return difference(sides.base, sides.head or sides.base, files, reverts)


def _documents(repository: Repository, change: Change, base: str, tree: str) -> list[Finding]:
    """Complaints about diagrams, playbooks and components, if one of them or their owners change.

    Which error codes there are grows with the program: that the base is behind in the same words is not the change's
    doing, and no reason to block it. `muster check` says so of the whole fleet.
    """
    if not any(file.path.startswith(UNDER) or file.path == OWNERS for file in change.touched):
        return []
    from muster.source.documents import document_findings, documents_at

    found = document_findings(documents_at(repository, tree), change.head.owners)
    if not any(one.rule == "error-code" for one in found):
        return found
    before = document_findings(documents_at(repository, base), change.base.owners)
    behind = {one.message for one in before if one.rule == "error-code"}
    return [one for one in found if one.rule != "error-code" or one.message not in behind]


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
