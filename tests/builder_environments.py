"""One wheelhouse and one environment for each lock of this repository, made once per run of the tests.

The processes of a run share them: each takes a minute of a processor to fetch, unpack and compile.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import functools
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from meter_example import ROOT
from muster.build.hermetic.environment import environment_for
from muster.build.hermetic.lock import BuilderLock, read_lock
from muster.build.hermetic.vendor import vendor
from muster.kinds.errors import TryAgain

NEWEST, OLDER = "onnxruntime-1.31", "onnxruntime-1.30"


@functools.cache
def builder_lock(name: str = NEWEST) -> BuilderLock:
    """A lock of this repository by name."""
    return read_lock((ROOT / f"builders/{name}.lock").read_bytes(), name)


@functools.cache
def _folder() -> Path:
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID") or uuid.uuid4().hex
    folder = Path(tempfile.gettempdir()) / f"muster-builders-{run}"
    with _alone(folder):
        folder.mkdir(exist_ok=True)
        # Builds run as other users too.
        folder.chmod(0o755)
        (folder / f"used-by-{os.getpid()}").touch()
    atexit.register(_leave, folder, os.getpid())
    return folder


def _leave(folder: Path, pid: int) -> None:
    """Whoever is last takes it away. Forked children of this process are nobody."""
    if os.getpid() != pid:
        return
    with _alone(folder):
        (folder / f"used-by-{pid}").unlink()
        if not list(folder.glob("used-by-*")):
            shutil.rmtree(folder)
            _lock_of(folder).unlink()


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """No other process of the run is in here."""
    with _lock_of(folder).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _lock_of(folder: Path) -> Path:
    return folder.with_suffix(".lock")


@functools.cache
def wheelhouse_of(*names: str) -> Path:
    """The wheels of these locks, in one folder that all calls share. Skips the test if no registry answers."""
    folder = _folder() / "wheelhouse"
    for name in names or (NEWEST,):
        try:
            with _alone(_folder()):
                vendor(builder_lock(name), folder)
        except TryAgain as error:
            pytest.skip(f"needs a package registry: {error.message[:200]}")
    return folder


@functools.cache
def builders_with(*names: str) -> Path:
    """The folder of environments, with those of these locks; `lend` puts it below a state. Skips as above."""
    for name in names or (NEWEST,):
        # Of several processes one makes it, and the others wait.
        environment_for(builder_lock(name), _folder() / "builders", wheelhouse_of(name))
    return _folder() / "builders"


def lend(state: Path, *names: str) -> Path:
    """Let a state folder have these environments, made already. The same folder."""
    state.mkdir(parents=True, exist_ok=True)
    (state / "builders").symlink_to(builders_with(*names))
    return state
