"""One wheelhouse and one environment for each lock of this repository, made once per run of the tests."""

from __future__ import annotations

import atexit
import functools
import tempfile
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
    folder = tempfile.TemporaryDirectory(prefix="muster-builders-")
    atexit.register(folder.cleanup)
    # Builds run as other users too.
    Path(folder.name).chmod(0o755)
    return Path(folder.name)


@functools.cache
def wheelhouse_of(*names: str) -> Path:
    """The wheels of these locks, in one folder that all calls share. Skips the test if no registry answers."""
    folder = _folder() / "wheelhouse"
    for name in names or (NEWEST,):
        try:
            vendor(builder_lock(name), folder)
        except TryAgain as error:
            pytest.skip(f"needs a package registry: {error.message[:200]}")
    return folder


@functools.cache
def builders_with(*names: str) -> Path:
    """The folder of environments, with those of these locks; `lend` puts it below a state. Skips as above."""
    for name in names or (NEWEST,):
        environment_for(builder_lock(name), _folder() / "builders", wheelhouse_of(name))
    return _folder() / "builders"


def lend(state: Path, *names: str) -> Path:
    """Let a state folder have these environments, made already. The same folder."""
    state.mkdir(parents=True, exist_ok=True)
    (state / "builders").symlink_to(builders_with(*names))
    return state
