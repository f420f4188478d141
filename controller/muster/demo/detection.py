"""How the field failure was found: the verdict of harm on its numbers, and the ticks from there to the revert commit.

All of it is the ledger's and the loop's own record. A tick in which the daemon is killed ends nothing and is counted
only if it left an event.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from muster.kinds.errors import Unusable

MOST_TICKS: Final = 2
"""Within so many ticks the revert is committed; the tick that first holds the verdict is the first of them."""


@dataclass(frozen=True)
class Detection:
    """`failed` of `tried` devices; with the declared error, no smaller share than `lower` fails.

    `evidence` is what a bet on harm would have multiplied its stake by; from `needed` on it is harm.
    """

    at: datetime
    stratum: str
    guardrail: str
    failed: int
    tried: int
    limit: str
    lower: str
    evidence: int
    needed: int
    ticks: int

    def lines(self) -> list[str]:
        """For people."""
        return [
            f"verdict: harm by {self.guardrail} in {self.stratum}",
            f"{self.failed} of {self.tried} devices failed: at least {self.lower}, the limit is {self.limit}",
            f"evidence {self.evidence} to 1, needed {self.needed} to 1",
            f"ticks from the verdict to the revert commit: {self.ticks}",
        ]


def detection(events: Iterable[Mapping[str, Any]], ticks: Iterable[str], release: str) -> Detection:
    """From the ledger and the times of ticks. Raises `Unusable` if no verdict of harm or no revert is in it."""
    listed = list(events)
    harm = next((one for one in listed if one["event"] == "decided" and _is_harm(one["body"]["record"], release)), None)
    reverted = next((one for one in listed if one["event"] == "reverted" and one["body"]["release"] == release), None)
    if harm is None or reverted is None:
        raise Unusable(f"the ledger holds no verdict of harm about {release}, or no revert of it")
    verdict = harm["body"]["record"]
    record = verdict["record"]
    sample = record["candidate"]
    return Detection(
        at=datetime.fromisoformat(harm["at"]),
        stratum=f"{verdict['deviceClass']}, {verdict['stratum']}",
        guardrail=verdict["guardrail"],
        failed=sample["failed"],
        tried=sample["judged"] + sample["pending"] + sample["missing"],
        limit=_percent(record["boundary"]),
        lower=_percent(record["lower"]),
        evidence=_odds(record["evidence"]["harm"]),
        needed=_odds(record["needed"]["harm"]),
        ticks=_ticks(harm["at"], reverted["at"], ticks),
    )


def _is_harm(verdict: Mapping[str, Any], release: str) -> bool:
    return bool(verdict["release"] == release and verdict["outcome"] == "harm")


def _ticks(first: str, last: str, ticks: Iterable[str]) -> int:
    """Ticks from the one to the other, both included."""
    start, end = datetime.fromisoformat(first), datetime.fromisoformat(last)
    between = {moment for moment in map(datetime.fromisoformat, ticks) if start <= moment <= end}
    return len({start, end} | between)


def _odds(logarithm: str) -> int:
    return round(math.exp(float(logarithm)))


def _percent(share: str | None) -> str:
    return "an unknown share" if share is None else f"{float(share) * 100:.3g} %"
