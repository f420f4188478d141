"""A step's folder: to whom its files belong, and how much it holds. No link in it is followed."""

from __future__ import annotations

import contextlib
import itertools
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MOST_DEPTH: Final = 50
"""Folders within folders. What removes a folder goes as deep as it is, and gives up where Python does."""


def give(folder: str, user: int, *, only_from: int | None = None) -> None:
    """Make `user` own all that is in a folder; only what `only_from` owns, if that is given. Nobody writes then."""
    if only_from in (None, Path(folder).lstat().st_uid):
        os.chown(folder, user, user, follow_symlinks=False)
    for _, folders, files, place in os.fwalk(folder, follow_symlinks=False):
        for name in (*folders, *files):
            with contextlib.suppress(OSError):
                if only_from is None or os.stat(name, dir_fd=place, follow_symlinks=False).st_uid == only_from:
                    os.chown(name, user, user, dir_fd=place, follow_symlinks=False)


def read_left(path: Path, most: int) -> bytes:
    """What a step left at a path, cut to `most` bytes; nothing, if that is no file of its own. Raises `OSError`."""
    # A link could lead anywhere, and a pipe would block.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        return file.read(most) if stat.S_ISREG(os.fstat(descriptor).st_mode) else b""


@dataclass
class Found:
    """Bytes on disk, entries, length and name of the longest file; folders too deep to look into, and closed ones."""

    size: int = 0
    entries: int = 0
    largest: int = 0
    longest: str = ""
    deep: int = 0
    closed: int = 0


def measure(folder: str, most: int) -> Found:
    """What a folder holds; entries are counted to just beyond `most`."""
    found = Found()
    with _opened(folder, None) as top:
        if top is not None:
            _look(top, found, most, 1)
    return found


def flatten(folder: str) -> None:
    """Bring folders that are too deep to the top, so that whoever removes the folder can. Nobody writes then."""
    number = itertools.count()
    while True:
        with _opened(folder, None) as top:
            if top is None or not _lift(top, top, number, 1):
                return


def _look(place: int, found: Found, most: int, depth: int) -> None:
    for name in os.listdir(place):
        found.entries += 1
        if found.entries > most:
            return
        with contextlib.suppress(OSError):
            entry = os.stat(name, dir_fd=place, follow_symlinks=False)
            found.size += entry.st_blocks * 512
            if stat.S_ISREG(entry.st_mode) and entry.st_size > found.largest:
                found.largest, found.longest = entry.st_size, name
            if not stat.S_ISDIR(entry.st_mode):
                continue
            if depth >= MOST_DEPTH:
                found.deep += 1
                continue
            with _opened(name, place) as below:
                if below is not None:
                    _look(below, found, most, depth + 1)
                elif _is_there(name, place):
                    found.closed += 1


def _lift(top: int, place: int, number: Iterator[int], depth: int) -> bool:
    lifted = False
    for name in os.listdir(place):
        with _opened(name, place) as below:
            if below is None:
                continue
            if depth < MOST_DEPTH:
                lifted |= _lift(top, below, number, depth + 1)
                continue
        with contextlib.suppress(OSError):
            os.rename(name, f".deep-{os.getpid()}-{next(number)}", src_dir_fd=place, dst_dir_fd=top)
            lifted = True
    return lifted


@contextlib.contextmanager
def _opened(name: str, place: int | None) -> Iterator[int | None]:
    """A descriptor of a folder, which is opened up if its mode is closed; None if it cannot be had."""
    descriptor = None
    with contextlib.suppress(OSError):
        descriptor = _open(name, place)
    try:
        yield descriptor
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _open(name: str, place: int | None) -> int:
    only = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(name, os.O_RDONLY | only, dir_fd=place)
    except PermissionError:
        anyway = os.open(name, os.O_PATH | only, dir_fd=place)
        try:
            os.chmod(f"/proc/self/fd/{anyway}", 0o700)  # noqa: PTH101 - a descriptor, so that no link is followed
        finally:
            os.close(anyway)
        return os.open(name, os.O_RDONLY | only, dir_fd=place)


def _is_there(name: str, place: int) -> bool:
    try:
        return stat.S_ISDIR(os.stat(name, dir_fd=place, follow_symlinks=False).st_mode)
    except OSError:
        return False
