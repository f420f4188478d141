"""A commit is read as git stores it, within bounds."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

import pytest

from muster.kinds.errors import Refused, Unusable
from muster.source.git import MAX_COMMIT, Repository
from scratch_repository import commit_all

RepositoryWith = Callable[[Mapping[str, str | bytes]], Repository]


def test_a_raw_commit_is_what_its_id_is_made_from(repository_with: RepositoryWith) -> None:
    """Byte for byte: nothing is decoded, stripped or added."""
    repository = repository_with({"a": "1"})
    commit = commit_all(repository.path, "subject\n\nbody with caf\u00e9\n\n\n")
    raw = repository.raw_commit(commit)
    assert hashlib.sha1(b"commit %d\0" % len(raw) + raw).hexdigest() == commit
    assert raw.endswith("body with café\n".encode())


def test_only_commits_are_read(repository_with: RepositoryWith) -> None:
    """A revision, an unknown id and a tree are refused with the way out."""
    repository = repository_with({"a": "1"})
    tree = repository.git("rev-parse", "HEAD^{tree}").text
    for name in ("HEAD", "--batch", "0" * 40, tree):
        with pytest.raises(Unusable):
            repository.raw_commit(name)


def test_a_huge_commit_is_refused(repository_with: RepositoryWith) -> None:
    """Past the bound nothing is held in memory."""
    repository = repository_with({"a": "1"})
    tree = repository.git("rev-parse", "HEAD^{tree}").text
    raw = f"tree {tree}\nauthor A <a@b> 0 +0000\ncommitter A <a@b> 0 +0000\n\n".encode() + b"x" * MAX_COMMIT
    huge = repository.git("hash-object", "-t", "commit", "-w", "--stdin", given=raw).text
    with pytest.raises(Refused):
        repository.raw_commit(huge)
