"""Diagrams, playbooks and components of a commit or a working tree, and where what is wrong with them stands.

Rules it keeps:
- Nothing is read that is not a regular file in its place; links and submodules are findings.
- Bounded: 100 diagrams and 200 playbooks, 256 KiB each and 2 MiB in total, the file of components included.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from muster.check.documents.complaints import document_complaints
from muster.check.documents.tree import COMPONENTS, DIAGRAMS, PLAYBOOKS, UNDER, Documents
from muster.kinds.components import Components
from muster.kinds.error_codes import ERROR_CODES
from muster.kinds.finding import Complaint, Finding, Place
from muster.kinds.owners import Owners
from muster.source import yaml_events
from muster.source.git import Repository, TreeEntry
from muster.source.git_program import MIB, printable
from muster.source.validate import validate
from muster.source.work_tree import read_file, walk

MAX_DOCUMENT = 256 * 1024
MAX_TOTAL = 2 * MIB
MAX_FINDINGS = 200

_MOST = {COMPONENTS: 1, DIAGRAMS: 100, PLAYBOOKS: 200}
_PLACES = (
    (DIAGRAMS, re.compile(rf"{DIAGRAMS}[a-z0-9]([a-z0-9-]{{0,61}}[a-z0-9])?\.mmd")),
    (COMPONENTS, re.compile(re.escape(COMPONENTS))),
    (PLAYBOOKS, re.compile(rf"{PLAYBOOKS}[a-z0-9]([a-z0-9-]{{0,61}}[a-z0-9])?\.md")),
)

Read = Callable[[Sequence[TreeEntry]], Mapping[str, bytes]]


@dataclass(frozen=True)
class ReadDocuments:
    """What stands there, the complaints about files as such, and the YAML in which pointers are looked up."""

    documents: Documents
    findings: tuple[Finding, ...] = ()
    declared: yaml_events.Document | None = None


def documents_at(repository: Repository, commit: str) -> ReadDocuments:
    """The documents of a commit or a tree. Raises `Refused` for a tree without bounds, `Unusable`."""

    def read(entries: Sequence[TreeEntry]) -> Mapping[str, bytes]:
        blobs = repository.blobs(entry.blob for entry in entries)
        return {entry.path: blobs[entry.blob] for entry in entries}

    return read_documents(repository.tree(commit, UNDER), read)


def documents_in(folder: Path) -> ReadDocuments:
    """The documents of a folder as it stands. Raises `Refused` for a tree without bounds, `Unusable`."""

    def read(entries: Sequence[TreeEntry]) -> Mapping[str, bytes]:
        return {entry.path: read_file(folder, entry.path, MAX_DOCUMENT)[1] for entry in entries}

    return read_documents(walk(folder, UNDER), read)


def read_documents(entries: Iterable[TreeEntry], read: Read) -> ReadDocuments:
    """The documents among these files. `read` gives the contents, by path, of the entries that this asks for."""
    findings, wanted = _sort_out(entries)
    broken = {finding.place.file for finding in findings}
    texts: dict[str, str] = {}
    components: Components | None = None
    declared: yaml_events.Document | None = None
    for path, data in read(wanted).items():
        found: list[Finding] = []
        if path == COMPONENTS:
            declared, components, found = _components(data)
        else:
            texts[path], found = _text(path, data)
        findings += found
        broken |= {path} if found else set()
    readable = {path: text for path, text in texts.items() if path not in broken}
    documents = Documents(
        components,
        {path: text for path, text in readable.items() if path.startswith(DIAGRAMS)},
        {path: text for path, text in readable.items() if path.startswith(PLAYBOOKS)},
        frozenset(broken),
    )
    return ReadDocuments(documents, tuple(findings), declared)


def document_findings(
    found: ReadDocuments, owners: Owners | None, error_codes: Collection[str] = ERROR_CODES
) -> list[Finding]:
    """Everything that is wrong with the documents of a tree, by place; 200 findings at most, and how many more."""
    complaints = document_complaints(found.documents, owners, error_codes)
    findings = [*found.findings, *(_placed(one, found.declared) for one in complaints)]
    findings.sort(key=lambda one: (one.place, one.rule, one.message))
    more = len(findings) - MAX_FINDINGS
    if more > 0:
        findings[MAX_FINDINGS:] = [
            Finding(Place("docs"), "too-many", f"{more} more complaints about documents", "correct the others first")
        ]
    return findings


def _sort_out(entries: Iterable[TreeEntry]) -> tuple[list[Finding], list[TreeEntry]]:
    """Complaints about files as such, and the files to read."""
    findings: list[Finding] = []
    wanted: list[TreeEntry] = []
    counts: Counter[str] = Counter()
    total = 0
    for entry in entries:
        folder = _folder(entry.path)
        counts[folder] += 1
        objection = _objection(entry, folder, counts[folder], MAX_TOTAL - total)
        if objection is None:
            wanted.append(entry)
            total += entry.size
        elif len(findings) <= MAX_FINDINGS:
            findings.append(Finding(Place(printable(entry.path)), *objection))
    return findings, wanted


def _objection(entry: TreeEntry, folder: str, count: int, room: int) -> tuple[str, str, str] | None:
    """What is wrong with a file as such, before anybody reads it; `room` in bytes is left for all that follow."""
    if not entry.mode.startswith("100"):
        return "link", "not a regular file", "put the file itself here"
    if not folder:
        hint = f"write {DIAGRAMS}<name>.mmd or {PLAYBOOKS}<name>.md, names in lower-case letters, digits and hyphens"
        return "path", "no document has this name", hint
    if count > _MOST[folder]:
        return "too-many", f"there are more than {_MOST[folder]} such files", "keep to fewer"
    if entry.size > MAX_DOCUMENT:
        return "too-large", f"the file has {entry.size} bytes", f"keep it under {MAX_DOCUMENT}"
    if entry.size > room:
        return "too-large", f"documents have more than {MAX_TOTAL} bytes in total", "keep to what people read"
    return None


def _folder(path: str) -> str:
    return next((folder for folder, pattern in _PLACES if pattern.fullmatch(path)), "")


def _text(path: str, data: bytes) -> tuple[str, list[Finding]]:
    """The file as text, lines ending alike; or why it is none."""
    try:
        return data.decode("utf-8").replace("\r\n", "\n"), []
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        message = f"byte 0x{data[error.start]:02x} is not UTF-8"
        return "", [Finding(Place(path, line, 1), "encoding", message, "save it as UTF-8")]


def _components(data: bytes) -> tuple[yaml_events.Document | None, Components | None, list[Finding]]:
    try:
        document = yaml_events.parse(data)
    except yaml_events.YamlFault as fault:
        place = Place(COMPONENTS, *fault.spot)
        return None, None, [Finding(place, fault.rule, printable(fault.message), printable(fault.hint))]
    result = validate(COMPONENTS, Components, document)
    if isinstance(result, Components):
        return document, result, []
    return document, None, result if isinstance(result, list) else []


def _placed(complaint: Complaint | Finding, declared: yaml_events.Document | None) -> Finding:
    if isinstance(complaint, Finding):
        return complaint
    pointer = complaint.pointer
    spot = declared.spot(pointer.path) if declared is not None else (0, 0)
    place = Place(pointer.file, *spot)
    return Finding(place, complaint.rule, complaint.message, complaint.hint, complaint.severity)
