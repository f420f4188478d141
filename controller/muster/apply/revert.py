"""The revert: a commit that makes git say what a suspension did.

A revert that would not pass the checks (a class left without a model, a file that no longer fits the others) is not
made: the suspension holds, and a person is told why.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from muster.apply.identity import Identity
from muster.kinds.errors import Refused
from muster.plan.planner import Revert
from muster.source.git import Repository
from muster.source.load import Loader
from muster.source.revert import plan_revert


@dataclass(frozen=True)
class Reverter:
    """Where reverts are committed, and by whom."""

    repository: Repository
    loader: Loader
    identity: Identity

    def commit(self, action: Revert, head: str, trailer: str, at: datetime) -> tuple[str, list[str]]:
        """Commit on top of `head` and push; the new commit and the commits that it takes back.

        Raises `Refused` if the result does not pass the checks or the branch moved on, `TryAgain` if the repository
        does not answer.
        """
        revert = plan_revert(self.repository, head, action.path, action.reason)
        message = f"{revert.message.rstrip()}\n\n{trailer}\n"
        commit = self.repository.commit_files(head, revert.changes, message, self.identity.author, at)
        loaded = self.loader.commit(self.repository, commit)
        if loaded.fleet is None:
            first = next(finding for finding in loaded.findings if finding.severity == "error")
            raise Refused(f"the revert of {action.release} would not pass `muster check`: {first.message}", first.hint)
        self.repository.push(commit, self.identity.branch, expected=head)
        return commit, [taken.commit for taken in revert.reverted]
