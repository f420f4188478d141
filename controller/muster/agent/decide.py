"""What to do next, for one model: a pure function of the journal's state and the desired document.

It does not load, fetch, write or look at a clock. Rules:

1. A halted release is left at once, if there is a kept one to go to.
2. What was never declared for the device stays, where its class says so (see `plan.drift`).
3. The first entry that fits and is not quarantined here is the one to run.
4. What is kept is returned to without a download.
5. Nothing desired, or nothing left to try: what runs keeps running.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from muster.agent.journal import ModelState, Slot
from muster.kinds.desired import DesiredDocument, Entry
from muster.kinds.digest import version_key
from muster.plan.assignment import choose, without
from muster.plan.drift import Runs, keeps


@dataclass(frozen=True)
class Keep:
    """Nothing to do. `problem`: why not, if something else would have been expected."""

    problem: Literal["nothing_desired", "quarantined", "undeclared"] | None = None


@dataclass(frozen=True)
class Return:
    """Run a kept slot. `recalled`: the release that is left for it was halted or superseded by an older one.

    `proven`: it needs no health window, for it is older than what runs and was confirmed here once.
    """

    slot: Slot
    recalled: bool
    proven: bool


@dataclass(frozen=True)
class Stage:
    """Fetch, verify and try an entry. `recalled` as in `Return`, once it runs."""

    entry: Entry
    recalled: bool


Decision = Keep | Return | Stage


def decide(state: ModelState, document: DesiredDocument, device_id: str, labels: Mapping[str, str]) -> Decision:
    """The next step."""
    halted = {halt.artifact for halt in document.halted}
    running = state.running
    refuge = state.confirmed if state.trial else state.previous
    if running and running.artifact in halted and refuge and _is_refuge(refuge, running, halted):
        return Return(refuge, recalled=True, proven=True)
    if running and document.drift and (action := keeps(document.drift, _runs(running))):
        return Keep("undeclared") if action == "Warn" else Keep()
    entry = choose(without(document, state.quarantine), device_id, labels)
    if entry is None:
        return Keep("quarantined" if choose(document, device_id, labels) else "nothing_desired")
    if running and running.artifact == entry.artifact.digest:
        return Keep()
    older = running is not None and is_older(entry, running.entry)
    recalled = running is not None and (older or running.artifact in halted)
    kept = next((slot for slot in (state.confirmed, state.previous) if slot and _is(slot, entry)), None)
    if kept is None:
        return Stage(entry, recalled)
    # The confirmed slot under a trial is what the device trusts most; a newer one must show itself again.
    return Return(kept, recalled or kept == state.confirmed, proven=older or kept == state.confirmed)


def is_older(entry: Entry, other: Entry) -> bool:
    """True if the version of `entry` comes before that of `other`."""
    return version_key(entry.version) < version_key(other.version)


def _runs(slot: Slot) -> Runs:
    return Runs(slot.entry.model_hash, slot.entry.config_version, slot.entry.runtime_version)


def _is_refuge(slot: Slot, running: Slot, halted: set[str]) -> bool:
    """A newer slot is kept only because it was recalled before."""
    return slot.artifact not in halted and is_older(slot.entry, running.entry)


def _is(slot: Slot, entry: Entry) -> bool:
    return slot.artifact == entry.artifact.digest
