"""The verdicts of one rebuilder in a repository: which releases have one, and a new one signed into it.

A verdict goes into the work tree, or as a commit onto a branch. It is never replaced. What counts as a verdict of this
rebuilder is what its own key signed: nobody else can take a release out of its queue.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from pydantic import ValidationError

from muster.artifacts.durable import write_durably
from muster.attest.evidence import evidence_path, free_evidence_file, read_evidence, sign_evidence
from muster.attest.keys import key_id, public_half
from muster.kinds.digest import hex_of
from muster.kinds.errors import Refused
from muster.kinds.evidence import LARGEST, PROVENANCE, REBUILD, Rebuild
from muster.kinds.release import Release
from muster.kinds.resource import Metadata
from muster.kinds.signing_key import SigningKey, SigningKeySpec
from muster.source.git import Repository
from muster.source.identity import author
from muster.source.work_tree import read_file, walk

_SOMEBODY: Final = "muster rebuild <muster@localhost>"
_MOVES: Final = 3
"""How often a branch may move under a commit before that is left for later."""


def verdict_name(at: datetime, signer: str) -> str:
    """What the file of a verdict is called, without its ending: no second one by that signer (a tag) takes its name."""
    return f"rebuild-{at:%Y%m%dt%H%M%Sz-%f}-{signer}"


def statements_of_verdict(
    name: str, rebuild: Rebuild, provenance: Mapping[str, Any] | None
) -> dict[str, tuple[str, dict[str, Any]]]:
    """Type and predicate by the name of the file, in the order in which they are written.

    Provenance comes first, so that a verdict whose writing was interrupted is not taken for done.
    """
    verdict = {name: (REBUILD, rebuild.model_dump(mode="json", exclude_none=True))}
    if provenance is None:
        return verdict
    return {f"{name}-provenance": (PROVENANCE, dict(provenance)), **verdict}


@dataclass(frozen=True)
class Verdicts:
    """`branch`: where verdicts are committed; None for files in the work tree. `key`: the private PEM that signs."""

    repository: Repository
    branch: str | None
    key: bytes
    _read: dict[tuple[str, str], Rebuild | None] = field(default_factory=dict)

    def of(self, releases: Iterable[Release], commit: str) -> Iterator[Rebuild]:
        """Every verdict that this key signed about the artifacts of these releases. Raises `Refused`, `Unusable`."""
        folders = sorted({f"evidence/{hex_of(release.spec.artifact.digest)}" for release in releases})
        yield from self._committed(commit, folders)
        if not self.repository.bare and self.branch is None:
            yield from self._standing(folders)

    def publish(
        self, release: Release, rebuild: Rebuild, at: datetime, provenance: Mapping[str, Any] | None = None
    ) -> str:
        """Sign it and put it there, with its provenance beside it; its path, with the commit if there is one.

        Raises `Refused` if the work tree or the branch does not take it, `Unusable`, `TryAgain`.
        """
        name = verdict_name(at, hex_of(key_id(public_half(self.key)))[:8])
        path = evidence_path(release.spec.artifact.digest, name)
        said = statements_of_verdict(name, rebuild, provenance)
        about = {release.name: release.spec.artifact.digest}
        files = {
            evidence_path(release.spec.artifact.digest, one): sign_evidence(about, kind, predicate, self.key)
            for one, (kind, predicate) in said.items()
        }
        if self.branch is not None:
            title = f"Rebuild of {release.name} on {rebuild.cpu}: {rebuild.verdict} at {rebuild.level}"
            return f"{path} in {self._commit(self.branch, files, (title, at))[:12]}"
        for target in [free_evidence_file(self.repository.path, one, "try again in a second") for one in files]:
            write_durably(target, files[str(target.relative_to(self.repository.path))])
        return str(self.repository.path / path)

    def _commit(self, branch: str, files: Mapping[str, bytes], what: tuple[str, datetime]) -> str:
        title, at = what
        for turn in range(1, _MOVES + 1):
            head = self.repository.resolve(f"refs/heads/{branch}")
            if taken := [path for path in files if self.repository.show_file(head, path) is not None]:
                raise Refused(f"{taken[0]} is there already, and stays", "try again in a second")
            commit = self.repository.commit_files(head, files, f"{title}\n", author(self.repository, _SOMEBODY), at)
            try:
                self.repository.advance(commit, branch, head)
            except Refused:
                moved = self.repository.resolve(f"refs/heads/{branch}") != head
                if not moved or turn == _MOVES:
                    raise
            else:
                return commit
        raise AssertionError("the last turn returns or raises")

    def _committed(self, commit: str, folders: Sequence[str]) -> Iterator[Rebuild]:
        entries = [
            entry
            for entry in self.repository.tree(commit, folders)
            if entry.mode.startswith("100") and entry.size <= LARGEST and entry.path.endswith(".json")
        ]
        for entry in entries:
            seen = entry.path, entry.blob
            if seen not in self._read:
                self._read[seen] = self._verdict(entry.path, self.repository.blobs([entry.blob])[entry.blob])
            if found := self._read[seen]:
                yield found

    def _standing(self, folders: Sequence[str]) -> Iterator[Rebuild]:
        for entry in walk(self.repository.path, folders):
            if entry.mode != "100644" or entry.size > LARGEST or not entry.path.endswith(".json"):
                continue
            if found := self._verdict(entry.path, read_file(self.repository.path, entry.path, LARGEST)[1]):
                yield found

    def _verdict(self, path: str, data: bytes) -> Rebuild | None:
        """What this key says there; None if it is anything else."""
        spec = SigningKeySpec(public_key=public_half(self.key), uses=("evidence",))
        found = read_evidence(path, data, [SigningKey(metadata=Metadata(name="own"), spec=spec)])
        if found.problem is not None or found.predicate_type != REBUILD:
            return None
        try:
            return Rebuild.model_validate(found.predicate)
        except ValidationError:
            return None
