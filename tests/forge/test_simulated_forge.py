"""The forge in memory keeps the rules of every forge, so that tests may trust it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from forge_conformance import AUTHOR, BODY, TITLE, ForgeConformance
from simulated_forge import SimulatedForge

from muster.kinds.pull_request import Approval, ProposedCommit, PullRequest


class MemorySite:
    def __init__(self) -> None:
        self.forge = SimulatedForge()
        self.reference = "7"
        commits = (ProposedCommit("1" * 40, AUTHOR), ProposedCommit("2" * 40, AUTHOR))
        self.forge.requests["7"] = PullRequest("b" * 40, "2" * 40, AUTHOR, TITLE, BODY, 7, (), commits)

    def heads(self) -> tuple[str, str]:
        return self.forge.requests["7"].base, self.forge.requests["7"].head

    def approve(self, person: str) -> None:
        at = datetime(2026, 11, 21, tzinfo=UTC)
        self.forge.approve("7", Approval(person, self.heads()[1], at))

    def withdraw(self, person: str) -> None:
        request = self.forge.requests["7"]
        left = tuple(approval for approval in request.approvals if approval.by != person)
        self.forge.requests["7"] = replace(request, approvals=left)

    def push(self) -> None:
        request = self.forge.requests["7"]
        commits = (*request.commits, ProposedCommit("3" * 40, AUTHOR))
        self.forge.requests["7"] = replace(request, head="3" * 40, commits=commits)

    def add_branch(self, branch: str) -> None:
        self.forge.branches.add(branch)

    def comments(self) -> list[str]:
        return list(self.forge.comments.values())

    def checks(self) -> dict[str, tuple[str, str]]:
        return {name: (run.conclusion, run.title) for (_, name), run in self.forge.checks.items()}

    def statuses(self, commit: str) -> dict[str, tuple[str, str]]:
        shown = {context: one for (at, context), one in self.forge.statuses.items() if at == commit}
        return {context: (one.state, one.description) for context, one in shown.items()}


class TestSimulatedForge(ForgeConformance):
    def make_site(self, folder: Path) -> MemorySite:  # noqa: ARG002 - it needs none
        return MemorySite()
