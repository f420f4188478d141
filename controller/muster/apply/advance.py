"""Advancing: the commit that widens a rollout by one step, on the branch or as a proposal.

What is about to be pushed is written down first: after a crash between the push and the ledger, the commit is found on
the branch and entered once. A commit that never reached the branch is made anew from the next plan.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Engine

from muster.apply import ledger, suspensions
from muster.apply.alerts.making import Ground
from muster.apply.alerts.telling import Telling
from muster.apply.commits import CommitSigner
from muster.apply.decisions import exact
from muster.apply.identity import Identity
from muster.apply.proposals import Proposals
from muster.kinds.quantity import format_percent
from muster.observe.status import read_status, write_status
from muster.observe.storage import writing
from muster.plan.advance import Advance
from muster.plan.describe import as_json
from muster.plan.guardrails import Verdict
from muster.plan.planner import Plan
from muster.plan.proposals import Proposal
from muster.source.git import Repository
from muster.source.load import Loader
from muster.source.rollouts import with_share

_SUBJECT: Final = "advancing"


@dataclass(frozen=True)
class Advancer:
    """Where steps are committed, and by whom."""

    engine: Engine
    repository: Repository
    loader: Loader
    identity: Identity
    signer: CommitSigner
    telling: Telling
    proposals: Proposals

    def advance(self, action: Advance, plan: Plan, ground: Ground, now: datetime) -> None:
        """Commit the step, or propose it.

        Raises `Refused` if the result does not pass the checks or the branch moved on, `TryAgain` if nobody answers.
        """
        with self.engine.connect() as connection:
            if action.release in suspensions.load_suspensions(connection):
                # Somebody suspended it since the plan was made.
                return
        if action.way == "pull-request":
            wanted = Proposal(action.branch, action.release, "advance", "", cohort=action.cohort, after=action.after)
            made = self.proposals.make(
                wanted, lambda: self._commit(action, plan.commit, now), "its guardrails hold", now
            )
            self.signer.pushed(made.commit, now)
            return
        commit = self._commit(action, plan.commit, now)
        verdicts = [one for one in plan.verdicts if one.release == action.release]
        body = _body(action, commit, verdicts)
        with writing(self.engine) as connection:
            pending: dict[str, Any] = read_status(connection, _SUBJECT) or {}
            write_status(connection, _SUBJECT, {**pending, action.release: {**body, "at": now.isoformat()}}, now)
        self.repository.push(commit, self.identity.branch, expected=plan.commit)
        self._record(body, verdicts, ground, now)

    def settle(self, head: str, ground: Ground, now: datetime) -> None:
        """Enter what was pushed and not recorded."""
        with self.engine.connect() as connection:
            pending: Mapping[str, Any] = read_status(connection, _SUBJECT) or {}
        for kept in pending.values():
            if self.repository.git("merge-base", "--is-ancestor", kept["commit"], head).code == 0:
                body = {name: value for name, value in kept.items() if name != "at"}
                self._record(body, [], ground, now)

    def _commit(self, action: Advance, head: str, now: datetime) -> str:
        with self.engine.connect() as connection:
            chain = ledger.head(connection)
        edited = with_share(self.repository, head, action.path, action.cohort, action.after)
        message = f"{action.message}\nMuster-Ledger: {chain}\n"
        commit = self.repository.commit_files(head, {action.path: edited}, message, self.identity.author, now)
        self.loader.commit(self.repository, commit).fleet_or_refuse(f"the advance of {action.release}")
        return self.signer.sign(self.repository, commit)

    def _record(self, body: Mapping[str, Any], verdicts: list[Verdict], ground: Ground, now: datetime) -> None:
        self.signer.pushed(body["commit"], now)
        with writing(self.engine) as connection:
            if ledger.append(connection, "advanced", f"advanced:{body['release']}:{body['commit']}", body, now):
                self._tell(connection, body, verdicts, ground)
            pending: dict[str, Any] = read_status(connection, _SUBJECT) or {}
            pending.pop(body["release"], None)
            write_status(connection, _SUBJECT, pending, now)

    def _tell(self, connection: Connection, body: Mapping[str, Any], verdicts: list[Verdict], ground: Ground) -> None:
        moved = f"{body['cohort']} {body['before']} → {body['after']}"
        said = (f"{body['release']} goes to more devices: {moved}", f"committed {body['commit']}")
        self.telling.advanced(connection, ground, body["release"], said, verdicts)


def _body(action: Advance, commit: str, verdicts: list[Verdict]) -> dict[str, Any]:
    return {
        "release": action.release,
        "commit": commit,
        "cohort": action.cohort,
        "before": format_percent(action.before),
        "after": format_percent(action.after),
        "verdicts": exact(as_json(verdicts)),
    }
