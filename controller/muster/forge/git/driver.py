"""The driver for plain git: a branch is the pull request, its commit messages are its text, notes are its reviews.

Authors of commits are told by nobody but themselves, so everyone whose address stands in one is an author here, and
none of them approves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from muster.forge.forge import MARKER, MOST_COMMITS, Capabilities, CheckRun, CommitStatus, Forge, Proposed
from muster.forge.git.approvals import signed_approvals
from muster.forge.git.notes import STATUSES, VERDICTS, read_note, replace_note
from muster.kinds.errors import Refused, Unusable
from muster.kinds.fleet import Fleet
from muster.kinds.owners import Owners
from muster.kinds.pull_request import ProposedCommit, PullRequest
from muster.source.git import Repository
from muster.source.git_program import printable

_FORM = "--format=tformat:%H%x00%ae%x00%s%x00%b"
_LARGEST_LOG = 4 * 2**20


@dataclass(frozen=True)
class _Message:
    commit: str
    address: str
    subject: str
    body: str


class PlainGit(Forge):
    """`reference` for `read` is BASE..HEAD, or HEAD alone with `base` as its base; each is any revision."""

    name = "git"
    # Notes are shown in a pager, where a report of this size is long already.
    capabilities = Capabilities(comment_bytes=256 * 1024, annotations=False, narrowed_approvals=True)

    def __init__(
        self,
        repository: Repository,
        fleet_at: Callable[[str], Fleet],
        now: Callable[[], datetime],
        base: str = "main",
    ) -> None:
        """`fleet_at` loads the fleet of a commit; owners and keys are read from that of the base only."""
        self._repository = repository
        self._fleet_at = fleet_at
        self._now = now
        self._base = base

    def _read(self, reference: str) -> PullRequest:
        base, _, head = reference.rpartition("..")
        tip = self._repository.resolve(head)
        trunk = self._repository.resolve(base.removesuffix(".") or self._base)
        messages = self._messages(trunk, tip)
        fleet = self._fleet_at(trunk)
        authors = [_login(message.address, fleet.owners) for message in messages]
        wrote = {author.casefold() for author in authors}
        approvals = signed_approvals(self._repository, tip, fleet.owners, fleet.signing_keys)
        return PullRequest(
            base=trunk,
            head=tip,
            author=authors[-1] if authors else None,
            title=messages[-1].subject if messages else "",
            body="\n\n".join(message.body for message in messages if message.body),
            approvals=tuple(approval for approval in approvals if approval.by.casefold() not in wrote),
            commits=tuple(
                ProposedCommit(message.commit, author) for message, author in zip(messages, authors, strict=True)
            ),
            forge=self.name,
        )

    def _messages(self, base: str, head: str) -> tuple[_Message, ...]:
        """The commits that the head has and the base has not, oldest first."""
        answer = self._repository.git(
            "log",
            "-z",
            "--no-color",
            "--no-notes",
            "--reverse",
            "--topo-order",
            f"--max-count={MOST_COMMITS + 1}",
            _FORM,
            "--end-of-options",
            f"{base}..{head}",
            limit=_LARGEST_LOG,
        )
        if answer.code != 0:
            raise Unusable(f"cannot read the history of {head}: {answer.reason}", "fetch it first")
        fields = answer.output.decode(errors="replace").split("\0")
        found = tuple(_message(fields[start : start + 4]) for start in range(0, len(fields) - 3, 4))
        if len(found) > MOST_COMMITS:
            raise Refused(f"the change has more than {MOST_COMMITS} commits", "squash its commits, or split it")
        return found

    def _post_checks(self, request: PullRequest, runs: Sequence[CheckRun]) -> None:
        _, report = self._shown(request)
        lines = [f"{run.conclusion:<8} {printable(run.name)}: {printable(run.title)}" for run in runs]
        self._show(request, "\n".join(lines), report)

    def _post_comment(self, request: PullRequest, body: str) -> None:
        checks, _ = self._shown(request)
        self._show(request, checks, body.removesuffix(MARKER).strip("\n"))

    def _post_status(self, commit: str, status: CommitStatus) -> None:
        if self._repository.git("cat-file", "-e", f"{commit}^{{commit}}").code != 0:
            raise Unusable(f"{commit} is no commit of this repository", "fetch it first")
        lines = read_note(self._repository, STATUSES, commit).splitlines()
        # Neither text holds a tab: both are printable.
        kept = [line for line in lines if line and line.split("\t")[1:2] != [status.context]]
        text = "\n".join([*kept, f"{status.state}\t{status.context}\t{status.description}"])
        replace_note(self._repository, STATUSES, commit, f"{text}\n", self._now())

    def _propose(self, proposed: Proposed) -> str:
        """The branch is the pull request, and its commit says why."""
        self._repository.resolve(f"refs/heads/{proposed.branch}")
        return proposed.branch

    def _withdraw(self, branch: str) -> None:
        """With its branch, it is gone."""

    def _shown(self, request: PullRequest) -> tuple[str, str]:
        """What stands in the note: check runs, and the report."""
        try:
            note = read_note(self._repository, VERDICTS, request.head)
        except Refused:
            # Somebody made it huge; it is ours to replace.
            note = ""
        checks, _, report = note.partition(f"{MARKER}\n")
        return checks.strip("\n"), report.strip("\n")

    def _show(self, request: PullRequest, checks: str, report: str) -> None:
        text = f"{checks}\n\n{MARKER}\n{report}\n"
        replace_note(self._repository, VERDICTS, request.head, text, self._now())


def from_repository(repository: Repository, now: Callable[[], datetime], base: str = "main") -> PlainGit:
    """The driver for a repository whose commits declare a fleet."""
    from muster.source.load import Loader

    loader = Loader()

    def fleet_at(commit: str) -> Fleet:
        # People and keys are all that is asked of it.
        return loader.part(repository, commit, (), ()).fleet_or_refuse("the base")

    return PlainGit(repository, fleet_at, now, base)


def _message(fields: Sequence[str]) -> _Message:
    commit, address, subject, body = fields
    return _Message(commit.strip(), address, subject, body.strip())


def _login(address: str, owners: Owners | None) -> str:
    """The login that the base knows the address by, else the address."""
    people = owners.spec.people if owners else ()
    wanted = address.casefold()
    for person in people:
        if any(known.casefold() == wanted for known in person.addresses):
            return person.login
    return address
