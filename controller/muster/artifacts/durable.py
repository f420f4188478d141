"""Files that are either complete or absent, whenever the machine stops.

Order of every write: temporary file beside the target, its bytes forced to disk, rename, the folder forced to disk.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from muster.artifacts.disk import DISK, Disk
from muster.kinds.errors import TryAgain

INCOMING = ".incoming-"
"""How the name of a temporary file begins. A machine that stops leaves it behind."""


def write_durably(path: Path, data: bytes, mode: int = 0o644, disk: Disk = DISK) -> None:
    """Put `data` at `path`, replacing what is there in one step. The folder is made if it is missing.

    Raises `TryAgain` if the disk refuses (full, read-only, no permission).
    """
    write_chunks(path, (data,), mode, disk)


def write_chunks(path: Path, chunks: Iterable[bytes], mode: int = 0o644, disk: Disk = DISK) -> None:
    """As `write_durably`, for what need not be in memory at once."""
    try:
        make_folder(path.parent, disk)
        _replace(path, chunks, mode, disk)
    except OSError as error:
        raise TryAgain(f"cannot write {path}: {error.strerror}", "free space or correct the permissions") from error


def make_folder(folder: Path, disk: Disk = DISK) -> None:
    """Make a folder and those above it, and force their names to disk. Raises `OSError`."""
    if folder.is_dir():
        return
    make_folder(folder.parent, disk)
    with contextlib.suppress(FileExistsError):
        disk.mkdir(folder)
    disk.sync_folder(folder.parent)


def sync_folder(folder: Path, disk: Disk = DISK) -> None:
    """Force a folder's names to disk. Raises `OSError`."""
    disk.sync_folder(folder)


def sync_tree(folder: Path, disk: Disk = DISK) -> None:
    """Force to disk what a library wrote below a folder: bytes first, then names, deepest first. Raises `OSError`."""
    for place, _, names in os.walk(folder, topdown=False):
        for path in (Path(place, name) for name in sorted(names)):
            if not path.is_symlink():
                disk.sync_file(path)
        disk.sync_folder(Path(place))


def remove_tree(path: Path, disk: Disk = DISK) -> None:
    """Remove a file, or a folder with all below it, if it is there. Raises `OSError`."""
    if not path.is_dir() or path.is_symlink():
        disk.unlink(path)
        return
    for entry in sorted(path.iterdir()):
        remove_tree(entry, disk)
    disk.rmdir(path)


def _replace(path: Path, chunks: Iterable[bytes], mode: int, disk: Disk) -> None:
    temporary = path.with_name(f"{INCOMING}{secrets.token_hex(8)}")
    descriptor = disk.open(temporary, os.O_CREAT | os.O_EXCL, 0o600)
    try:
        try:
            # The umask would vary what open() makes: one mode everywhere.
            # A step in the sandbox may set none: its files stay 0600, which is stricter.
            with contextlib.suppress(PermissionError):
                os.fchmod(descriptor, mode)
            for chunk in chunks:
                disk.write(descriptor, chunk)
            disk.sync(descriptor)
        finally:
            disk.close(descriptor)
        disk.rename(temporary, path)
    except BaseException:
        disk.unlink(temporary)
        raise
    disk.sync_folder(path.parent)
