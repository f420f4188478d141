"""Forge: where a change is proposed, reviewed and answered. One interface, one conformance suite.

Rules every driver keeps:
- What a forge says about people counts only as far as the forge vouches for it: the *state* of a review does, its text
  does not, because others may edit it.
- An approval is bound to one commit, and the author never gives one.
- A comment is sticky: posting again edits the comment that this same author left, found by a hidden line.
- Posting is safe to repeat. Only Muster's own errors come out, and never a secret in one of them.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from muster.forge.cut import cut_markdown
from muster.kinds.errors import Unusable
from muster.kinds.pull_request import PullRequest
from muster.source.git import check_branch
from muster.source.git_program import printable

MARKER: Final = "<!-- muster:check -->"
"""A line of its own in every comment of ours; no reader of the comment sees it."""
MOST_RUNS: Final = 250
LONGEST_DESCRIPTION: Final = 140
LONGEST_CONTEXT: Final = 100
LONGEST_TITLE: Final = 200
MOST_COMMITS: Final = 250
"""A change with more commits is refused: GitHub lists no more, and what is not listed was not judged."""

Conclusion = Literal["success", "neutral", "failure"]
Level = Literal["notice", "warning", "failure"]
State = Literal["success", "pending", "failure", "error"]

_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


@dataclass(frozen=True)
class Annotation:
    """A remark on one line of a file at the head; lines count from 1. `message` is plain text."""

    path: str
    line: int
    level: Level
    message: str
    title: str = ""


@dataclass(frozen=True)
class CheckRun:
    """What came of one gate, or of all. `summary` is Markdown in which hostile text has no effect any more."""

    name: str
    conclusion: Conclusion
    title: str
    summary: str
    annotations: tuple[Annotation, ...] = ()


@dataclass(frozen=True)
class CommitStatus:
    """What a commit is shown with under a context; posted again, the new one is shown. `description` is plain text."""

    context: str
    state: State
    description: str


@dataclass(frozen=True)
class Capabilities:
    """What a forge can show. `comment_bytes`: larger comments are cut, so a report does better to cut by itself.

    `narrowed_approvals`: whether approvals of one thing ("checklist/<item>") can be given there.
    """

    comment_bytes: int
    annotations: bool
    narrowed_approvals: bool


@dataclass(frozen=True)
class Proposed:
    """A branch that is to be merged into another one. `title` is plain text, `body` is shown as it is written."""

    branch: str
    base: str
    title: str
    body: str


class Forge(ABC):
    """One repository on one forge. Drivers write the methods with an underscore."""

    name: str
    capabilities: Capabilities

    def read(self, reference: str) -> PullRequest:
        """The pull request that `reference` names, as it stands now.

        Raises `Unusable` if there is none, `Refused` if it is too large to be judged, `TryAgain` if it changes at this
        moment or nobody answers.
        """
        return self._read(reference)

    def post_checks(self, request: PullRequest, runs: Sequence[CheckRun]) -> None:
        """Show these runs at the head, in this order. Raises `Unusable` (not allowed to), `TryAgain`."""
        _check_head(request)
        names = [run.name for run in runs]
        if len(runs) > MOST_RUNS or len(set(names)) != len(names):
            raise Unusable(
                f"{len(runs)} check runs with {len(set(names))} names",
                f"give each a name of its own, {MOST_RUNS} at most",
            )
        self._post_checks(request, runs)

    def post_comment(self, request: PullRequest, markdown: str) -> None:
        """Show the report instead of the one posted before. Raises `Unusable` (not allowed to), `TryAgain`."""
        _check_head(request)
        text = "\n".join(line for line in markdown.split("\n") if line.strip() != MARKER).strip("\n")
        room = self.capabilities.comment_bytes - len(MARKER) - 2
        self._post_comment(request, f"{cut_markdown(text, room)}\n\n{MARKER}")

    def post_status(self, commit: str, status: CommitStatus) -> None:
        """Show this status on a commit. Raises `Unusable` (no such commit, not allowed to), `TryAgain`."""
        if not _COMMIT.fullmatch(commit):
            raise Unusable("a status needs a full commit id", "name the commit by its 40 or 64 letters")
        context, text = printable(status.context)[:LONGEST_CONTEXT], printable(status.description)
        shown = text if len(text) <= LONGEST_DESCRIPTION else f"{text[: LONGEST_DESCRIPTION - 1]}…"
        self._post_status(commit, CommitStatus(context, status.state, shown))

    def propose(self, proposed: Proposed) -> str:
        """Open a pull request for a branch that is there, or find the open one again; what the forge calls it.

        Raises `Unusable` (no such branch, not allowed to), `TryAgain`.
        """
        for branch in (proposed.branch, proposed.base):
            check_branch(branch)
        title = printable(proposed.title)
        shown = title if len(title) <= LONGEST_TITLE else f"{title[: LONGEST_TITLE - 1]}…"
        body = cut_markdown(proposed.body, self.capabilities.comment_bytes)
        return self._propose(Proposed(proposed.branch, proposed.base, shown, body))

    def withdraw(self, branch: str) -> None:
        """Close the open pull request of a branch, if there is one. The branch itself is git's to take away.

        Raises `Unusable` (not allowed to), `TryAgain`.
        """
        self._withdraw(check_branch(branch))

    @abstractmethod
    def _propose(self, proposed: Proposed) -> str: ...

    @abstractmethod
    def _withdraw(self, branch: str) -> None: ...

    @abstractmethod
    def _read(self, reference: str) -> PullRequest: ...

    @abstractmethod
    def _post_checks(self, request: PullRequest, runs: Sequence[CheckRun]) -> None: ...

    @abstractmethod
    def _post_status(self, commit: str, status: CommitStatus) -> None: ...

    @abstractmethod
    def _post_comment(self, request: PullRequest, body: str) -> None:
        """`body` fits, and its last line is the marker."""


def has_marker(body: str) -> bool:
    """True if the hidden line stands in a comment."""
    return any(line.strip() == MARKER for line in body.split("\n"))


def _check_head(request: PullRequest) -> None:
    if not _COMMIT.fullmatch(request.head):
        raise Unusable("the head of the pull request is no full commit id", "read the pull request from the forge")
