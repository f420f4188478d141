"""Parts and deltas of what is on offer, beside the targets: content-addressed files that a delta index names.

Rules: every file that an index names is on disk before the index is; an index tells nothing about an artifact that was
not verified; a file stays as long as the generation that names it, and one generation longer, because a device may be
in the middle of fetching it. What was made for a former generation is not made again: a new release costs its own
parts, and one delta for each artifact that it takes the place of.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from muster.apply.published_artifact import PublishedArtifact
from muster.artifacts.bundle import read_sizes
from muster.artifacts.durable import write_durably
from muster.artifacts.opened import OpenArtifact, open_tar
from muster.attest.artifact_files import digest_of_file
from muster.kinds.canonical import canonical_json
from muster.kinds.delta import MOST_DELTAS, Delta, DeltaIndex, Part, delta_path, part_path
from muster.kinds.desired import DesiredDocument
from muster.kinds.digest import digest_of, hex_of
from muster.kinds.errors import TryAgain

SMALLEST_ARTIFACT: Final = 2**14
"""Bytes. Below, the artifact as a whole costs a device little more than an index would."""

Former = Mapping[str, DeltaIndex]
"""Artifact → what the former generation said about it."""


@dataclass(frozen=True)
class Older:
    """An artifact that devices may run: its digest and its verified or once verified tar."""

    digest: str
    path: Path


class PublishedDeltas:
    """The folders `parts` and `deltas` below the targets."""

    def __init__(self, targets: Path) -> None:
        self._targets = targets

    def make(
        self, named: Iterable[PublishedArtifact], older: Mapping[str, Sequence[Older]], former: Former
    ) -> list[DeltaIndex]:
        """Write what is missing, and return the index of every artifact that is worth one. Raises `TryAgain`."""
        return [
            self._index(artifact, older.get(artifact.digest, ()), former.get(artifact.digest))
            for artifact in named
            if artifact.size >= SMALLEST_ARTIFACT
        ]

    def tidy(self, kept: Iterable[DeltaIndex]) -> None:
        """Remove every file that none of these indexes names, their own among them."""
        names = {name for index in kept for name in _files(index)}
        for folder in ("parts", "deltas"):
            for path in (self._targets / folder).glob("*"):
                if f"{folder}/{path.name}" not in names:
                    # What cannot be removed now is still there the next time.
                    with contextlib.suppress(OSError):
                        path.unlink()

    def _index(self, artifact: PublishedArtifact, older: Sequence[Older], former: DeltaIndex | None) -> DeltaIndex:
        try:
            index = former if former and self._has(former) else self._parts(artifact)
            known = {delta.since: delta for delta in index.deltas}
            paths = {old.digest: old.path for old in older}
            wanted = list(dict.fromkeys([*paths, *known]))[:MOST_DELTAS]
            deltas = []
            for since in wanted:
                delta = known.get(since) or self._delta(artifact, index, Older(since, paths[since]))
                deltas += [delta] if delta else []
        except OSError as error:
            raise TryAgain(f"cannot read {error.filename}: {error.strerror}", "correct the permissions") from error
        return index.model_copy(update={"deltas": tuple(deltas)})

    def _parts(self, artifact: PublishedArtifact) -> DeltaIndex:
        from muster.artifacts.deltas import pack_part
        from muster.artifacts.splitting import split

        with _opened(artifact.path) as opened:
            cut = split(opened)
            parts = []
            for part in cut.parts:
                packed = pack_part(part)
                digest = digest_of(packed)
                self._write(part_path(digest), packed)
                parts.append(Part(digest=part.digest, length=part.length, packed=digest, packed_length=len(packed)))
        return DeltaIndex(artifact=artifact.digest, size=artifact.size, parts=tuple(parts), layout=cut.layout)

    def _delta(self, artifact: PublishedArtifact, index: DeltaIndex, old: Older) -> Delta | None:
        """None if the older artifact is gone, or a delta would spare nothing."""
        from muster.artifacts.deltas import make_delta
        from muster.artifacts.splitting import SplitPart, split

        packed = {part.digest: part.packed for part in index.parts}

        def frame(part: SplitPart) -> bytes:
            return (self._targets / part_path(packed[part.digest])).read_bytes()

        try:
            if digest_of_file(old.path) != old.digest:
                return None
        except OSError:
            return None
        with _opened(artifact.path) as new, _opened(old.path) as before:
            data = make_delta(split(new), split(before), frame)
        if len(data) >= min(index.size, sum(part.packed_length for part in index.parts)):
            return None
        self._write(delta_path(digest_of(data)), data)
        return Delta(since=old.digest, digest=digest_of(data), length=len(data))

    def _has(self, index: DeltaIndex) -> bool:
        lengths = {part_path(part.packed): part.packed_length for part in index.parts}
        lengths |= {delta_path(delta.digest): delta.length for delta in index.deltas}
        return all(_length(self._targets / name) == length for name, length in lengths.items())

    def _write(self, name: str, data: bytes) -> None:
        path = self._targets / name
        if _length(path) != len(data) or digest_of_file(path) != digest_of(data):
            write_durably(path, data)


def older_artifacts(
    documents: Iterable[DesiredDocument], before: Iterable[DesiredDocument]
) -> dict[str, tuple[str, ...]]:
    """Artifact → those that devices may run when they are offered it: the older entries of its document, and whatever
    the former generation offered to the same devices.
    """
    former = {document.target: document for document in before}
    found: dict[str, dict[str, None]] = {}
    for document in documents:
        digests = [entry.artifact.digest for entry in document.entries]
        known = former.get(document.target)
        offered = [entry.artifact.digest for entry in known.entries] if known else []
        for place, digest in enumerate(digests):
            others = dict.fromkeys([*digests[place + 1 :], *offered])
            others.pop(digest, None)
            found.setdefault(digest, {}).update(others)
    return {digest: tuple(others) for digest, others in found.items()}


def read_index(data: bytes) -> DeltaIndex | None:
    """None if it cannot be read: it is made anew."""
    try:
        return DeltaIndex.model_validate_json(data)
    except ValueError:
        return None


def dump_index(index: DeltaIndex) -> bytes:
    """Canonical JSON."""
    return canonical_json(index.model_dump(mode="json"))


@contextmanager
def _opened(path: Path) -> Iterator[OpenArtifact]:
    with open_tar(path, read_sizes(path)) as artifact:
        yield artifact


def _files(index: DeltaIndex) -> Iterator[str]:
    yield from (part_path(part.packed) for part in index.parts)
    yield from (delta_path(delta.digest) for delta in index.deltas)
    folder, _, name = index.target.rpartition("/")
    yield f"{folder}/{hex_of(digest_of(dump_index(index)))}.{name}"


def _length(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None
