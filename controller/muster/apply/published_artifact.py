"""What may be published: an artifact whose bytes are those of its digest, and whose files a trusted key signed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from muster.attest.artifact_files import digest_of_file, files_of_bundle
from muster.attest.model_signature import verify_files
from muster.kinds.digest import digest_of
from muster.kinds.errors import Refused, TryAgain

_HINT = "build the release again"


@dataclass(frozen=True)
class PublishedArtifact:
    """A packed artifact: where its tar lies, its digest, its size in bytes, and the signature over its files."""

    path: Path
    digest: str
    size: int
    signature: bytes = field(repr=False)


class ArtifactVerifier:
    """Verifies artifacts, and reads an unchanged file (same inode, size and time of change) only once."""

    def __init__(self) -> None:
        self._files: dict[tuple[int, ...], tuple[str, dict[str, str]]] = {}

    def verify(self, artifact: PublishedArtifact, signing_keys: Sequence[str]) -> dict[str, str]:
        """The digests of the artifact's files, {name: digest}.

        Raises `Refused` if its bytes, its size or its signature are not right, `TryAgain` if it cannot be read.
        """
        try:
            digest, files = self._read(artifact)
        except OSError as error:
            raise TryAgain(f"cannot read {artifact.path}: {error.strerror}", _HINT) from error
        if digest != artifact.digest:
            raise Refused(f"{artifact.path} is altered: it has {digest}, not {artifact.digest}", _HINT)
        try:
            verify_files(files, artifact.signature, signing_keys)
        except Refused as error:
            raise Refused(f"artifact {artifact.digest} is not published: {error.message}", error.hint) from error
        return files

    def _read(self, artifact: PublishedArtifact) -> tuple[str, dict[str, str]]:
        found = artifact.path.stat()
        if found.st_size != artifact.size:
            raise Refused(f"{artifact.path} has {found.st_size} bytes, not {artifact.size}", _HINT)
        key = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
        if key not in self._files:
            data = artifact.path.read_bytes()
            digest = digest_of(data)
            # Bytes that are not the declared ones are not worth parsing.
            self._files[key] = (digest, files_of_bundle(data) if digest == artifact.digest else {})
        return self._files[key]


def same_file(path: Path, artifact: PublishedArtifact) -> bool:
    """True if `path` holds the artifact already: the same inode, or the same bytes."""
    try:
        if path.samefile(artifact.path):
            return True
        return path.stat().st_size == artifact.size and digest_of_file(path) == artifact.digest
    except OSError:
        return False
