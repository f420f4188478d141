"""Decisions, as events: a verdict enters the ledger when it is another one than before.

Verdicts are judged at every tick, and mostly say the same; entering each would bury those that matter. What was decided
before a restart is read back from the ledger.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, select

from muster.apply import ledger
from muster.observe.storage import ledger as rows
from muster.observe.storage import writing
from muster.plan.describe import as_json

NOTHING_YET = "undecided"
"""The outcome that is not worth an event while nothing else was ever decided."""


@dataclass(frozen=True)
class Decision:
    """What was decided of what, and the record that it was decided on."""

    subject: str
    outcome: str
    record: Mapping[str, Any]


class Decisions:
    """Enters what changed."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._outcomes: dict[str, str] | None = None

    def enter(self, decisions: Iterable[Decision], commit: str, now: datetime) -> None:
        """Enter the decisions whose outcome is not the one before."""
        known = self._known()
        new = [one for one in decisions if known.get(one.subject, NOTHING_YET) != one.outcome]
        if not new:
            return
        with writing(self._engine) as connection:
            for one in new:
                body = {
                    "subject": one.subject,
                    "outcome": one.outcome,
                    "before": known.get(one.subject),
                    "commit": commit,
                    "record": exact(as_json(one.record)),
                }
                ledger.append(connection, "decided", f"decided:{one.subject}:{now.isoformat()}", body, now)
        known |= {one.subject: one.outcome for one in new}

    def _known(self) -> dict[str, str]:
        if self._outcomes is None:
            wanted = select(rows.c.body).where(rows.c.event == "decided").order_by(rows.c.sequence)
            with self._engine.connect() as connection:
                self._outcomes = {body["subject"]: body["outcome"] for (body,) in connection.execute(wanted)}
        return self._outcomes


def exact(value: Any) -> Any:
    """The value with its floats as text: canonical JSON, which digests are taken of, has none."""
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, Mapping):
        return {key: exact(item) for key, item in value.items()}
    return [exact(item) for item in value] if isinstance(value, list | tuple) else value
