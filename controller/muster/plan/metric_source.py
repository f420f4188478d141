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
from muster.kinds.phases import TIME_LIMITS, TRIED
from muster.plan.tallies import BY_PHASE, CODE, DRAWN, MISSING, PHASE, RECALLED, Cell, Tally

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
class StepCounts:
    """Devices that came to the release at one generation, that is in one step of the rollout.

    `tried` activated it or failed to; `concluded` of them have shown how it ends (confirmed, or failed); `events` of
    these showed what is asked for, and `missing` did not report it. `recalled` were told to leave: shown, not counted.
    """

    generation: int
    tried: int = 0
    concluded: int = 0
    events: int = 0
    missing: int = 0
    recalled: int = 0


@dataclass(frozen=True)
class ArmCounts:
    """One arm, in devices, by step. Those who came before the question's `since` count in its first step.

    `histogram` counts devices by bucket for readings that are measured. `under_way` are in mid-update: shown only.
    """

    steps: tuple[StepCounts, ...] = ()
    histogram: Mapping[int, int] = field(default_factory=dict)
    under_way: int = 0

    @property
    def all(self) -> StepCounts:
        """All steps together, under the newest generation."""
        newest = max((step.generation for step in self.steps), default=0)
        names = ("tried", "concluded", "events", "missing", "recalled")
        return StepCounts(newest, **{name: sum(getattr(step, name) for step in self.steps) for name in names})


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
            if cell.what == DRAWN:
                continue
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
        control = [(cell, count) for cell, count in cells if cell.release in question.control and not cell.left]
        return Counts(_arm(treated, question), _arm(control, question))


def _arm(cells: Collection[tuple[Cell, int]], question: Question) -> ArmCounts:
    by_step: dict[int, list[tuple[Cell, int]]] = {}
    histogram: dict[int, int] = {}
    for cell, count in cells:
        by_step.setdefault(max(cell.entered, question.since), []).append((cell, count))
        if cell.what == question.reading and cell.bucket != MISSING:
            histogram[int(cell.bucket)] = histogram.get(int(cell.bucket), 0) + count
    under_way = sum(count for cell, count in cells if cell.what == PHASE and cell.bucket in TIME_LIMITS)
    steps = tuple(_step(generation, found, question) for generation, found in sorted(by_step.items()))
    return ArmCounts(steps, dict(sorted(histogram.items())), under_way)


def _step(generation: int, cells: Collection[tuple[Cell, int]], question: Question) -> StepCounts:
    phases: dict[str, int] = {}
    events = missing = 0
    for cell, count in cells:
        if cell.what == PHASE:
            phases[cell.bucket] = phases.get(cell.bucket, 0) + count
        missing += count if (cell.what, cell.bucket) == (question.reading, MISSING) else 0
        events += count if _is_event(cell, question) else 0
    tried = sum(count for phase, count in phases.items() if phase in TRIED)
    # What a device shows while its trial goes on is shown: that ends it.
    concluded = min(tried, max(tried - phases.get("activated", 0), events + missing))
    return StepCounts(generation, tried, concluded, min(events, tried), missing, phases.get(RECALLED, 0))


def _is_event(cell: Cell, question: Question) -> bool:
    if question.reading == "failure-share":
        return cell.what == PHASE and cell.bucket in _HARMED
    if question.reading == "error-share":
        return cell.what == CODE and question.error_code in (None, cell.bucket)
    return question.reading in _YES_OR_NO and (cell.what, cell.bucket) == (question.reading, "1")
