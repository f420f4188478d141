"""Files that only their owner may read: keys and tokens.

Rules: a private file is made with mode 0600 in a folder with mode 0700, never loosened and tightened later; it is
complete or absent, and an existing one is never replaced; one that others can read is refused, not repaired, because
its secret may be known already. What a private file holds appears in no message.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from muster.artifacts.durable import make_folder, sync_folder
from muster.kinds.errors import Refused, TryAgain, Unusable

_LARGEST = 64 * 1024
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def make_private_folder(folder: Path) -> None:
    """Make a folder with mode 0700. Raises `Refused` if it exists and others can enter it, `TryAgain` from the disk."""
    try:
        make_folder(folder.parent)
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        found = folder.lstat()
        sync_folder(folder.parent)
    except OSError as error:
        raise TryAgain(f"cannot make {folder}: {error.strerror}", "correct the permissions") from error
    if not stat.S_ISDIR(found.st_mode):
        raise Unusable(f"{folder} is not a folder", "give another state folder")
    if found.st_mode & _OTHERS:
        raise Refused(
            f"{folder} is open to others: mode {stat.S_IMODE(found.st_mode):04o}",
            f"if nobody else could read the keys in it: chmod 0700 {folder}",
        )


def create_private(path: Path, data: bytes) -> bool:
    """Put `data` at `path`, mode 0600. False if a file is there already, which then stays as it is.

    Raises `TryAgain` if the disk refuses.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        # What a killed process of the same number left behind.
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            # A link, unlike a rename, never replaces a key that another process made meanwhile.
            os.link(temporary, path)
        except FileExistsError:
            return False
        finally:
            temporary.unlink(missing_ok=True)
            sync_folder(path.parent)
    except OSError as error:
        raise TryAgain(f"cannot write {path}: {error.strerror}", "free space or correct the permissions") from error
    return True


def read_private(path: Path) -> bytes:
    """The bytes of a private file, 64 KiB at most.

    Raises `Unusable` if it is missing, no plain file or too large, `Refused` if others can read or write it.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise Unusable(f"{path} is missing", "make it with: muster keys init") from error
    except OSError as error:
        raise Unusable(f"cannot read {path}: {error.strerror}", "it must be a plain file of the controller") from error
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size > _LARGEST:
            raise Unusable(f"{path} is not a plain file of at most {_LARGEST} bytes")
        if found.st_mode & _OTHERS:
            raise Refused(
                f"{path} is open to others: mode {stat.S_IMODE(found.st_mode):04o}",
                f"replace the key if somebody else could read it; if not: chmod 0600 {path}",
            )
        return os.read(descriptor, _LARGEST)
    finally:
        os.close(descriptor)


def mode_of(path: Path) -> str:
    """The permission bits, such as `0600`. Raises `Unusable` if the file is missing."""
    try:
        return f"{stat.S_IMODE(path.lstat().st_mode):04o}"
    except OSError as error:
        raise Unusable(f"cannot read {path}: {error.strerror}", "make it with: muster keys init") from error
