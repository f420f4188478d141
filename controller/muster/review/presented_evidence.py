"""Evidence files of a change: those that the merge result holds, and those that it would take away.

What stands there is hostile until a key of the base vouches for it. Bounded: 64 files in one artifact's folder, 1 MiB
each, regular files only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from muster.check.change import Change
from muster.kinds.digest import hex_of
from muster.kinds.evidence import LARGEST, Evidence
from muster.kinds.finding import Finding, Place
from muster.kinds.fleet import Fleet
from muster.kinds.release import Release
from muster.source.git import Repository, TreeEntry
from muster.source.git_program import printable

MOST_EVIDENCE = 64
"""Files in one artifact's folder."""

_EVIDENCE_FOLDER = re.compile(r"evidence/[0-9a-f]{64}(?=/)")


@dataclass(frozen=True)
class PresentedEvidence:
    """`present` stands at the merge result, `former` at the base only; `findings` say what is not read, and why."""

    present: tuple[Evidence, ...] = ()
    former: tuple[Evidence, ...] = ()
    findings: tuple[Finding, ...] = ()


def presented_evidence(repository: Repository, change: Change, tree: str, sides: tuple[str, str]) -> PresentedEvidence:
    """Evidence about every artifact that the change concerns. Raises `Unusable` if it cannot be read.

    A negative result counts and stays: a pull request cannot delete it, not even one that brings nothing forward.
    `sides` are the base, and the commit whose trust roots count.
    """
    base, judged_by = sides
    replaced = {match[0] for file in change.touched if file.before and (match := _EVIDENCE_FOLDER.match(file.path))}
    folders = sorted({f"evidence/{hex_of(digest)}" for digest in _concerned(change)} | replaced)
    if not folders:
        return PresentedEvidence()
    most = MOST_EVIDENCE * len(folders)
    now, findings = _readable(repository.tree(tree, folders), most)
    present = {(entry.path, entry.blob) for entry in now}
    # Nothing can be gone if no file that was there differs.
    differs = any(file.before and file.path.startswith("evidence/") for file in change.touched)
    before, _ = _readable(repository.tree(base, folders) if differs else (), most)
    former = [entry for entry in before if (entry.path, entry.blob) not in present]
    believed = _believed(repository, now, change.base, judged_by)
    return PresentedEvidence(believed, _believed(repository, former, change.base, judged_by), tuple(findings))


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
