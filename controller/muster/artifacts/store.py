"""The artifact store: a content-addressed folder, `<folder>/sha256/ab/<64 hex digits>`.

Rules: a write is atomic and idempotent; every read verifies the digest; a damaged object is named and never served;
nothing but a digest becomes a path. Beside the objects lies an index of stage results, `<folder>/index/<key>.json`:
a cache, so that a damaged entry counts as absent.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from pathlib import Path
from typing import Any, BinaryIO, Final

from muster.artifacts.durable import write_durably
from muster.kinds.canonical import canonical_json
from muster.kinds.errors import Refused, TryAgain, Unusable
from muster.kinds.sha256 import digest_of, hex_of

MAX_OBJECT: Final = 2**31
MAX_INDEX_ENTRY: Final = 2**20

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_KEY = re.compile(r"[0-9a-f]{64}")
_CHUNK = 2**20


class MissingObject(Unusable):
    """The store does not hold this digest."""


class DamagedObject(Refused):
    """The bytes under this digest are not the bytes that were put there."""


class Store:
    """Bytes by digest. The folder is made on the first write; any number of processes may write at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, data: bytes) -> str:
        """Keep `data`; returns its digest. Repairs a damaged object of the same digest.

        Raises `Refused` above 2 GiB, `TryAgain` if the disk refuses.
        """
        if len(data) > MAX_OBJECT:
            raise Refused(f"an object of {len(data)} bytes is more than the store takes ({MAX_OBJECT})")
        digest = digest_of(data)
        try:
            self.path(digest)
        except (MissingObject, DamagedObject):
            write_durably(self._place(digest), data)
        return digest

    def get(self, digest: str) -> bytes:
        """The verified bytes. Raises `MissingObject`, `DamagedObject`, `TryAgain`."""
        with self._open(digest) as file:
            data = file.read(MAX_OBJECT + 1)
        if digest_of(data) != digest:
            raise self._damaged(digest, digest_of(data))
        return data

    def has(self, digest: str) -> bool:
        """True if there is an object under this digest; its bytes are not verified."""
        return self._place(digest).is_file()

    def path(self, digest: str) -> Path:
        """Where the object lies; its bytes were verified just now. Raises as `get` does."""
        found = hashlib.sha256()
        with self._open(digest) as file:
            while chunk := file.read(_CHUNK):
                found.update(chunk)
        if found.hexdigest() != hex_of(digest):
            raise self._damaged(digest, f"sha256:{found.hexdigest()}")
        return self._place(digest)

    def remember(self, key: str, value: dict[str, Any]) -> None:
        """Keep the result of a stage under its cache key, 64 hexadecimal digits. No floats."""
        write_durably(self._entry(key), canonical_json(value))

    def recall(self, key: str) -> dict[str, Any] | None:
        """What was remembered under `key`; None if nothing was, or if the entry is damaged."""
        try:
            with self._entry(key).open("rb") as file:
                data = file.read(MAX_INDEX_ENTRY + 1)
            value = json.loads(data) if len(data) <= MAX_INDEX_ENTRY else None
        except (OSError, ValueError, RecursionError):
            return None
        return value if isinstance(value, dict) else None

    def _place(self, digest: str) -> Path:
        if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
            raise Unusable(f"not a digest: {digest!r}", "write sha256: and 64 lower-case hexadecimal digits")
        name = hex_of(digest)
        return self.folder / "sha256" / name[:2] / name

    def _entry(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise Unusable(f"not a cache key: {key!r}", "write 64 lower-case hexadecimal digits")
        return self.folder / "index" / f"{key}.json"

    def _open(self, digest: str) -> BinaryIO:
        place = self._place(digest)
        try:
            # A link could lead out of the folder, and a pipe would block.
            descriptor = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise MissingObject(
                f"the store does not hold {digest}: {place}", "put the object into the store, or name another state"
            ) from error
        except OSError as error:
            if place.is_symlink():
                raise self._damaged(digest, "a symbolic link") from error
            raise TryAgain(f"cannot read {place}: {error.strerror}") from error
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size > MAX_OBJECT:
            os.close(descriptor)
            raise self._damaged(digest, "no regular file, or one that is too large")
        return os.fdopen(descriptor, "rb")

    def _damaged(self, digest: str, found: str) -> DamagedObject:
        return DamagedObject(
            f"damaged object {digest}: {self._place(digest)} holds {found}",
            "remove that file, then build or fetch the object again",
        )
