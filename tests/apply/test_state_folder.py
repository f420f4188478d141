"""The state folder: one controller at a time, and no leftovers of a killed one in its way."""

from __future__ import annotations

from pathlib import Path

import pytest

from muster.apply.state_folder import hold_state
from muster.kinds.errors import Refused, Unusable


@pytest.fixture
def state(tmp_path: Path) -> Path:
    (tmp_path / "state" / "keys").mkdir(parents=True)
    return tmp_path / "state"


def test_a_second_controller_is_refused(state: Path) -> None:
    """Two controllers on one folder would publish over each other; after the first ended, the next may start."""
    with hold_state(state), pytest.raises(Refused, match="another controller"), hold_state(state):
        pass
    with hold_state(state):
        pass


def test_what_is_no_state_folder_is_not_made_one(tmp_path: Path) -> None:
    """A mistyped path is told, not filled."""
    with pytest.raises(Unusable, match="not a controller's state folder"), hold_state(tmp_path / "nowhere"):
        pass
    assert not (tmp_path / "nowhere").exists()


def test_leftovers_are_cleared_and_nothing_else(state: Path) -> None:
    """A lock of a killed git, a build's folder and a half-written file go; refs, objects and records stay."""
    gone = ["repository.git/refs/heads/main.lock", "prepare-abc/x", "store/sha256/ab/.incoming-1"]
    kept = ["repository.git/refs/heads/main", "store/sha256/ab/object", "public/metadata/timestamp.json"]
    for name in (*gone, *kept):
        (state / name).parent.mkdir(parents=True, exist_ok=True)
        (state / name).touch()
    with hold_state(state):
        assert [name for name in gone if (state / name).exists()] == []
        assert [name for name in kept if not (state / name).exists()] == []
