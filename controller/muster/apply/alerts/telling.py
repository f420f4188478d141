"""What the loop says to people, written in the transaction of what it tells of. It never holds the loop up: components
that cannot be read leave an alert without them.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, func, select

from muster.apply.alerts import making
from muster.apply.alerts.alert import Alert
from muster.apply.alerts.conditions import tell_conditions
from muster.apply.alerts.making import Ground
from muster.apply.alerts.outbox import put, standing
from muster.kinds.components import Components
from muster.kinds.errors import MusterError
from muster.kinds.fleet import Fleet
from muster.observe.storage import outcomes
from muster.plan.conditions import Condition, condition
from muster.plan.guardrails import Verdict
from muster.plan.world import Suspension
from muster.source.documents import documents_at
from muster.source.git import Repository

REVERT_PATIENCE: Final = timedelta(minutes=1)
"""A branch that moved on meanwhile is nothing to tell; one that does not take the revert for so long is."""


class Telling:
    """Makes alerts and puts them into the outbox. `ground` is called before a transaction, the others within one."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._known: tuple[str, Components | None] | None = None

    def ground(self, fleet: Fleet, generation: int, now: datetime) -> Ground:
        """What alerts are made against. It reads git where the commit is another one."""
        return Ground(fleet, self._components(fleet.commit), generation, now)

    def suspended(
        self, connection: Connection, ground: Ground, suspension: Suspension, verdicts: Iterable[Verdict] = ()
    ) -> None:
        """A release was suspended. Owners are told by the error codes that devices reported."""
        known = _with_codes(connection, ground, suspension.release)
        self._put(connection, known, making.of_suspension(known, suspension, making.measured_by(verdicts)))

    def reverted(self, connection: Connection, ground: Ground, suspension: Suspension, commit: str) -> None:
        """The revert is on the branch."""
        known = _with_codes(connection, ground, suspension.release)
        self._put(connection, known, making.of_revert(known, suspension, commit))

    def held_up(self, connection: Connection, ground: Ground, suspension: Suspension, error: MusterError) -> None:
        """The revert could not be made or pushed."""
        if ground.now - suspension.at >= REVERT_PATIENCE:
            self._put(connection, ground, making.of_held_up_revert(ground, suspension, error.message, error.hint))

    def lifted(self, connection: Connection, ground: Ground, suspension: Suspension, why: str) -> None:
        """A suspension is over."""
        self._put(connection, ground, making.of_lift(ground, suspension, why))

    def advanced(
        self, connection: Connection, ground: Ground, release: str, said: tuple[str, str], verdicts: Iterable[Verdict]
    ) -> None:
        """A release goes to more devices. `said`: summary and action."""
        measured = making.measured_by(verdicts)
        self._put(
            connection, ground, making.of_decision(ground, "ReleaseAdvanced", release, said, measured, ground.now)
        )

    def not_prepared(self, connection: Connection, ground: Ground, release: str | None, pins: str, why: str) -> None:
        """An artifact is not prepared."""
        self._put(connection, ground, making.of_preparation(ground, release, pins, why))

    def conditions(self, connection: Connection, ground: Ground, found: Iterable[Condition]) -> None:
        """What the loop says of itself, with the times since when it holds."""
        tell_conditions(connection, found, ground)

    def _put(self, connection: Connection, ground: Ground, alert: Alert) -> None:
        put(connection, alert, ground.fleet.channels, ground.now)

    def _components(self, commit: str | None) -> Components | None:
        if commit is None:
            return None
        if self._known is None or self._known[0] != commit:
            try:
                self._known = commit, documents_at(self._repository, commit).documents.components
            except MusterError:
                self._known = commit, None
        return self._known[1]


def alerts_delivered(connection: Connection, now: datetime, generation: int) -> Condition:
    """Whether people are told what they are to be told."""
    found = standing(connection, now)
    reason, message = "Delivered", f"{found.waiting} deliveries are on their way"
    if found.late:
        reason, message = "AlertsLate", f"{found.late} deliveries wait for longer than a quarter of an hour"
    if found.dead:
        reason, message = "DeadLetters", f"{found.dead} deliveries were given up: see muster alerts dead"
    return condition(
        "AlertsDelivered",
        holds=not (found.late or found.dead),
        reason=reason,
        message=message,
        now=now,
        generation=generation,
    )


def _with_codes(connection: Connection, ground: Ground, release: str) -> Ground:
    rows = connection.execute(
        select(outcomes.c.error_code, func.count())
        .where(outcomes.c.release == release, outcomes.c.error_code.is_not(None))
        .group_by(outcomes.c.error_code)
    )
    return Ground(ground.fleet, ground.components, ground.generation, ground.now, {row[0]: row[1] for row in rows})
