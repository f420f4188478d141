"""Who commits: the person whose git this is, found without letting the configuration do anything else."""

from __future__ import annotations

import os
from pathlib import Path

from muster.source.git import Repository
from muster.source.git_program import run_git


def author(repository: Repository, otherwise: str) -> str:
    """The committer, "Name <address>": of the environment, the repository's or the user's settings, or `otherwise`."""
    name = os.environ.get("GIT_AUTHOR_NAME") or _setting(repository, "user.name")
    address = os.environ.get("GIT_AUTHOR_EMAIL") or _setting(repository, "user.email")
    if not name or not address or set("<>\n\r\0") & set(name + address) or " " in address:
        return otherwise
    return f"{name} <{address}>"


def _setting(repository: Repository, key: str) -> str | None:
    own = repository.git("config", "--local", "--get", key)
    if own.code == 0:
        return own.text
    home = Path(os.environ.get("HOME") or "/nonexistent")
    further = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config") / "git" / "config"
    for file in (home / ".gitconfig", further):
        if file.is_file():
            answer = run_git(["config", "--file", str(file), "--includes", "--get", key], repository.path)
            if answer.code == 0:
                return answer.text
    return None
