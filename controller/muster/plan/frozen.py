"""Freezes that hold a model up in a cohort, and until when.

Deny beats allow; of several allowed windows, one open is enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from muster.kinds.freeze import Freeze
from muster.plan.schedules import Timeline, timeline

_MOST_SHIFTS: Final = 1_000


@dataclass(frozen=True)
class Frozen:
    """What holds something up, and the moment from which on nothing does (None: not foreseen)."""

    names: tuple[str, ...]
    reason: str
    lifts_at: datetime | None


def frozen(freezes: Sequence[Freeze], model: str, cohort: str, now: datetime) -> Frozen | None:
    """None if nothing holds the model up there now. A freeze that cannot be read holds up, with no end in sight."""
    deny, allow = meant(freezes, "deny", model, cohort), meant(freezes, "allow", model, cohort)
    try:
        lines = {freeze.metadata.name: timeline(freeze.spec, now) for freeze in (*deny, *allow)}
    except ValueError as error:
        names = tuple(freeze.metadata.name for freeze in (*deny, *allow))
        return Frozen(names, f"a freeze cannot be read: {error}", None)
    holding = tuple(freeze for freeze in deny if lines[freeze.metadata.name].at(now))
    if not holding and allow and not any(lines[freeze.metadata.name].at(now) for freeze in allow):
        holding = allow
    if not holding:
        return None
    moment = lifts_at([lines[one.metadata.name] for one in deny], [lines[one.metadata.name] for one in allow], now)
    return Frozen(
        tuple(one.metadata.name for one in holding), "; ".join(one.spec.reason for one in holding)[:500], moment
    )


def meant(freezes: Sequence[Freeze], effect: str, model: str, cohort: str) -> tuple[Freeze, ...]:
    """The freezes of this effect that are about the model and the cohort."""
    return tuple(
        freeze
        for freeze in freezes
        if freeze.spec.effect == effect
        and (not freeze.spec.models or model in freeze.spec.models)
        and (not freeze.spec.cohorts or cohort in freeze.spec.cohorts)
    )


def lifts_at(deny: Sequence[Timeline], allow: Sequence[Timeline], now: datetime) -> datetime | None:
    """The first moment from `now` on in which no denial is open, and an allowed window is, if there are any."""
    moment: datetime | None = now
    horizon = min(line.until for line in (*deny, *allow))
    for _ in range(_MOST_SHIFTS):
        if moment is None or moment > horizon:
            return None
        ends = [window.ends for line in deny if (window := line.at(moment))]
        if ends:
            moment = max(ends)
        elif allow and not any(line.at(moment) for line in allow):
            moment = min((begin for line in allow if (begin := line.next_begin(moment))), default=None)
        else:
            return moment
    return None
