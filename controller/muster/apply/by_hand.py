"""Suspending and resuming by hand: who, why and until when, in the ledger and in force from the next tick on.

- A suspension without an end is like a guardrail's: devices leave the release, its artifact is on hold, and the revert
  is committed.
- One with an end leaves git as it is, holds nothing, and ends by itself.
- A guardrail's suspension is resumed only by who says so explicitly.
- What is resumed is offered under a new generation, and judged by what devices show from there on. Its hold is
  forgotten: to resume is to offer it again on purpose.

Everything here runs in the caller's transaction, so that the brake and its record are one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from muster.apply import holds, ledger, suspensions
from muster.kinds.errors import Refused
from muster.kinds.hold import Hold
from muster.kinds.moment import utc_text
from muster.observe.status import read_status
from muster.plan.world import GUARDRAIL, Published, Suspension

LONGEST = timedelta(days=366)


@dataclass(frozen=True)
class ByHand:
    """What a person asks for. `who` is "Name <address>", as that person says; `why` is for everybody to read."""

    release: str
    who: str
    why: str


def suspend_by_hand(
    connection: Connection, asked: ByHand, until: datetime | None, published: Published, now: datetime
) -> Suspension:
    """Put a release on hold, until a moment or (None) for good.

    Raises `Refused` for a release that is not declared or is suspended for good, and for an end that is past.
    """
    artifact = _artifact_of(connection, asked.release)
    if until is not None and not now < until <= now + LONGEST:
        raise Refused(f"{utc_text(until)} is past, or more than a year away", "leave out the end to suspend for good")
    held = suspensions.load_suspensions(connection).get(asked.release)
    if held is not None and held.until is None:
        raise Refused(
            f"{asked.release} is suspended already: {_said(held)}", f"to end that: muster resume {asked.release}"
        )
    suspension = Suspension(
        asked.release, asked.why, now, asked.who, until=until, since=_on_offer(asked.release, held, published)
    )
    if until is None:
        suspensions.suspend(connection, suspension)
        declared: dict[str, Any] = read_status(connection, "declared") or {}
        halted = Hold(
            artifact, asked.release, f"suspended by {asked.who}: {asked.why}"[:2_000], declared.get("commit", "")
        )
        holds.hold(connection, halted, now)
    else:
        suspensions.suspend_for_a_time(connection, suspension)
    body = {
        "release": asked.release,
        "reason": asked.why,
        "by": asked.who,
        "until": utc_text(until) if until else None,
        "generation": published.generation,
    }
    ledger.append(connection, "suspended", f"suspended:{asked.release}:{now.isoformat()}", body, now)
    return suspension


def resume_by_hand(
    connection: Connection, asked: ByHand, published: Published, now: datetime, *, over_guardrail: bool
) -> Suspension:
    """End every suspension of a release; the one that held.

    Raises `Refused` if there is none, or if it is a guardrail's and that was not said explicitly.
    """
    held = suspensions.load_suspensions(connection).get(asked.release)
    if held is None:
        raise Refused(
            f"{asked.release} is not suspended",
            "if git took it back, revert that commit: muster history shows it",
        )
    if held.by == GUARDRAIL and not over_guardrail:
        raise Refused(
            f"{asked.release} is suspended by a guardrail: {_said(held)}",
            "to offer it again all the same, and have it judged anew: --over-guardrail",
        )
    suspensions.lift(connection, asked.release)
    if held.until is None:
        holds.forget(connection, [_artifact_of(connection, asked.release)], now)
    suspensions.record_resumption(connection, asked.release, published.generation, now)
    body = {
        "release": asked.release,
        "reason": asked.why,
        "by": asked.who,
        "generation": published.generation,
        "ended": {"by": held.by, "reason": held.reason, "at": held.at.isoformat(), "revert": held.revert},
    }
    ledger.append(connection, "resumed", f"resumed:{asked.release}:{now.isoformat()}", body, now)
    return held


def _said(held: Suspension) -> str:
    return f"by {held.by} since {utc_text(held.at)}: {held.reason}"


def _artifact_of(connection: Connection, release: str) -> str:
    """The digest of what a release names. Raises `Refused` for one that was never declared."""
    declared: dict[str, Any] = read_status(connection, "releases") or {}
    if release not in declared:
        known = ", ".join(sorted(declared)[-10:]) or "none yet"
        raise Refused(f"the controller knows no release {release}", f"it knows {known}")
    return str(declared[release]["artifact"])


def _on_offer(release: str, held: Suspension | None, published: Published) -> dict[str, int]:
    """Device class → the generation at which the release had come on offer; as before, if it is on hold already."""
    if held is not None and held.since:
        return dict(held.since)
    return {
        device_class: entry.since
        for (_, device_class), document in published.documents.items()
        for entry in document.entries
        if entry.release == release
    }
