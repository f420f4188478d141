"""A step's folder: to whom its files belong, and how much it holds. No link in it is followed."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path


def give(folder: str, user: int, *, only_from: int | None = None) -> None:
    """Make `user` own all that is in a folder; only what `only_from` owns, if that is given. Nobody writes then."""
    if only_from in (None, Path(folder).lstat().st_uid):
        os.chown(folder, user, user, follow_symlinks=False)
    for _, folders, files, place in os.fwalk(folder, follow_symlinks=False):
        for name in (*folders, *files):
            with contextlib.suppress(OSError):
                if only_from is None or os.stat(name, dir_fd=place, follow_symlinks=False).st_uid == only_from:
                    os.chown(name, user, user, dir_fd=place, follow_symlinks=False)


def measure(folder: str, most: int) -> tuple[int, int, int, str]:
    """Bytes on disk, entries (counted to just beyond `most`), length of the longest file, and its name."""
    size = entries = largest = 0
    longest = ""
    for _, folders, files, place in os.fwalk(folder, onerror=None, follow_symlinks=False):
        for name in (*folders, *files):
            entries += 1
            with contextlib.suppress(OSError):
                found = os.stat(name, dir_fd=place, follow_symlinks=False)
                size += found.st_blocks * 512
                if stat.S_ISREG(found.st_mode) and found.st_size > largest:
                    largest, longest = found.st_size, name
        if entries > most:
            break
    return size, entries, largest, longest
