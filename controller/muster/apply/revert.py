"""The revert: a commit that makes git say what a suspension did.

A revert that would not pass the checks (a class left without a model, a file that no longer fits the others) is not
made: the suspension holds, and a person is told why.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from muster.apply.commits import CommitSigner
from muster.apply.identity import Identity
from muster.plan.planner import Revert
from muster.source.git import Repository
from muster.source.load import Loader
from muster.source.revert import plan_revert, write_revert


@dataclass(frozen=True)
class Reverter:
    """Where reverts are committed, and by whom."""

    repository: Repository
    loader: Loader
    identity: Identity
    signer: CommitSigner

    def commit(self, action: Revert, head: str, trailer: str, at: datetime) -> str:
        """Commit, signed, on top of `head`, without moving any branch. The same input gives the same commit.

        Raises `Refused` if the result does not pass the checks.
        """
        revert = plan_revert(self.repository, head, action.path, action.reason)
        entered = replace(revert, message=f"{revert.message.rstrip()}\n\n{trailer}\n")
        written = write_revert(self.repository, self.loader, entered, head, self.identity.author, at)
        return self.signer.sign(self.repository, written.commit)

    def push(self, commit: str, head: str) -> None:
        """Move the branch from `head` to the revert. Raises `Refused` if it moved on, `TryAgain` if nobody answers."""
        self.repository.push(commit, self.identity.branch, expected=head)

    def is_in(self, commit: str, head: str) -> bool:
        """True if the branch at `head` holds the commit."""
        return self.repository.git("merge-base", "--is-ancestor", commit, head).code == 0
