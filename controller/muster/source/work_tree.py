"""Files of a working tree, as git would list them, without following a single link."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from muster.kinds.errors import Refused, Unusable
from muster.source.git import MAX_ENTRIES, Repository, TreeEntry
from muster.source.git_program import printable
from muster.source.layout import FOLDERS, is_yaml

_MAX_DEPTH = 64


def walk(folder: Path, under: Sequence[str]) -> Iterator[TreeEntry]:
    """Everything below `folder/<under>`, sorted; blob ids are empty. Links and odd files are listed, not opened.

    Raises `Unusable` if the folder cannot be listed, `Refused` for more than 100,000 files.
    """
    if not folder.is_dir():
        raise Unusable(f"no such folder: {folder}", "name the folder of a fleet")
    count = 0
    waiting = [name for name in sorted(under, reverse=True) if os.path.lexists(folder / name)]
    while waiting:
        name = waiting.pop()
        status = (folder / name).lstat()
        if stat.S_ISDIR(status.st_mode) and name.count("/") < _MAX_DEPTH:
            waiting += [f"{name}/{child}" for child in sorted(_children(folder / name), reverse=True)]
            continue
        count += 1
        if count > MAX_ENTRIES:
            raise Refused(f"{folder} has more than {MAX_ENTRIES} files", "keep fleets in a repository of their own")
        shown = os.fsencode(name).decode(errors="backslashreplace")
        yield TreeEntry(_mode(status.st_mode), "", status.st_size, shown)


def read_file(folder: Path, path: str, limit: int) -> tuple[str, bytes]:
    """A content address and the first `limit` + 1 bytes of a regular file. Raises `Unusable`."""
    try:
        # Non-blocking, so that a pipe put there meanwhile does not hang us.
        descriptor = os.open(folder / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise Unusable(f"{path} is not a regular file any more", "try again")
            data = file.read(limit + 1)
    except OSError as error:
        raise _unreadable(folder, path, error) from error
    return "sha256:" + hashlib.sha256(data).hexdigest(), data


def _unreadable(folder: Path, path: str, error: OSError) -> Unusable:
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return Unusable(
            f"cannot read {path}: no such file in {folder.absolute()}", "correct its name, or put the file there"
        )
    if error.errno == errno.ELOOP:
        return Unusable(f"cannot read {path}: it is a symbolic link", "put the file itself here")
    return Unusable(f"cannot read {path}: {error.strerror}", f"see the permissions of {folder.absolute() / path}")


def differences(repository: Repository, commit: str) -> list[str]:
    """Declared files that stand in the work tree otherwise than in a commit, sorted. Asks no filter and no index."""
    committed = {entry.path: entry for entry in repository.tree(commit, FOLDERS) if is_yaml(entry.path)}
    standing = {entry.path: entry for entry in walk(repository.path, FOLDERS) if is_yaml(entry.path)}
    changed = set(committed) ^ set(standing)
    for path in set(committed) & set(standing):
        if committed[path].mode[:3] != standing[path].mode[:3] or committed[path].size != standing[path].size:
            changed.add(path)
        elif standing[path].mode == "100644":
            _, data = read_file(repository.path, path, standing[path].size)
            if _blob_id(data, len(committed[path].blob)) != committed[path].blob:
                changed.add(path)
    return sorted(printable(path) for path in changed)


def _blob_id(data: bytes, length: int) -> str:
    algorithm = hashlib.sha256 if length == 64 else hashlib.sha1
    return algorithm(b"blob %d\0" % len(data) + data).hexdigest()


def _children(folder: Path) -> list[str]:
    try:
        return [child.name for child in folder.iterdir()]
    except OSError as error:
        raise Unusable(f"cannot list {folder}: {error.strerror}", "see the folder's permissions") from error


def _mode(mode: int) -> str:
    if stat.S_ISLNK(mode):
        return "120000"
    return "100644" if stat.S_ISREG(mode) else "000000"
