"""The digest of every file of an artifact, whether it is packed or unpacked: what a signature is held against.

Rules: every file counts, hidden ones and `.git` included; anything but plain files and folders is refused.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from muster.artifacts.bundle import read_bundle
from muster.kinds.digest import digest_of
from muster.kinds.errors import Refused, Unusable

_MOST_FILES = 10_000
_DEEPEST = 32


def files_of_bundle(data: bytes) -> dict[str, str]:
    """{name: digest} of a packed artifact. Raises `Refused` unless it is a bundle."""
    return {name: digest_of(content) for name, content in read_bundle(data).items()}


def files_of_folder(folder: Path) -> dict[str, str]:
    """{name: digest} of all files below a folder, names with `/`.

    Raises `Refused` for symbolic links, devices, and trees of more than 10,000 entries or 32 levels; `Unusable` if
    something cannot be read.
    """
    try:
        found: dict[str, str] = {}
        for count, entry in enumerate(_walk(folder, 0)):
            if count >= _MOST_FILES:
                raise Refused(f"{folder} holds more than {_MOST_FILES} entries")
            if entry is not None:
                found[entry.relative_to(folder).as_posix()] = digest_of_file(entry)
    except OSError as error:
        raise Unusable(f"cannot read {error.filename or folder}: {error.strerror}") from error
    return found


def digest_of_file(path: Path) -> str:
    """The digest of a plain file, read in pieces. Raises `OSError`; a symbolic link is one."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def _walk(folder: Path, depth: int) -> Iterator[Path | None]:
    """Every plain file, and None for every folder, so that the caller can count both."""
    if depth > _DEEPEST:
        raise Refused(f"{folder} lies more than {_DEEPEST} levels deep")
    with os.scandir(folder) as entries:
        for entry in entries:
            mode = entry.stat(follow_symlinks=False).st_mode
            if stat.S_ISDIR(mode):
                yield None
                yield from _walk(Path(entry.path), depth + 1)
            elif stat.S_ISREG(mode):
                yield Path(entry.path)
            else:
                raise Refused(
                    f"{entry.path} is neither a plain file nor a folder", "an artifact holds plain files only"
                )
