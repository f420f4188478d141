"""A forge in memory: change it with plain assignments, dump it with `dump`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from muster.forge.forge import Capabilities, CheckRun, CommitStatus, Forge, Proposed
from muster.kinds.errors import Unusable
from muster.kinds.pull_request import Approval, PullRequest


@dataclass
class SimulatedForge(Forge):
    """`requests` by reference; `checks` by (head, name), `statuses` by (commit, context); one comment each."""

    requests: dict[str, PullRequest] = field(default_factory=dict)
    checks: dict[tuple[str, str], CheckRun] = field(default_factory=dict)
    comments: dict[str, str] = field(default_factory=dict)
    statuses: dict[tuple[str, str], CommitStatus] = field(default_factory=dict)
    branches: set[str] = field(default_factory=set)
    proposed: dict[str, Proposed] = field(default_factory=dict)
    """Open pull requests of ours, by branch."""
    name: str = "simulated"
    capabilities: Capabilities = field(default=Capabilities(65_535, annotations=True, narrowed_approvals=True))

    def approve(self, reference: str, approval: Approval) -> None:
        """Somebody approves; the same approval again changes nothing."""
        request = self.requests[reference]
        others = [given for given in request.approvals if (given.by, given.of) != (approval.by, approval.of)]
        self.requests[reference] = replace(request, approvals=(*others, approval))

    def dump(self) -> str:
        """Everything that was posted, for a person to read."""
        checks = [f"{head[:8]} {name}: {run.conclusion}: {run.title}" for (head, name), run in self.checks.items()]
        return "\n".join([*checks, *self.comments.values()])

    def _propose(self, proposed: Proposed) -> str:
        if proposed.branch not in self.branches:
            raise Unusable("no such branch", "add it to `branches`")
        self.proposed.setdefault(proposed.branch, proposed)
        return f"#{sorted(self.branches).index(proposed.branch) + 1}"

    def _withdraw(self, branch: str) -> None:
        self.proposed.pop(branch, None)

    def _read(self, reference: str) -> PullRequest:
        if reference not in self.requests:
            raise Unusable("no such pull request", "add it to `requests`")
        request = self.requests[reference]
        given = tuple(approval for approval in request.approvals if approval.by != request.author)
        return replace(request, approvals=given, forge=self.name)

    def _post_checks(self, request: PullRequest, runs: Sequence[CheckRun]) -> None:
        self.checks.update({(request.head, run.name): run for run in runs})

    def _post_status(self, commit: str, status: CommitStatus) -> None:
        if commit not in {one for request in self.requests.values() for one in (request.base, request.head)}:
            raise Unusable("no such commit", "add a request that has it")
        self.statuses[commit, status.context] = status

    def _post_comment(self, request: PullRequest, body: str) -> None:
        reference = next(name for name, known in self.requests.items() if known.head == request.head)
        self.comments[reference] = body
