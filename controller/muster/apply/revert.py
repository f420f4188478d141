"""The revert: a commit that makes git say what a suspension did.

A revert that would not pass the checks (a class left without a model, a file that no longer fits the others) is not
made: the suspension holds, and a person is told why.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from muster.apply.identity import Identity
from muster.kinds.errors import Refused
from muster.kinds.release import Release
from muster.plan.planner import Revert
from muster.source.git import Repository
from muster.source.load import Loader
from muster.source.revert import plan_revert, reaching_nobody


@dataclass(frozen=True)
class Reverter:
    """Where reverts are committed, and by whom."""

    repository: Repository
    loader: Loader
    identity: Identity

    def commit(self, action: Revert, release: Release, head: str, trailer: str, at: datetime) -> str:
        """Commit on top of `head`, without moving any branch. The same input gives the same commit.

        Where the file as it was before does not fit the others any more (a newer release supersedes this one), it
        stays, and reaches nobody. Raises `Refused` if that does not pass the checks either.
        """
        revert = plan_revert(self.repository, head, action.path, action.reason)
        nobody = reaching_nobody(self.repository, head, release, action.path)
        message = f"{revert.message.rstrip()}\n\n{trailer}\n"
        refusals = []
        for changes in (revert.changes, {action.path: nobody}):
            commit = self.repository.commit_files(head, changes, message, self.identity.author, at)
            try:
                self.loader.commit(self.repository, commit).fleet_or_refuse(f"the revert of {action.release}")
            except Refused as refusal:
                refusals.append(refusal)
            else:
                return commit
        raise refusals[0]

    def push(self, commit: str, head: str) -> None:
        """Move the branch from `head` to the revert. Raises `Refused` if it moved on, `TryAgain` if nobody answers."""
        self.repository.push(commit, self.identity.branch, expected=head)

    def is_in(self, commit: str, head: str) -> bool:
        """True if the branch at `head` holds the commit."""
        return self.repository.git("merge-base", "--is-ancestor", commit, head).code == 0
