"""What the controller knows of its field, as far as pull requests are judged by it. Read only.

Guardrails are those of the loop's last tick: what it decides by is what is told, or two answers could differ.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine

from muster.apply.published_steps import PublishedSteps
from muster.apply.suspensions import load_suspensions
from muster.artifacts.store import Store
from muster.kinds.desired import OrderedCohort
from muster.kinds.errors import TryAgain
from muster.kinds.field_state import FieldState, GuardrailFact
from muster.observe.cohort_counts import cohort_counts
from muster.observe.status import read_status
from muster.plan.world import Published

COUNTS_KEPT_SECONDS = 60
_WORST = ("harm", "cannot-tell", "undecided", "no-worse")


class FieldView:
    """Answers from storage, published files and the artifact store.

    Counting devices takes a second or two per million; it is done once in `COUNTS_KEPT_SECONDS` while cohorts stay.
    """

    def __init__(
        self,
        engine: Engine,
        published: Callable[[], Published],
        store: Store,
        patience: timedelta,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._published = published
        self._store = store
        self._patience = patience
        self._timer = timer
        self._steps = PublishedSteps()
        self._counting = threading.Lock()
        self._counted: tuple[float, Any, dict[tuple[str, str], int]] | None = None

    def state(self, now: datetime) -> FieldState:
        """What is known now. Raises `TryAgain` while the loop is late: its verdicts would be old ones."""
        published = self._published()
        with self._engine.connect() as connection:
            loop = read_status(connection, "loop")
            at = datetime.fromisoformat(loop["at"]) if loop else None
            if at is None or now - at > self._patience:
                said = f"since {at.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if at else "yet"
                raise TryAgain(f"the loop has not finished a tick {said}", "look at the controller's log")
            return FieldState(
                at=at,
                devices=self._devices(connection, _cohorts(published)),
                guardrails=_guardrails(read_status(connection, "plan") or {}),
                steps=self._steps.steps(connection),
                stored=self._stored(connection, published),
                suspended=frozenset(load_suspensions(connection)),
            )

    def _devices(
        self, connection: Connection, cohorts: Mapping[str, Sequence[OrderedCohort]]
    ) -> dict[tuple[str, str], int]:
        with self._counting:
            now = self._timer()
            if self._counted and self._counted[1] == cohorts and now - self._counted[0] < COUNTS_KEPT_SECONDS:
                return self._counted[2]
            counts = cohort_counts(connection, cohorts)
            # From the end of counting on: it may take longer than what is counted is kept.
            self._counted = (self._timer(), cohorts, counts)
            return counts

    def _stored(self, connection: Connection, published: Published) -> frozenset[str]:
        """Of all artifacts that were ever declared, those that are in the store or published; bytes are not read."""
        declared = {pins["artifact"] for pins in (read_status(connection, "releases") or {}).values()}
        return frozenset(digest for digest in declared if digest in published.artifacts or self._store.has(digest))


def _cohorts(published: Published) -> dict[str, Sequence[OrderedCohort]]:
    """Device class → its cohorts, by the newest of its documents."""
    newest = sorted(published.documents.items(), key=lambda item: item[1].generation)
    return {device_class: document.cohorts for (_, device_class), document in newest}


def _guardrails(plan: Mapping[str, Any]) -> dict[str, tuple[GuardrailFact, ...]]:
    """The worst stratum of each class decides. What only warns keeps nothing from advancing."""
    worst: dict[tuple[str, str, str], GuardrailFact] = {}
    for said in plan.get("verdicts", ()):
        if said["severity"] != "halt":
            continue
        fact = GuardrailFact(said["deviceClass"], said["guardrail"], said["outcome"], said["reason"])
        key = (said["release"], fact.device_class, fact.guardrail)
        if key not in worst or _WORST.index(fact.outcome) < _WORST.index(worst[key].outcome):
            worst[key] = fact
    found: dict[str, tuple[GuardrailFact, ...]] = {}
    for (release, _, _), fact in worst.items():
        found[release] = (*found.get(release, ()), fact)
    return found
