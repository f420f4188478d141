"""The driver for GitHub: one repository, with the token of whoever runs it."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import httpx

from muster.forge.forge import MOST_COMMITS, Capabilities, CheckRun, CommitStatus, Forge, Proposed, has_marker
from muster.forge.github.address import PUBLIC, Address
from muster.forge.github.answers import (
    CommentAnswer,
    CommitAnswer,
    FileAnswer,
    MadeAnswer,
    PullAnswer,
    RefAnswer,
    ReviewAnswer,
    User,
    parse,
)
from muster.forge.github.check_payloads import payloads
from muster.forge.github.client import Client, Clock, NotAllowed
from muster.forge.github.event import reference_of
from muster.forge.github.reviews import approvals_of
from muster.kinds.errors import Refused, TryAgain, Unusable
from muster.kinds.pull_request import ProposedCommit, PullRequest
from muster.source.git_program import printable

MOST_FILES = 10_000
ACTIONS_LOGIN = "github-actions[bot]"
"""Who comments with the token of a workflow; that token may not ask for its own name."""

_REPOSITORY = re.compile(r"[A-Za-z0-9-]{1,100}/(?!\.{1,2}$)[A-Za-z0-9._-]{1,100}")
_NUMBER = re.compile(r"#?([1-9][0-9]{0,9})")
_RUN = re.compile(r"([A-Za-z0-9][A-Za-z0-9_-]{0,99}):([^\x00-\x20\x7f]{1,255})@([0-9a-f]{40}(?:[0-9a-f]{24})?)")
_PAGES = 100
_Item = TypeVar("_Item")


class GitHub(Forge):
    """`reference` is the pull request that the surroundings name, for `read`; "" where they name none."""

    name = "github"
    capabilities = Capabilities(comment_bytes=65_535, annotations=True, narrowed_approvals=False)

    def __init__(
        self, client: Client, repository: str, reference: str = "", login: str = "", otherwise: str = ""
    ) -> None:
        """`login`: who posts with this token, if known; `otherwise`: who it is, if the token may not ask.

        Raises `Unusable` for a bad repository.
        """
        if not _REPOSITORY.fullmatch(repository):
            raise Unusable(
                f"not a repository on GitHub: {printable(repository)[:200]!r}", "set GITHUB_REPOSITORY to OWNER/NAME"
            )
        self._client = client
        self._repository = repository
        self._login = login
        self._otherwise = otherwise
        self.reference = reference

    def files(self, request: PullRequest) -> tuple[FileAnswer, ...]:
        """What GitHub says that changes, 10,000 files at most. Git tells the truth; this tells what reviewers saw.

        GitHub itself lists no more than 3,000. Raises `Refused` above 10,000.
        """
        return tuple(self._list(list[FileAnswer], f"{self._at('pulls', _number(request))}/files", MOST_FILES // 100))

    def _read(self, reference: str) -> PullRequest:
        path = self._at("pulls", self._find(reference or self.reference))
        pull = parse(PullAnswer, self._client.get(path))
        if pull.commits > MOST_COMMITS:
            raise Refused(
                f"the pull request has {pull.commits} commits, and GitHub lists only {MOST_COMMITS} of them",
                "squash its commits, or split it",
            )
        branch = quote(f"heads/{pull.base.ref}", safe="")
        # The base that GitHub notes at the pull request is the one of its last push; the branch has moved on.
        base = parse(RefAnswer, self._client.get(self._at("git", "ref", branch))).object.sha
        commits = self._list(list[CommitAnswer], f"{path}/commits", 3)
        if pull.head.sha not in {commit.sha for commit in commits}:
            raise TryAgain("the pull request was pushed to while it was read", "run it again for the new head")
        reviews = self._list(list[ReviewAnswer], f"{path}/reviews", _PAGES)
        return PullRequest(
            base=base,
            head=pull.head.sha,
            author=pull.user.login if pull.user else None,
            title=pull.title,
            body=pull.body or "",
            number=pull.number,
            approvals=approvals_of(reviews, pull.user),
            commits=tuple(ProposedCommit(commit.sha, commit.written_by) for commit in commits),
            forge=self.name,
        )

    def _post_checks(self, request: PullRequest, runs: Sequence[CheckRun]) -> None:
        for run in runs:
            made: int | None = None
            for body in payloads(run, request.head):
                if made is None:
                    # Created twice, the newer one is shown.
                    answer = self._client.send("POST", self._at("check-runs"), body, repeatable=True)
                    made = parse(MadeAnswer, answer).id
                else:
                    self._client.send("PATCH", self._at("check-runs", str(made)), body, repeatable=False)

    def _post_comment(self, request: PullRequest, body: str) -> None:
        mine = self._own_login().casefold()
        listed = f"{self._at('issues', _number(request))}/comments"
        for page in self._client.pages(listed, _PAGES):
            for comment in parse(list[CommentAnswer], page):
                if comment.user and comment.user.login.casefold() == mine and has_marker(comment.body or ""):
                    if comment.body != body:
                        path = self._at("issues", "comments", str(comment.id))
                        self._client.send("PATCH", path, {"body": body}, repeatable=True)
                    return
        self._client.send("POST", listed, {"body": body}, repeatable=False)

    def _post_status(self, commit: str, status: CommitStatus) -> None:
        body = {"state": status.state, "context": status.context, "description": status.description}
        # Posted twice, the newer one of its context is shown.
        self._client.send("POST", self._at("statuses", commit), body, repeatable=True)

    def _propose(self, proposed: Proposed) -> str:
        found = self._open_pulls(proposed.branch)
        if not found:
            body = {"title": proposed.title, "body": proposed.body, "head": proposed.branch, "base": proposed.base}
            # One that got lost on the way may have been opened; the next attempt finds it.
            found = [parse(PullAnswer, self._client.send("POST", self._at("pulls"), body, repeatable=False))]
        return f"#{found[0].number}"

    def _withdraw(self, branch: str) -> None:
        for pull in self._open_pulls(branch):
            path = self._at("pulls", str(pull.number))
            self._client.send("PATCH", path, {"state": "closed"}, repeatable=True)

    def _open_pulls(self, branch: str) -> list[PullAnswer]:
        """Of the repository's own branch; a fork may have one of the same name."""
        owner = self._repository.partition("/")[0]
        answer = self._client.get(self._at("pulls"), state="open", head=f"{owner}:{branch}", per_page=100)
        return [pull for pull in parse(list[PullAnswer], answer) if pull.head.ref == branch]

    def _find(self, reference: str) -> str:
        """The number, as text."""
        number = _NUMBER.fullmatch(reference)
        if number:
            return number[1]
        run = _RUN.fullmatch(reference)
        if run is None:
            raise Unusable(
                f"not a pull request: {printable(reference)[:200]!r}", "name it by its number, or run it in a workflow"
            )
        answer = self._client.get(self._at("pulls"), state="open", head=f"{run[1]}:{run[2]}", per_page=100)
        found = [pull for pull in parse(list[PullAnswer], answer) if pull.head.sha == run[3]]
        if len(found) != 1:
            raise Unusable(
                f"{len(found) or 'no'} open pull requests have the head {run[3]}",
                "after a newer push, its own run judges it; close all but one where there are several",
            )
        return str(found[0].number)

    def _own_login(self) -> str:
        if not self._login:
            try:
                self._login = parse(User, self._client.get("/user")).login
            except NotAllowed as error:
                if self._otherwise:
                    self._login = self._otherwise
                    return self._login
                raise Unusable(
                    "GitHub does not tell whose token this is",
                    "set MUSTER_GITHUB_LOGIN to the login that comments with it, such as NAME[bot] for an app",
                ) from error
        return self._login

    def _list(self, kind: type[list[_Item]], path: str, pages: int) -> list[_Item]:
        return [item for page in self._client.pages(path, pages) for item in parse(kind, page)]

    def _at(self, *parts: str) -> str:
        return f"/repos/{self._repository}/{'/'.join(parts)}"


def from_environment(environ: Mapping[str, str], transport: httpx.BaseTransport | None = None) -> GitHub:
    """The driver as a workflow's surroundings set it up.

    Reads GITHUB_TOKEN, GITHUB_REPOSITORY, GITHUB_API_URL (default: the public one), GITHUB_EVENT_PATH if it is set, and
    MUSTER_GITHUB_LOGIN. Raises `Unusable`.
    """
    repository = environ.get("GITHUB_REPOSITORY", "")
    clock = Clock(time.time, time.sleep)
    address = Address.of(environ.get("GITHUB_API_URL") or PUBLIC)
    client = Client(address, environ.get("GITHUB_TOKEN", ""), clock, transport)
    event = environ.get("GITHUB_EVENT_PATH")
    reference = reference_of(Path(event), repository) if event else ""
    otherwise = ACTIONS_LOGIN if environ.get("GITHUB_ACTIONS") == "true" else ""
    return GitHub(client, repository, reference, environ.get("MUSTER_GITHUB_LOGIN", ""), otherwise)


def _number(request: PullRequest) -> str:
    if request.number is None:
        raise Unusable("the pull request has no number", "read it from GitHub first")
    return str(request.number)
