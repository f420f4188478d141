"""What a DDI client should do next: a pure function of the published documents and of what it did so far.

Nothing is written to start, widen or stop a rollout: what a client should run is computed by `plan.assignment`, as on a
device with Muster's own agent. Only what a client itself began is on record.

Ids of actions derive from generations. The id is that at which the release came on offer, or the one above the client's
newest if that is not above it already (a way back; a second model): so ids of a client only rise, and none means two
things. An id that no client asked for the details of is nowhere on record.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

from muster.kinds.ddi_feedback import State
from muster.kinds.desired import DesiredDocument, Entry
from muster.kinds.digest import version_key
from muster.kinds.phases import Phase
from muster.plan.assignment import bucket, choose, without
from muster.plan.maintenance import next_switch, turn_of

LARGEST_ID: Final = 2**31 - 1
"""SWUpdate reads ids as signed 32 bits."""

CANCEL_PATIENCE: Final = timedelta(hours=1)
"""How long a client may be silent about an action before what it should do instead is offered to it all the same."""

_CONFIRMED: Final[frozenset[Phase]] = frozenset({"confirmed", "healthy"})

SPREAD_PERCENT: Final = 20
LONGEST_SLEEP: Final = timedelta(hours=23, minutes=59, seconds=59)
_MILLION: Final = 1_000_000


@dataclass(frozen=True)
class Who:
    """A client: its id, its labels, and on whose clocks its maintenance windows are read."""

    device_id: str
    labels: Mapping[str, str]
    zone: tzinfo = UTC


@dataclass(frozen=True)
class Action:
    """An action that a client asked for the details of. `phase` is the last that was counted; `begun`: the client said
    something of it since, and may have put the file in place.
    """

    action_id: int
    model: str
    release: str
    artifact: str
    since: int
    generation: int
    state: State
    phase: Phase
    touched: datetime
    begun: bool = False


@dataclass(frozen=True)
class Deploy:
    """Install this entry. `generation` is that of the document which names it."""

    action_id: int
    model: str
    entry: Entry
    generation: int


@dataclass(frozen=True)
class Cancel:
    """Give up what is under way: it is not wanted any more."""

    action_id: int


def next_step(
    documents: Sequence[DesiredDocument],
    who: Who,
    actions: Sequence[Action],
    packaged: Collection[str],
    now: datetime,
) -> Deploy | Cancel | None:
    """What a client should do. `actions` run from the oldest to the newest; `packaged` are the artifacts that there is
    a package of.
    """
    failed = failures(actions)
    wanted = [
        (document, entry)
        for document in sorted(documents, key=lambda one: one.model)
        if (entry := choose(without(document, failed), who.device_id, who.labels)) is not None
    ]
    newest = actions[-1] if actions else None
    if newest is not None and newest.state == "open":
        for document, entry in wanted:
            if (document.model, entry.artifact.digest) == (newest.model, newest.artifact):
                return Deploy(newest.action_id, document.model, entry, document.generation)
        if now - newest.touched < CANCEL_PATIENCE:
            return Cancel(newest.action_id)
    for document, entry in wanted:
        digest = entry.artifact.digest
        action_id = next_id(entry.since, newest)
        before = last_installed(actions, document.model)
        if digest not in packaged or (before and before.artifact == digest) or action_id > LARGEST_ID:
            continue
        if not _waits(document, entry, before, who, now):
            return Deploy(action_id, document.model, entry, document.generation)
    return None


def _waits(document: DesiredDocument, entry: Entry, before: Action | None, who: Who, now: datetime) -> bool:
    """True until window and turn let the client switch. As on a device with the agent, only what is newer than what
    runs waits: not a way back, not what leaves a halted release, and not a device of which nobody knows what it has.
    """
    if before is None or before.artifact in {halt.artifact for halt in document.halted}:
        return False
    if version_key(entry.version) < version_key(before.release.partition("/")[2]):
        return False
    mine = turn_of(document.disruption, who.device_id, who.labels) if document.disruption else 0
    return next_switch(document.maintenance, document.disruption, mine, now, who.zone) > now


def next_id(since: int, newest: Action | None) -> int:
    """The id of the action after `newest`, for an entry that is on offer since that generation."""
    return max(since, newest.action_id + 1) if newest else since


def last_installed(actions: Sequence[Action], model: str) -> Action | None:
    """The action that installed what is on the client's disk, as far as it said; None if that cannot be known.

    After a failure it cannot: the file may be the old one or the new one. So is it with what was never answered for,
    and with what was cancelled after it began: SWUpdate agrees to that with the new file in place, too.
    """
    for place in range(len(actions) - 1, -1, -1):
        action = actions[place]
        if action.model == model and (action.begun or action.state != "cancelled"):
            return action if action.state == "installed" else None
    return None


def failures(actions: Sequence[Action]) -> dict[str, int]:
    """{artifact: up to which generation its entry does not count}, as the agent's own quarantine.

    What ran on the client and was confirmed there is no worse for an installation that fails later on, as when the
    connection breaks on the way back to it: it is offered again. If it ran again and did harm then, it counts.
    """
    failed: dict[str, int] = {}
    confirmed: set[str] = set()
    for action in actions:
        if action.state == "installed" and action.phase in _CONFIRMED:
            confirmed.add(action.artifact)
        ran = action.phase != "failed"
        if action.state == "failed" and (ran or action.artifact not in confirmed):
            failed[action.artifact] = max(failed.get(action.artifact, 0), action.since)
    return failed


def sleep(device_id: str, interval: timedelta) -> timedelta:
    """The pause between two polls, in whole seconds: the interval and up to 10 % less or more, always the same for a
    device, so that a fleet that was started at once spreads out, and an unchanged answer is the same bytes.
    """
    offset = bucket("ddi-sleep/v1", device_id) - _MILLION // 2
    spread = interval * SPREAD_PERCENT * offset / (100 * _MILLION)
    return max(timedelta(seconds=1), min(LONGEST_SLEEP, timedelta(seconds=round((interval + spread).total_seconds()))))
