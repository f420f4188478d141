"""Where a verb's commit goes: onto the branch that is checked out, or onto a new one for a pull request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from muster.kinds.errors import Refused

if TYPE_CHECKING:
    from muster.source.git import Repository

_Command = TypeVar("_Command", bound=Callable[..., Any])


def branch_option(command: _Command) -> _Command:
    """Add `--branch NAME` to a verb that commits."""
    return click.option(
        "--branch", help="Commit onto this new branch, for a pull request, instead of the branch that is checked out."
    )(command)


@dataclass(frozen=True)
class Target:
    """The branch to commit to. `head` is what the commit stands on."""

    name: str
    head: str
    is_new: bool

    def move(self, repository: Repository, commit: str) -> None:
        """Make the commit the branch's newest. Raises `Refused` if the branch moved on, or is there already."""
        if not self.is_new:
            repository.advance(commit, self.name, self.head)
            return
        nothing = "0" * len(commit)
        answer = repository.git("update-ref", f"refs/heads/{self.name}", commit, nothing)
        if answer.code != 0:
            raise Refused(f"cannot make branch {self.name}: {answer.reason}", "name another branch")


def target_of(repository: Repository, new: str | None) -> Target:
    """The current branch, or the new one. Raises `Refused` for a branch that is there, or if HEAD is on none."""
    from muster.source.git import check_branch

    branch = repository.branch()
    if branch is None:
        raise Refused("HEAD is not on a branch", "git switch to the branch that the fleet is declared on")
    head = repository.resolve("HEAD")
    if new is None:
        return Target(branch, head, is_new=False)
    if repository.git("rev-parse", "--verify", "--quiet", f"refs/heads/{check_branch(new)}").code == 0:
        raise Refused(f"branch {new} is there already", "name another branch")
    return Target(new, head, is_new=True)
