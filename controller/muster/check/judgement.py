"""Judgement: what became of a case. The one value that every report is made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from muster.check.change import Change
from muster.check.verdict import Verdict
from muster.kinds.policy import TierName
from muster.kinds.pull_request import PullRequest

Direction = Literal["forward", "back", "new", "leaves", "same"]


@dataclass(frozen=True)
class Row:
    """What happens to one model on one device class in one cohort.

    `now` and `then` are the releases on offer, newest first, with their ppm. `moved_ppm` is the share of the cohort
    whose devices change what they run; `devices` that many devices, where a controller was asked. `download` is bytes
    over all of them (or for one device that moves, where their number is unknown).
    """

    model: str
    device_class: str
    cohort: str
    now: tuple[tuple[str, int], ...]
    then: tuple[tuple[str, int], ...]
    moved_ppm: int
    devices: int | None
    direction: Direction
    download: int
    tier: TierName


@dataclass(frozen=True)
class NeededApproval:
    """An approval that the change needs: for what, by whom it may be given, who has given it.

    `rule`, `subject` and `tier` are those of the verdict that it ends in. `possible` is False if fewer people exist
    than are needed, whoever approves.
    """

    what: str
    by: tuple[str, ...]
    count: int
    given: tuple[str, ...]
    rule: str = "approval/path"
    subject: str = ""
    tier: TierName | None = None
    why: str = ""
    possible: bool = True

    @property
    def complete(self) -> bool:
        """True if enough people approved."""
        return len(self.given) >= self.count


@dataclass(frozen=True)
class Judgement:
    """`notes` are sentences that everybody should read: that rollback rules apply, that no controller was asked."""

    change: Change
    request: PullRequest
    rows: tuple[Row, ...]
    verdicts: tuple[Verdict, ...]
    approvals: tuple[NeededApproval, ...]
    notes: tuple[str, ...] = ()

    @property
    def outcome(self) -> Literal["pass", "blocked", "no-change"]:
        """Blocked if any verdict blocks; no-change if nothing that Muster knows differs and nothing is wrong."""
        if any(verdict.blocks for verdict in self.verdicts):
            return "blocked"
        return "pass" if self.change.items or self.verdicts else "no-change"

    @property
    def exit_code(self) -> int:
        """0 pass, 1 blocked. That a change could not be judged at all is an error, not a judgement."""
        return 1 if self.outcome == "blocked" else 0
