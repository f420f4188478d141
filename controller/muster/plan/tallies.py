"""Tallies: how many devices stand where. Counts of counts, so that judging costs O(cells) and never O(devices).

A *standing* is one device and one release, as it was last reported. It falls into a few *cells*: one for its phase,
one for its error code, one for each figure that guardrails read. A new report moves the device from its old cells to
its new ones; the sum over all devices of `cells_of` is what the tallies hold at any time.

A cell knows two generations: the one at which the device came to the release (`entered`) and the newest at which it was
heard about it (`generation`). A device was exposed in every generation between them, which gives events and exposure
for each step of a rollout.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from muster.kinds.phases import TIME_LIMITS

# A device that left a release because it was told to says nothing about the release.
RECALLED: Final = "recalled"
MISSING: Final = "missing"
PHASE, CODE, SILENT, ENROLLED, DRAWN = "phase", "code", "silent", "enrolled", "drawn"
"""What a cell counts, beside the readings of guardrails. `SILENT`: past a time limit; `ENROLLED`: by model; `DRAWN`:
under the release that was offered, whether or not the device came to it (`plan.draws`)."""


class Cell(NamedTuple):
    """`left`: the device runs another release of the model by now. `bucket` is a phase, a code, or a whole number."""

    release: str
    device_class: str
    stratum: str
    entered: int
    generation: int
    left: bool
    what: str
    bucket: str


Tally = Mapping[Cell, int]


class Draw(NamedTuple):
    """A device's first word after it read an offer: at which generation, with which share of its cohort, whether it
    spoke of the release, and the day (UTC, ISO 8601).
    """

    generation: int
    ppm: int
    came: bool
    day: str

    @property
    def bucket(self) -> str:
        """As a cell has it, beside the generation."""
        return f"{self.ppm} {'came' if self.came else 'outside'} {self.day}"

    @classmethod
    def of_bucket(cls, generation: int, bucket: str) -> Draw:
        """Back from a cell."""
        ppm, came, day = bucket.split(" ")
        return cls(generation, int(ppm), came == "came", day)


@dataclass(frozen=True)
class Standing:
    """One device and one release. `measures`: reading → bucket. `draws`: release that was offered → draw."""

    release: str
    device_class: str
    stratum: str
    entered: int
    generation: int
    left: bool
    phase: str
    error_code: str | None = None
    measures: Mapping[str, int] = field(default_factory=dict)
    draws: Mapping[str, Draw] = field(default_factory=dict)

    @property
    def state(self) -> str:
        """The phase; or that it was recalled before it had shown anything."""
        told_to = self.phase == "rolled-back" and self.error_code in (None, RECALLED)
        return RECALLED if told_to else self.phase


def cells_of(standing: Standing, readings: Collection[str]) -> Iterator[Cell]:
    """Every cell that this device counts in. `readings` are what some guardrail reads."""
    where = (
        standing.release,
        standing.device_class,
        standing.stratum,
        standing.entered,
        standing.generation,
        standing.left,
    )
    state = standing.state
    yield Cell(*where, PHASE, state)
    if state in ("failed", "rolled-back") and standing.error_code:
        yield Cell(*where, CODE, standing.error_code)
    for reading in readings:
        if reading in standing.measures:
            yield Cell(*where, reading, str(standing.measures[reading]))
        elif state in ("confirmed", "healthy") and reading not in BY_PHASE:
            yield Cell(*where, reading, MISSING)
    for release, one in standing.draws.items():
        at = one.generation
        yield Cell(release, standing.device_class, standing.stratum, at, at, left=False, what=DRAWN, bucket=one.bucket)


BY_PHASE: Final = frozenset({"failure-share", "error-share"})
"""Readings that phases and codes answer."""


def after_silence(tally: Tally, silent: Tally) -> dict[Cell, int]:
    """The tally as of now: devices that fell silent for too long are dark, or failed if it was in mid-update.

    `silent` counts them by the cell of their phase.
    """
    found = dict(tally)
    for cell, count in silent.items():
        found[cell] = found.get(cell, 0) - count
        if found[cell] <= 0:
            del found[cell]
        late = cell.bucket in TIME_LIMITS
        now = cell._replace(bucket="failed" if late else "dark")
        found[now] = found.get(now, 0) + count
        if late:
            said = cell._replace(what=SILENT)
            found[said] = found.get(said, 0) + count
    return found
