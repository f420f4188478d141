"""Files that any web server can serve while they are written: each is complete or absent, and one process writes."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from muster.artifacts.durable import make_folder, sync_folder
from muster.kinds.errors import Refused, TryAgain


@contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; it is free again when the process dies.

    Raises `TryAgain` at once if another process holds it.
    """
    try:
        make_folder(folder)
        descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise TryAgain(f"cannot write to {folder}: {error.strerror}", "correct the permissions") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise TryAgain(f"another process publishes to {folder}", "wait for it, or stop it") from error
        yield
    finally:
        os.close(descriptor)


def read_bounded(path: Path, limit: int) -> bytes | None:
    """A whole file, None if it is missing. Raises `Refused` above `limit` bytes, `TryAgain` if the disk refuses."""
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise TryAgain(f"cannot read {path}: {error.strerror}", "correct the permissions") from error
    if len(data) > limit:
        raise Refused(
            f"{path} has more than {limit} bytes", "nothing that large is written there: restore it from a backup"
        )
    return data


def place_file(source: Path, target: Path) -> None:
    """Make `target` hold what `source` holds, by a hard link where the file system can, else by a copy.

    Raises `TryAgain` if the disk refuses.
    """
    temporary = target.with_name(f".incoming-{target.name}")
    try:
        make_folder(target.parent)
        temporary.unlink(missing_ok=True)
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)
        _force_to_disk(temporary)
        temporary.replace(target)
        sync_folder(target.parent)
    except OSError as error:
        raise TryAgain(f"cannot write {target}: {error.strerror}", "free space or correct the permissions") from error


def _force_to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
