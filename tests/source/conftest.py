"""Fixtures of this folder: repositories to read from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from muster.source.git import Repository, make_repository
from scratch_repository import commit_all, write


@pytest.fixture
def repository_with(tmp_path: Path) -> Callable[[Mapping[str, str | bytes]], Repository]:
    """Make a repository whose first commit holds these files."""

    def make(files: Mapping[str, str | bytes]) -> Repository:
        folder = tmp_path / "origin"
        folder.mkdir()
        repository = make_repository(folder, "main")
        write(folder, files)
        commit_all(folder, "first")
        return repository

    return make
