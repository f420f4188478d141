"""What is installed in an environment, as digests: wheels' own lists of files (RECORD), and the whole folder.

RECORD: one line per file, `path,sha256=<URL-safe base64>,size` (PyPA, "Recording installed projects").
"""

from __future__ import annotations

import base64
import csv
import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from muster.build.hermetic.lock import BuilderLock, plain_name
from muster.kinds.canonical import canonical_json
from muster.kinds.errors import Unusable
from muster.kinds.sha256 import digest_of

_CHUNK: Final = 2**20
_HINT: Final = "remove the folder; the next build makes it again"


def site_packages(folder: Path, python: str) -> Path:
    """Where an environment's packages lie."""
    return folder / "lib" / f"python{python}" / "site-packages"


def tree_digest(folder: Path, leave_out: str) -> str:
    """Digest over path, kind and content of everything in `folder` but the file `leave_out`. Raises `OSError`."""
    entries = [entry for entry in _walk(folder) if entry[0] != leave_out]
    return digest_of(canonical_json(sorted(entries)))


def record_digests(folder: Path, lock: BuilderLock) -> dict[str, str]:
    """Digest of the RECORD of every installed package. Raises `Unusable` if one is not the lock's."""
    found: dict[str, str] = {}
    for info in site_packages(folder, lock.python).glob("*.dist-info"):
        name, _, version = info.name.removesuffix(".dist-info").rpartition("-")
        if version not in lock.packages.get(plain_name(name), ()):
            raise Unusable(f"{info} holds {name} {version}, which the lock does not name", _HINT)
        found[plain_name(name)] = digest_of((info / "RECORD").read_bytes())
    return found


def check_files(folder: Path, lock: BuilderLock) -> None:
    """Raises `Unusable` if an installed file is not as its package lists it, or is listed nowhere."""
    packages = site_packages(folder, lock.python)
    listed: set[Path] = set()
    for record in packages.glob("*.dist-info/RECORD"):
        listed |= _compare(packages, record.read_bytes())
    # Compiled beside their sources when the environment was made; from then on the folder's digest holds them.
    stray = {path for path in packages.rglob("*") if _is_file(path) and path.parent.name != "__pycache__"} - listed
    if stray:
        raise Unusable(f"{min(stray)} belongs to no package of the lock", _HINT)


def _is_file(path: Path) -> bool:
    return path.is_symlink() or not path.is_dir()


def _compare(packages: Path, record: bytes) -> set[Path]:
    listed = set()
    for path, sha256, _ in csv.reader(record.decode().splitlines()):
        file = Path(os.path.normpath(packages / path))
        listed.add(file)
        if sha256:
            wanted = base64.urlsafe_b64decode(sha256.removeprefix("sha256=") + "==").hex()
            if _sha256(file) != wanted:
                raise Unusable(f"{file} is not the file that its package lists", _HINT)
    return listed


def _walk(folder: Path) -> Iterator[tuple[str, str, str]]:
    for here, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(here) / name
            mode = path.lstat().st_mode
            where = str(path.relative_to(folder))
            if stat.S_ISLNK(mode):
                yield where, "link", str(path.readlink())
            elif stat.S_ISDIR(mode):
                yield where, "folder", ""
            elif stat.S_ISREG(mode):
                yield where, "program" if mode & 0o100 else "file", _sha256(path)
            else:
                yield where, "other", ""


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
