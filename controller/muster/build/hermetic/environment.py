"""Environments by the digest of their lock: made once below the state folder, looked at again before every use.

Layout: `<folder>/<64 hex digits of the lock>-<machine>/`, with uv's virtual environment and `muster.json`, a marker
that holds the lock's digest, the RECORD digest of every package and the digest of the whole folder. It is made under
another name and renamed when it is complete, so that a folder with this name was complete once; one that is not as its
marker says (a file changed, a disk that lost power) is made again. One process makes it, others wait for that one.
"""

from __future__ import annotations

import fcntl
import json
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from muster.artifacts.durable import make_folder, write_durably
from muster.build.hermetic.installed import check_files, record_digests, tree_digest
from muster.build.hermetic.lock import BuilderLock
from muster.build.hermetic.uv_program import call_uv
from muster.kinds.canonical import canonical_json
from muster.kinds.errors import TryAgain, Unusable
from muster.kinds.sha256 import hex_of

MARKER: Final = "muster.json"
_MAX_MARKER: Final = 2**20
_INSTALL: Final = ("--require-hashes", "--no-deps", "--only-binary", ":all:", "--link-mode", "copy")


@dataclass(frozen=True)
class Environment:
    """An environment that was looked at just now. `made`: it was not there, or not as it should be."""

    folder: Path
    lock: BuilderLock
    records: dict[str, str]
    made: bool

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin/python"

    @property
    def own(self) -> bool:
        """Whether it is the one that this process runs in."""
        return self.folder == Path(sys.prefix)


def environment_for(lock: BuilderLock, folder: Path, wheelhouse: Path | None = None) -> Environment:
    """The environment of a lock below `folder`. With a `wheelhouse` no registry is asked.

    Raises `Unusable` (no such Python, a wheel that is missing or not the locked one), `TryAgain` (registry, disk).
    """
    place = folder.absolute() / f"{hex_of(lock.digest)}-{platform.machine()}"
    try:
        make_folder(place.parent)
        with _alone(place):
            if found := _found(place, lock):
                return Environment(place, lock, found, made=False)
            return Environment(place, lock, _make(place, lock, wheelhouse), made=True)
    except OSError as error:
        raise TryAgain(
            f"cannot make the environment {place}: {error.strerror}", "free space or correct the permissions"
        ) from error


@contextmanager
def _alone(place: Path) -> Iterator[None]:
    with place.with_name(f"{place.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _found(place: Path, lock: BuilderLock) -> dict[str, str] | None:
    """The records of an environment that is as its marker says; None if it must be made."""
    try:
        with (place / MARKER).open("rb") as file:
            marker = json.loads(file.read(_MAX_MARKER))
        same = (
            marker["lock"] == lock.digest
            and (place / "bin/python").exists()
            and marker["tree"] == tree_digest(place, MARKER)
            and marker["records"] == record_digests(place, lock)
        )
    except (OSError, ValueError, KeyError, TypeError, Unusable):
        return None
    return marker["records"] if same else None


def _make(place: Path, lock: BuilderLock, wheelhouse: Path | None) -> dict[str, str]:
    # Whoever left one there is dead, for it held the lock that is held here; but its uv may live, and go on writing.
    for left in place.parent.glob(f"{place.name}.making*"):
        shutil.rmtree(left, ignore_errors=True)
    making = Path(tempfile.mkdtemp(prefix=f"{place.name}.making-", dir=place.parent))
    requirements = place.with_name(f"{place.name}.requirements")
    # uv reads what was judged, not the file that may be another by now.
    write_durably(requirements, lock.data)
    inside = making / "environment"
    try:
        call_uv(["venv", "--no-config", "--relocatable", "--python", lock.python, str(inside)], making)
        python = ["--python", str(inside / "bin/python")]
        call_uv(
            ["pip", "install", "--compile-bytecode", *_INSTALL, *_source(wheelhouse), *python, "-r", str(requirements)],
            making,
        )
        found = record_digests(inside, lock)
        check_files(inside, lock)
        marker: dict[str, Any] = {"lock": lock.digest, "records": found, "tree": tree_digest(inside, MARKER)}
        write_durably(inside / MARKER, canonical_json(marker))
        shutil.rmtree(place, ignore_errors=True)
        inside.rename(place)
    finally:
        shutil.rmtree(making, ignore_errors=True)
        requirements.unlink(missing_ok=True)
    return found


def _source(wheelhouse: Path | None) -> list[str]:
    if wheelhouse is None:
        return []
    if not wheelhouse.is_dir():
        raise Unusable(f"{wheelhouse} is no folder of wheels", "fill it: muster builder vendor LOCK --to DIR")
    return ["--offline", "--no-index", "--find-links", str(wheelhouse.absolute())]
