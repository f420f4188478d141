"""Fixtures of this folder: repositories to read from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from muster.source.git import Repository
from scratch_repository import repository_of


@pytest.fixture
def repository_with(tmp_path: Path) -> Callable[[Mapping[str, str | bytes]], Repository]:
    """Make a repository whose first commit holds these files."""

    def make(files: Mapping[str, str | bytes]) -> Repository:
        return repository_of(tmp_path / "origin", files)

    return make
