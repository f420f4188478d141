"""The example's 1.2.0 beside its source and 1.1.0, built once for all tests of measuring."""

from __future__ import annotations

import pytest

from meter_example import LOCK, filled_store, release
from muster.artifacts.store import Store
from muster.build.measuring.subject import Subject, load_subject
from muster.build.pipeline import build_release


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """With 1.1.0 and 1.2.0 built. Nothing is taken out of it."""
    filled = filled_store(tmp_path_factory.mktemp("measured"))
    for version in ("1.1.0", "1.2.0"):
        assert build_release(release(version), filled, LOCK).difference is None
    return filled


@pytest.fixture(scope="session")
def subject(store: Store) -> Subject:
    return load_subject(release("1.2.0"), release("1.1.0"), store, LOCK)
