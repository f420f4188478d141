"""One wheelhouse and one state folder with both environments, made once per run of the tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from meter_example import ROOT, filled_store
from muster.build.hermetic.lock import BuilderLock, read_lock
from muster.build.hermetic.run import hermetic_run
from muster.build.hermetic.vendor import vendor
from muster.kinds.errors import TryAgain

LOCKS = ("onnxruntime-1.30", "onnxruntime-1.31")


@pytest.fixture(scope="session")
def locks() -> dict[str, BuilderLock]:
    """The locks of this repository by name."""
    return {name: read_lock((ROOT / f"builders/{name}.lock").read_bytes(), name) for name in LOCKS}


@pytest.fixture(scope="session")
def wheelhouse(tmp_path_factory: pytest.TempPathFactory, locks: dict[str, BuilderLock]) -> Path:
    """The wheels of both locks."""
    folder = tmp_path_factory.mktemp("wheelhouse")
    for lock in locks.values():
        try:
            vendor(lock, folder)
        except TryAgain as error:
            pytest.skip(f"needs a package registry: {error.message[:200]}")
    return folder


@pytest.fixture(scope="session")
def state(tmp_path_factory: pytest.TempPathFactory, wheelhouse: Path, locks: dict[str, BuilderLock]) -> Path:
    """A state folder with both environments, and a store with what the example's builds start from."""
    folder = tmp_path_factory.mktemp("state")
    filled_store(folder / "store")
    for name, lock in locks.items():
        assert hermetic_run(lock.data, name, folder, wheelhouse=wheelhouse).environment.made
    return folder
