"""Reading what runs again, a piece in each round: bits flip on a disk without anybody writing to it.

A round reads at most `PIECE` bytes, from the disk and not from the kernel's memory of it. An artifact of N bytes is
seen whole every N / PIECE rounds, a smaller one in each. The session is not touched: it runs on the bytes that were
verified when they were loaded.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from muster.agent.folder import read_bounded
from muster.agent.journal import Slot
from muster.artifacts.bundle import LIMITS, MANIFEST
from muster.artifacts.manifest import read_manifest
from muster.kinds.digest import digest_of
from muster.kinds.errors import MusterError

PIECE = 2**22
_READ = 2**18


class Rehash:
    """One slot, over and over."""

    def __init__(self, place: Path, slot: Slot) -> None:
        self.slot = slot
        self._rounds = _rounds(place, slot)

    def round(self) -> str | None:
        """Read on. The name of a file that is not what it was, or None."""
        return next(self._rounds)


def _rounds(place: Path, slot: Slot) -> Iterator[str | None]:
    spent = 0
    while True:
        try:
            data = read_bounded(place / MANIFEST, LIMITS[MANIFEST])
            files = read_manifest(data).files if digest_of(data) == slot.manifest else None
        except MusterError:
            files = None
        if files is None:
            yield MANIFEST
            continue
        for name, file in sorted(files.items()):
            digest = hashlib.sha256()
            try:
                for piece in _pieces(place / name):
                    digest.update(piece)
                    spent += len(piece)
                    if spent >= PIECE:
                        spent = 0
                        yield None
            except OSError:
                yield name
                continue
            if f"sha256:{digest.hexdigest()}" != file.digest:
                yield name
        spent = 0
        yield None


def _pieces(path: Path) -> Iterator[bytes]:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        # Otherwise the kernel's copy would be read, which stays whole while the disk rots.
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        while piece := file.read(_READ):
            yield piece
