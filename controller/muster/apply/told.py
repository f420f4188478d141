"""What the loop tells the ledger beside the steps of a plan: commits, approvals, and decisions that changed."""

from __future__ import annotations

import contextlib
from datetime import datetime

from sqlalchemy import Engine

from muster.apply import ledger
from muster.apply.approvals_seen import approvals_seen
from muster.apply.decisions import Decision, Decisions
from muster.kinds.errors import MusterError, Unusable
from muster.kinds.fleet import Fleet
from muster.observe.storage import writing
from muster.plan.describe import as_json
from muster.plan.guardrails import Verdict
from muster.plan.planner import Plan
from muster.source.git import Repository
from muster.source.load import Loader


class Told:
    """Enters each thing once."""

    def __init__(self, engine: Engine, repository: Repository, loader: Loader) -> None:
        self._engine = engine
        self._repository = repository
        self._loader = loader
        self._decisions = Decisions(engine)
        self._refused: str | None = None

    def approvals(self, fleet: Fleet, previous: str | None) -> list[dict[str, str]]:
        """The approvals of what came in with a commit, since the one that was declared before."""
        # A history that cannot be read must not keep a commit from being declared.
        with contextlib.suppress(Unusable):
            base = self._loader.commit(self._repository, previous).fleet if previous else None
            return approvals_seen(self._repository, base or fleet, fleet.commit or "")
        return []

    def refused(self, branch: str, reason: str, now: datetime) -> None:
        """The newest commit of the branch is not valid, once for each commit. Nothing, if there is no such commit."""
        try:
            commit = self._repository.resolve(branch)
        except MusterError:
            return
        if commit == self._refused:
            return
        with writing(self._engine) as connection:
            body = {"commit": commit, "reason": reason[:2_000]}
            ledger.append(connection, "declaration-refused", f"declaration-refused:{commit}", body, now)
        self._refused = commit

    def decided(self, plan: Plan, now: datetime) -> None:
        """The verdicts of a plan."""
        decisions = [Decision(_subject(one), one.outcome, as_json(one)) for one in plan.verdicts]
        self._decisions.enter(decisions, plan.commit, now)


def _subject(verdict: Verdict) -> str:
    where = f"{verdict.device_class} ({verdict.stratum})" if verdict.stratum else verdict.device_class
    return f"{verdict.guardrail} ({verdict.against}) of {verdict.release} in {where}"
