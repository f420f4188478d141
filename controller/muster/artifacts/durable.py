"""Files that are either complete or absent, whenever the machine stops.

Order of every write: temporary file beside the target, its bytes forced to disk, rename, the folder forced to disk.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from muster.kinds.errors import TryAgain


def write_durably(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Put `data` at `path`, replacing what is there in one step. The folder is made if it is missing.

    Raises `TryAgain` if the disk refuses (full, read-only, no permission).
    """
    try:
        make_folder(path.parent)
        _replace(path, data, mode)
    except OSError as error:
        raise TryAgain(f"cannot write {path}: {error.strerror}", "free space or correct the permissions") from error


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, and force their names to disk. Raises `OSError`."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Force a folder's names to disk. Raises `OSError`."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _replace(path: Path, data: bytes, mode: int) -> None:
    descriptor, temporary = tempfile.mkstemp(prefix=".incoming-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            # mkstemp makes 0600 and the umask would vary what open() makes: one mode everywhere.
            # A step in the sandbox may set none: its files stay 0600, which is stricter.
            with contextlib.suppress(PermissionError):
                os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
