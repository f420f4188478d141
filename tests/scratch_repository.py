"""Scratch repositories, made with the git program as a user would."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from muster.source.git import Repository, make_repository


def git(folder: Path, *arguments: str, given: bytes = b"") -> str:
    """Run git as a user would, with a fixed identity and time."""
    identity = {
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "Ada",
        "GIT_AUTHOR_EMAIL": "ada@example.org",
        "GIT_COMMITTER_NAME": "Ada",
        "GIT_COMMITTER_EMAIL": "ada@example.org",
        "GIT_AUTHOR_DATE": "@1700000000 +0000",
        "GIT_COMMITTER_DATE": "@1700000000 +0000",
        "PATH": os.environ["PATH"],
    }
    done = subprocess.run(["git", *arguments], cwd=folder, env=identity, input=given, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip()


def write(folder: Path, files: Mapping[str, str | bytes]) -> None:
    """Write files below a folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def repository_of(folder: Path, files: Mapping[str, str | bytes]) -> Repository:
    """A new repository whose first commit, on main, holds these files."""
    folder.mkdir()
    repository = make_repository(folder, "main")
    write(folder, files)
    commit_all(folder, "first")
    return repository


def commit_all(folder: Path, message: str = "change") -> str:
    """Commit everything in the work tree; the new commit's id."""
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "--allow-empty", "-m", message)
    return git(folder, "rev-parse", "HEAD")
