"""Everything that is wrong with the documents of a tree."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from muster.check.documents.closure import duplicates, unanswered, undrawn, unwritten
from muster.check.documents.diagram import read_diagram
from muster.check.documents.playbook import read_playbook
from muster.check.documents.tree import COMPONENTS, REQUIRED, Documents
from muster.kinds.finding import Complaint, Finding, Place
from muster.kinds.owners import Owners


def document_complaints(
    documents: Documents, owners: Owners | None, error_codes: Collection[str]
) -> list[Complaint | Finding]:
    """Every complaint about diagrams, playbooks and components, each and as they close over each other.

    `error_codes` are those that the program has. A fleet without any of these files is not complained of. What could
    not be read counts as standing there, so that one broken file does not drown its cause in consequences.
    """
    if not documents.paths:
        return []
    missing = list(_missing(documents))
    return [*missing, *_structure(documents, owners, error_codes, complete=not missing)]


def _missing(documents: Documents) -> Iterator[Finding]:
    for path in REQUIRED:
        if path not in documents.paths:
            hint = "a fleet that has documents has all of the required ones; take it from the last commit that had it"
            yield Finding(Place(path), "missing", "a required document is missing", hint)


def _structure(
    documents: Documents, owners: Owners | None, error_codes: Collection[str], *, complete: bool
) -> Iterator[Complaint | Finding]:
    diagrams = {path: read_diagram(path, text) for path, text in documents.diagrams.items()}
    playbooks = {path: read_playbook(path, text) for path, text in documents.playbooks.items()}
    broken = [*(one.findings for one in diagrams.values()), *(one.findings for one in playbooks.values())]
    for findings in broken:
        yield from findings
    components = documents.components
    if components is None or COMPONENTS in documents.unreadable:
        return
    yield from duplicates(components)
    yield from undrawn(components, diagrams)
    if complete and not documents.unreadable and not any(broken):
        # What a broken file holds is not known: whether something is drawn or written somewhere could only be guessed.
        yield from unanswered(components, diagrams, playbooks, owners)
        yield from unwritten(components, playbooks, error_codes)
