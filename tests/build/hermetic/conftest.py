"""One wheelhouse and one state folder with both environments, made once per run of the tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder_environments import NEWEST, OLDER, builder_lock, lend, wheelhouse_of
from meter_example import filled_store
from muster.build.hermetic.lock import BuilderLock


@pytest.fixture(scope="session")
def locks() -> dict[str, BuilderLock]:
    """The locks of this repository by name."""
    return {name: builder_lock(name) for name in (NEWEST, OLDER)}


@pytest.fixture(scope="session")
def wheelhouse() -> Path:
    """The wheels of both locks."""
    return wheelhouse_of(NEWEST, OLDER)


@pytest.fixture(scope="session")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder with both environments, and a store with what the example's builds start from."""
    folder = lend(tmp_path_factory.mktemp("state"), NEWEST, OLDER)
    filled_store(folder / "store")
    return folder
