"""Proposals: what the controller wants in git, on a branch of its own, until people merge it.

A branch is pushed once. What is about to be pushed is written down first, so that after a crash the branch is known for
ours, and the forge, asked again, finds the pull request that is open already. A branch that others changed is theirs:
it is not taken away.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Engine

from muster.apply import ledger
from muster.apply.identity import Identity
from muster.forge.forge import Forge, Proposed
from muster.kinds.errors import Refused
from muster.observe.status import read_status, write_status
from muster.observe.storage import writing
from muster.plan.proposals import Proposal
from muster.source.git import Repository
from muster.source.git_remote import push_ref, tip_of

_SUBJECT: Final = "proposals"


def load_proposals(connection: Connection) -> dict[str, Proposal]:
    """Every proposal that was not merged or withdrawn, by branch."""
    said: Mapping[str, Any] = read_status(connection, _SUBJECT) or {}
    return {branch: Proposal(**proposal) for branch, proposal in said.items()}


@dataclass(frozen=True)
class Proposals:
    """Where proposals are made: the repository, and the forge, opened when it is asked."""

    engine: Engine
    repository: Repository
    identity: Identity
    open_forge: Callable[[], Forge]

    def make(self, wanted: Proposal, make_commit: Callable[[], str], reason: str, now: datetime) -> Proposal:
        """Push the branch and open the pull request; what is there already is found again.

        Raises `Refused` if somebody else's commit stands on the branch, `Unusable`, `TryAgain`.
        """
        with self.engine.connect() as connection:
            known = load_proposals(connection).get(wanted.branch)
        if known is not None and known.reference:
            return known
        reference = f"refs/heads/{wanted.branch}"
        tip = tip_of(self.repository, reference)
        if known is None or tip != known.commit:
            known = replace(wanted, commit=make_commit())
            self._keep(known, now)
            if not push_ref(self.repository, known.commit, reference, ""):
                raise Refused(
                    f"the branch {wanted.branch} holds something else than the controller's proposal",
                    "delete the branch; the controller then makes it anew",
                )
        # The mirror shows it before the next fetch.
        self.repository.git("update-ref", reference, known.commit)
        said = self.repository.log(None, 1, known.commit)[0]
        proposed = Proposed(wanted.branch, self.identity.branch, said.subject, said.body)
        made = replace(known, reference=self.open_forge().propose(proposed))
        with writing(self.engine) as connection:
            _write(connection, {**load_proposals(connection), made.branch: made}, now)
            body = {**asdict(made), "reason": reason}
            ledger.append(connection, "proposed", f"proposed:{made.branch}:{made.commit}", body, now)
        return made

    def withdraw(self, branch: str, reason: str, now: datetime) -> None:
        """Take the branch away and close the pull request. Without its branch, it cannot be merged any more."""
        with self.engine.connect() as connection:
            known = load_proposals(connection).get(branch)
        if known is None:
            return
        reference = f"refs/heads/{branch}"
        tip = tip_of(self.repository, reference)
        ours = not tip or (tip == known.commit and push_ref(self.repository, "", reference, tip))
        self.open_forge().withdraw(branch)
        with writing(self.engine) as connection:
            rest = {name: one for name, one in load_proposals(connection).items() if name != branch}
            _write(connection, rest, now)
            said = reason if ours else f"{reason}; the branch was changed by others, and stays"
            body = {"release": known.release, "branch": branch, "reference": known.reference, "reason": said}
            ledger.append(connection, "proposal-ended", f"proposal-ended:{branch}:{known.commit}", body, now)

    def _keep(self, proposal: Proposal, now: datetime) -> None:
        with writing(self.engine) as connection:
            _write(connection, {**load_proposals(connection), proposal.branch: proposal}, now)


def _write(connection: Connection, proposals: Mapping[str, Proposal], now: datetime) -> None:
    write_status(connection, _SUBJECT, {branch: asdict(one) for branch, one in proposals.items()}, now)
