"""Where counts for a guardrail come from: one interface, whatever stands behind it.

A source is asked for one reading of one release in one stratum, and answers with the devices of two arms: those that
have the release, and the concurrent control, those of the same stratum that are still on the superseded one. What it
cannot tell, it says; an answer that is missing is never a good one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from muster.kinds.guardrails import GUARDRAIL_KINDS
from muster.kinds.phases import TRIED
from muster.plan.tallies import BY_PHASE, CODE, MISSING, PHASE, RECALLED, Cell, Tally

_YES_OR_NO = frozenset(metric for metric, kind in GUARDRAIL_KINDS.items() if kind.shape == "share") - BY_PHASE
_HARMED = frozenset({"failed", "rolled-back", "dark"})


@dataclass(frozen=True)
class Question:
    """`since`: the generation at which `release` came (back) on offer; both arms are counted from there on.

    `control` names the superseded releases that devices may still be on. `error_code` narrows `error-share` to one.
    """

    release: str
    control: tuple[str, ...]
    device_class: str
    stratum: str
    reading: str
    since: int
    error_code: str | None = None


@dataclass(frozen=True)
class EpochCounts:
    """One generation: devices that were on the release then, and those of them that showed the event in it."""

    generation: int
    exposed: int
    events: int


@dataclass(frozen=True)
class ArmCounts:
    """One arm, in devices.

    `tried` activated the release or failed to; `concluded` of them have shown how it ends (confirmed, or failed); the
    others are under way. `histogram` counts devices by bucket for readings that are measured, `missing` those that
    should have shown the reading and did not. `recalled` and `under_way` (mid-update) are shown, never counted.
    """

    tried: int = 0
    concluded: int = 0
    events: int = 0
    epochs: tuple[EpochCounts, ...] = ()
    histogram: Mapping[int, int] = field(default_factory=dict)
    missing: int = 0
    recalled: int = 0
    under_way: int = 0


@dataclass(frozen=True)
class Counts:
    """The answer: both arms."""

    treated: ArmCounts
    control: ArmCounts


@dataclass(frozen=True)
class CannotTell:
    """No answer, whose it is, and what would bring one."""

    source: str
    reason: str
    hint: str


class CountsSource(Protocol):
    """Satisfied by the built-in source and by Prometheus; held to one conformance suite."""

    def strata(self, release: str, device_class: str) -> tuple[str, ...] | CannotTell:
        """Strata in which some device spoke of the release, in their order."""

    def counts(self, question: Question) -> Counts | CannotTell:
        """Both arms."""


class TallySource:
    """Answers from a tally that is at hand. Satisfies `CountsSource`; never short of an answer."""

    def __init__(self, tally: Tally) -> None:
        self._cells: dict[tuple[str, str], list[tuple[Cell, int]]] = {}
        for cell, count in tally.items():
            self._cells.setdefault((cell.device_class, cell.stratum), []).append((cell, count))

    def strata(self, release: str, device_class: str) -> tuple[str, ...]:
        """Strata of a release in a class."""
        return tuple(
            sorted(
                stratum
                for (name, stratum), cells in self._cells.items()
                if name == device_class and any(cell.what == PHASE and cell.release == release for cell, _ in cells)
            )
        )

    def counts(self, question: Question) -> Counts:
        """Both arms, out of the cells of the stratum.

        Devices of the control that left it are not still on it. Those that failed on it stay: they failed meanwhile.
        """
        cells = [
            (cell, count)
            for cell, count in self._cells.get((question.device_class, question.stratum), ())
            if cell.generation >= question.since
        ]
        treated = [(cell, count) for cell, count in cells if cell.release == question.release]
        control = [(cell, count) for cell, count in cells if cell.release in question.control]
        generations = sorted({cell.generation for cell, _ in (*treated, *control)})
        still_on = [(cell, count) for cell, count in control if not cell.left]
        return Counts(
            _arm(treated, treated, generations, question),
            _arm(still_on, control, generations, question),
        )


_Cells = Collection[tuple[Cell, int]]


def _arm(cells: _Cells, ever: _Cells, generations: Collection[int], question: Question) -> ArmCounts:
    """`ever` also holds devices that left since: they were exposed while they were there."""
    phases: dict[str, int] = {}
    histogram: dict[int, int] = {}
    missing = 0
    for cell, count in cells:
        if cell.what == PHASE:
            phases[cell.bucket] = phases.get(cell.bucket, 0) + count
        elif cell.what == question.reading and cell.bucket == MISSING:
            missing += count
        elif cell.what == question.reading:
            histogram[int(cell.bucket)] = histogram.get(int(cell.bucket), 0) + count
    tried = sum(count for phase, count in phases.items() if phase in TRIED)
    recalled = phases.get(RECALLED, 0)
    return ArmCounts(
        tried=tried,
        concluded=tried - phases.get("activated", 0),
        events=sum(count for cell, count in cells if _is_event(cell, question)),
        epochs=tuple(_epoch(generation, ever, question) for generation in generations),
        histogram=dict(sorted(histogram.items())),
        missing=missing,
        recalled=recalled,
        under_way=sum(phases.values()) - tried - recalled,
    )


def _epoch(generation: int, cells: _Cells, question: Question) -> EpochCounts:
    """A device that came before `since` is exposed from there on."""
    exposed = sum(
        count
        for cell, count in cells
        if cell.what == PHASE and cell.bucket in TRIED and cell.entered <= generation <= cell.generation
    )
    events = sum(count for cell, count in cells if cell.generation == generation and _is_event(cell, question))
    return EpochCounts(generation, exposed, events)


def _is_event(cell: Cell, question: Question) -> bool:
    if question.reading == "failure-share":
        return cell.what == PHASE and cell.bucket in _HARMED
    if question.reading == "error-share":
        return cell.what == CODE and question.error_code in (None, cell.bucket)
    return question.reading in _YES_OR_NO and (cell.what, cell.bucket) == (question.reading, "1")
